"""Is a task fit to be searched? Eight questions, asked in order, before a single episode is paid for.

A head's damage means something only if the prompts are what they are meant to be, the model does the task, and another
draw of prompts would say the same of the heads. Each check has a bar and, failed, says what to do. A task whose prompts
cannot be formed, or that the model does not do, is to be left out. One on which no head stands out may be trained on,
but fractions of its best head's damage say nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import ceil, nan
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import binom
from torch import Tensor

from circuitlib.ablation.hooks import hooked_task
from circuitlib.ablation.sweep import engine
from circuitlib.subjects.load import Subject
from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks.base import Example, Task, encode_examples, token_id, tokenise, with_sign

LEAST_DIFFERENT = 0.5
"""Different prompts, as a share of those drawn."""

CHANCE = 0.01
"""How likely it may be, at most, that a model which guesses passes (a one-sided binomial test against 1/2)."""

LARGEST_ERROR = 0.1
"""Standard error of the mean metric, as a share of that mean."""

LEAST_AGREEMENT = 0.8
"""Pearson correlation, over heads, of the mean damages in two halves of the prompts, not corrected for their size."""

LEAST_DAMAGE = 0.05
"""Largest mean damage of a head, as a share of the mean metric."""

TRIED = 64
"""Prompts that a task is checked on, unless it is said."""

SPLITS = 100
"""Random halvings that the correlation is averaged over."""

Kind = Literal["refuses", "warns"]
"""What a failed check does: leave the task out of a subject's run, or take it out of fractions only."""

CHECKS: dict[str, Kind] = {
    (DISTINCT := "prompts differ"): "refuses",
    (ANSWERS := "answers are one token"): "refuses",
    (SIDES := "right is not wrong"): "refuses",
    (CONTEXT := "prompts fit the context"): "refuses",
    (ABILITY := "the model does it"): "refuses",
    (PRECISION := "the metric is stable"): "warns",
    (AGREEMENT := "heads agree between halves"): "warns",
    (STANDOUT := "a head stands out"): "warns",
}
"""In the order in which they are made."""


class _Row(NamedTuple):
    check: str
    value: float | int
    bar: float | int
    passed: bool | None
    message: str

    @property
    def ends(self) -> bool:
        """Whether it failed and leaves nothing that a later check could measure."""
        return not self.passed and CHECKS[self.check] == "refuses" and self.check != DISTINCT


def _row(check: str, value: float | int, bar: float | int, passed: bool, found: str, advice: str) -> _Row:
    """A check's row: what was found and, where it failed, what to do about it."""
    return _Row(check, value, bar, passed, found if passed else f"{found} {advice}")


def check_task(subject: Subject, task: Task, count: int = TRIED, seed: int = 0) -> pd.DataFrame:
    """Check a task on ``count`` prompts drawn with ``seed``, of which repeated ones count once.

    Returns one row per check, in this order, with columns ``check``, ``value``, ``bar``, ``passed`` (missing where an
    earlier failure leaves nothing to measure), ``message``, what was found and what to do about it, and ``kind``:
    whether a failure ``refuses`` the task or ``warns`` (:func:`verdict`).

    * ``prompts differ``: how many; at least half of those drawn. Refuses, as all up to ``the model does it``.
    * ``answers are one token``: how many different answers are not; none.
    * ``right is not wrong``: prompts without a right and a wrong answer that differ; none.
    * ``prompts fit the context``: tokens of the longest with BOS; at most the subject's context.
    * ``the model does it``: share of prompts with a positive metric; at least the smallest share that guessing reaches
      with a probability of at most 1% (exact one-sided binomial test against 1/2).
    * ``the metric is stable``: standard error of the mean metric as a share of the mean; at most 0.1.
    * ``heads agree between halves``: Pearson correlation, over heads, of mean damages in two halves of the prompts, the
      mean of 100 random halvings, without the Spearman-Brown correction; at least 0.8.
    * ``a head stands out``: largest mean damage of a head as a share of the mean metric; at least 0.05.

    A task that writes no prompts (its ``example`` raises ``ValueError``, or they cannot be tokenised) has failed the
    first check, with that message. Raises ``ValueError`` when ``count`` is less than 2.
    """
    if count < 2:
        raise ValueError(f"count must be at least 2, two halves of one prompt, not {count}")
    rows: list[_Row] = []
    for row in _rows(subject, task, count, seed):
        rows.append(row)
        if row.ends:
            break
    missing = list(CHECKS)[len(rows) :]
    rows += [_Row(check, nan, nan, None, "Not measured: a check above failed.") for check in missing]
    frame = pd.DataFrame(rows).astype({"value": float, "bar": float, "passed": "boolean"})
    return frame.assign(kind=frame["check"].map(CHECKS))


def verdict(checks: pd.DataFrame) -> tuple[str | None, str | None]:
    """Of :func:`check_task`'s table: why the task is to be left out, and why it is to be taken out of fractions,
    each the message of the first such check that failed, or None."""
    failed = checks[checks["passed"].eq(False).fillna(False)]
    first = failed.groupby("kind")["message"].first()
    return first.get("refuses"), first.get("warns")


def why_left_out(subject: Subject, task: Task, able: bool = True) -> str | None:
    """Why a subject's run has to do without a task, in a sentence or two, or None: the checks that refuse, which
    take one clean pass over ``TRIED`` prompts. ``able``: whether the model has to do it, or only to take its prompts."""
    asked = [check for check, kind in CHECKS.items() if kind == "refuses" and (able or check != ABILITY)]
    rows = islice(_rows(subject, task, TRIED, seed=0), len(asked))
    return next((row.message for row in rows if not row.passed), None)


def _rows(subject: Subject, task: Task, count: int, seed: int) -> Iterator[_Row]:
    """The checks in order, each made when it is asked for; none may be after one that :attr:`_Row.ends`."""
    tokenizer, bar = subject.tokenizer, LEAST_DIFFERENT * count
    try:
        drawn = task.examples(tokenizer, count, seed)
        encode_examples(tokenizer, drawn)
    except ValueError as error:
        yield _Row(DISTINCT, 0, bar, False, f"The task writes no prompts that can be used: {error}.")
        return
    examples = list({(e.text, *e.candidates, *e.signs): e for e in drawn}.values())
    found = f"{len(examples)} of {count} prompts drawn are different."
    advice = f"At least {bar:.0f} must be; add words or templates, as repeated prompts tell nothing new."
    yield _row(DISTINCT, len(examples), bar, len(examples) >= bar, found, advice)
    yield _answers(tokenizer, examples)
    yield _sides(tokenizer, examples)
    groups = tokenise(task.name, tokenizer, examples)
    longest, context = groups[-1].tokens.shape[1], int(subject.bridge.cfg.n_ctx)
    found = f"The longest prompt is {longest} tokens with BOS; the model reads up to {context}."
    yield _row(CONTEXT, longest, context, longest <= context, found, "Shorten the templates.")
    clean = torch.cat([hooked_task(subject, group, task.metric, [()])[:, 0] for group in groups])
    yield _ability(clean)
    ablate = engine(subject)
    damage = torch.cat([ablate.task(group, task.metric).damage for group in groups])
    yield _precision(clean, task.metric.unit)
    yield _agreement(damage, seed)
    yield _standout(damage, clean, subject)


def _answers(tokenizer: Tokenizer, examples: Sequence[Example]) -> _Row:
    answers = dict.fromkeys(answer for e in examples for answer in e.candidates)
    refusals = []
    for answer in answers:
        try:
            token_id(tokenizer, answer)
        except ValueError as error:
            refusals.append(error)
    found = f"{len(refusals)} of {len(answers)} answers are not one token."
    advice = f"The first: {next(iter(refusals), None)}. Draw answers with single_token_words."
    return _row(ANSWERS, len(refusals), 0, not refusals, found, advice)


def _sides(tokenizer: Tokenizer, examples: Sequence[Example]) -> _Row:
    wanting = []
    for example in examples:
        right, wrong = ({token_id(tokenizer, word) for word in with_sign(example, sign)} for sign in (1, -1))
        if not right or not wrong or right & wrong:
            wanting.append(example.text)
    found = f"{len(wanting)} of {len(examples)} prompts lack a right or a wrong answer, or have the same token as both."
    advice = f"Their metric says nothing, as of {next(iter(wanting), None)!r}. Draw the wrong answer from what is left without the right one."
    return _row(SIDES, len(wanting), 0, not wanting, found, advice)


def least_share(prompts: int) -> float:
    """The smallest share of ``prompts`` answered right that guessing between two reaches or exceeds with a
    probability of at most ``CHANCE``; above 1 when the prompts are too few for any."""
    return float(binom.isf(CHANCE, prompts, 0.5) + 1) / prompts


def _ability(clean: Float[Tensor, " prompts"]) -> _Row:
    share, bar = (clean > 0).double().mean().item(), least_share(len(clean))
    advice = (
        f"At least {bar:.0%} is needed, which guessing reaches once in a hundred times: the model does "
        "not do this, and a head cannot be missed for it. Ask what the model can do, or ask another model."
    )
    if bar > 1:
        advice = "These are too few to tell that from guessing; draw more."
    found = f"The metric is positive on {share:.0%} of {len(clean)} prompts."
    return _row(ABILITY, share, bar, share >= bar, found, advice)


def _precision(clean: Float[Tensor, " prompts"], unit: str) -> _Row:
    mean, error = clean.double().mean().item(), clean.double().std().item() / len(clean) ** 0.5
    value = error / abs(mean) if mean else float("inf")
    if mean > 0:
        needed = ceil(len(clean) * (value / LARGEST_ERROR) ** 2)
        advice = f"It may be {LARGEST_ERROR:.0%} of the mean: draw about {needed} prompts, or make them more alike."
    else:
        advice = "A mean that is not positive leaves no damage to be done; look at the worst prompts."
    found = f"The mean metric is {mean:.2f}, its standard error {error:.2f} ({unit})."
    return _row(PRECISION, value, LARGEST_ERROR, mean > 0 and value <= LARGEST_ERROR, found, advice)


def _agreement(damage: Float[Tensor, "prompts heads"], seed: int) -> _Row:
    rng, values = np.random.default_rng(seed), []
    for _ in range(SPLITS):
        first, second = np.array_split(rng.permutation(len(damage)), 2)
        halves = torch.stack([damage[rows].double().mean(0) for rows in (first, second)])
        values.append(torch.corrcoef(halves)[0, 1].item())
    # Without a head that matters there is nothing to correlate, and corrcoef says so by a NaN.
    value = float(np.nan_to_num(np.mean(values)))
    whole = 2 * value / (1 + value) if value > 0 else value
    found = (
        f"Damages of the heads in two halves of the prompts correlate at {value:.2f} "
        f"(of all prompts, by Spearman and Brown's formula, {whole:.2f})."
    )
    advice = f"At least {LEAST_AGREEMENT} is needed: draw more prompts, or accept that no head stands out."
    return _row(AGREEMENT, value, LEAST_AGREEMENT, value >= LEAST_AGREEMENT, found, advice)


def _standout(damage: Float[Tensor, "prompts heads"], clean: Float[Tensor, " prompts"], subject: Subject) -> _Row:
    means, whole = damage.double().mean(0), clean.double().mean().item()
    best = int(means.argmax())
    value = means[best].item() / whole if whole > 0 else 0.0
    found = f"The head that matters most, {subject.head_name(best)}, is worth {value:.1%} of the metric."
    advice = (
        f"Below {LEAST_DAMAGE:.0%}, fractions of it say nothing: several heads do this together, or none; "
        "ablate sets of heads, or ask another model."
    )
    return _row(STANDOUT, value, LEAST_DAMAGE, value >= LEAST_DAMAGE, found, advice)
