"""Is a task fit to be searched? Eight questions, asked in order, before a single episode is paid for.

A head's damage means something only if the prompts are what they are meant to be, the model does the task,
and another draw of prompts would say the same of the heads. Each check has a bar and, failed, says what to do.
A task whose prompts cannot be formed, or that the model does not do, is to be left out. One on which no head
stands out may be trained on, but fractions of its best head's damage say nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, nan
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.hooks import hooked_task
from circuitlib.ablation.sweep import engine
from circuitlib.subjects.load import Subject
from circuitlib.tasks.base import Example, Prompts, Task, encode_examples, token_id, tokenise

LEAST_DIFFERENT = 0.5
"""Different prompts, as a share of those drawn."""

CHANCE = 0.01
"""How likely it may be, at most, that a model which guesses passes for one that does the task (a one-sided
binomial test against 1/2)."""

LARGEST_ERROR = 0.1
"""Standard error of the mean metric, as a share of that mean."""

LEAST_AGREEMENT = 0.8
"""Pearson correlation, over heads, of the mean damages in two halves of the prompts, not corrected for
their size."""

LEAST_DAMAGE = 0.05
"""Largest mean damage of a head, as a share of the mean metric."""

SPLITS = 100
"""Random halvings that the correlation is averaged over."""

BLOCK = 16
"""Prompts of which all logits are held at once."""

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


@dataclass(frozen=True)
class _Row:
    check: str
    value: float | int
    bar: float | int
    passed: bool | None
    message: str


def check_task(subject: Subject, task: Task, count: int = 64, seed: int = 0) -> pd.DataFrame:
    """Check a task on ``count`` prompts drawn with ``seed``, of which repeated ones count once.

    Returns one row per check, in this order, with columns ``check``, ``value``, ``bar``, ``passed``
    (missing where an earlier failure leaves nothing to measure), ``message``, what was found and what
    to do about it, and ``kind``: whether a failure ``refuses`` the task or ``warns`` (:func:`verdict`).

    * ``prompts differ``: how many; at least half of those drawn. Refuses, as all up to ``the model does it``.
    * ``answers are one token``: how many different answers are not; none.
    * ``right is not wrong``: prompts without a right and a wrong answer that differ; none.
    * ``prompts fit the context``: tokens of the longest with BOS; at most the subject's context.
    * ``the model does it``: share of prompts with a positive metric; at least the smallest share that
      guessing reaches with a probability of at most 1% (exact one-sided binomial test against 1/2).
    * ``the metric is stable``: standard error of the mean metric as a share of the mean; at most 0.1.
    * ``heads agree between halves``: Pearson correlation, over heads, of mean damages in two halves of the
      prompts, the mean of 100 random halvings, without the Spearman-Brown correction; at least 0.8.
    * ``a head stands out``: largest mean damage of a head as a share of the mean metric; at least 0.05.

    A task that writes no prompts (its ``example`` raises ``ValueError``, or they cannot be tokenised) has failed
    the first check, with that message. Raises ``ValueError`` when ``count`` is less than 2.
    """
    if count < 2:
        raise ValueError(f"count must be at least 2, two halves of one prompt, not {count}")
    rows = _written(subject, task, count, seed)
    missing = [
        _Row(check, nan, nan, None, "Not measured: a check above failed.") for check in list(CHECKS)[len(rows) :]
    ]
    frame = pd.DataFrame([vars(row) for row in (*rows, *missing)])
    frame["kind"] = frame["check"].map(CHECKS)
    return frame.astype({"value": float, "bar": float, "passed": "boolean"})


def verdict(checks: pd.DataFrame) -> tuple[str | None, str | None]:
    """Of :func:`check_task`'s table: why the task is to be left out, and why it is to be taken out of fractions,
    each the message of the first such check that failed, or None."""
    failed = checks[checks["passed"].eq(False).fillna(False)]
    first = failed.groupby("kind")["message"].first()
    return first.get("refuses"), first.get("warns")


def why_left_out(subject: Subject, task: Task, count: int = 64, seed: int = 0, able: bool = True) -> str | None:
    """Why a subject's run has to do without a task, in a sentence or two, or None: the checks that refuse, which
    take one clean pass over the prompts. ``able``: whether the model has to do it, or only to take its prompts."""
    if reason := task.refusal(subject.tokenizer):
        return reason
    rows, _, _ = _refusals(subject, task, count, seed)
    failed = (row for row in rows if not row.passed and (able or row.check != ABILITY))
    return next((row.message for row in failed), None)


def _written(subject: Subject, task: Task, count: int, seed: int) -> list[_Row]:
    """The checks that can be made: of the texts, then of what the model makes of them."""
    rows, groups, clean = _refusals(subject, task, count, seed)
    if not rows[-1].passed:
        return rows
    ablate = engine(subject)
    damage = torch.cat([ablate.task(some, task.metric).damage for some in groups])
    return [*rows, _precision(clean, task.metric.unit), _agreement(damage, seed), _standout(damage, clean, subject)]


def _refusals(
    subject: Subject, task: Task, count: int, seed: int
) -> tuple[list[_Row], list[Prompts], Float[Tensor, " prompts"]]:
    """The checks that refuse, up to the first that fails, with the prompts and their clean metric."""
    nothing: tuple[list[Prompts], Tensor] = [], torch.empty(0)
    try:
        drawn = task.examples(subject.tokenizer, count, seed)
        encode_examples(subject.tokenizer, drawn)
    except ValueError as error:
        message = f"The task writes no prompts that can be used: {error}."
        return [_Row(DISTINCT, 0, LEAST_DIFFERENT * count, False, message)], *nothing
    examples = list({(e.text, *e.candidates, *e.signs): e for e in drawn}.values())
    rows = [_distinct(len(examples), count), _answers(subject, examples)]
    if not rows[-1].passed:
        return rows, *nothing
    rows.append(_sides(subject, examples))
    if not rows[-1].passed:
        return rows, *nothing
    groups = tokenise(task.name, subject.tokenizer, examples)
    rows.append(_fits(groups[-1].tokens.shape[1], int(subject.bridge.cfg.n_ctx)))
    if not rows[-1].passed:
        return rows, *nothing
    blocks = [some[at : at + BLOCK] for some in groups for at in range(0, len(some), BLOCK)]
    clean = torch.cat([hooked_task(subject, some, task.metric, [()])[:, 0] for some in blocks])
    return [*rows, _ability(clean)], groups, clean


def _distinct(different: int, count: int) -> _Row:
    bar = LEAST_DIFFERENT * count
    passed = different >= bar
    message = f"{different} of {count} prompts drawn are different."
    if not passed:
        message += f" At least {bar:.0f} must be; add words or templates, as repeated prompts tell nothing new."
    return _Row(DISTINCT, different, bar, passed, message)


def _answers(subject: Subject, examples: Sequence[Example]) -> _Row:
    answers = dict.fromkeys(answer for e in examples for answer in e.candidates)
    refusals = []
    for answer in answers:
        try:
            token_id(subject.tokenizer, answer)
        except ValueError as error:
            refusals.append(str(error))
    message = f"All {len(answers)} answers are one token."
    if refusals:
        message = (
            f"{len(refusals)} of {len(answers)} answers are not one token, the first: {refusals[0]}. "
            "Draw answers with single_token_words."
        )
    return _Row(ANSWERS, len(refusals), 0, not refusals, message)


def _sides(subject: Subject, examples: Sequence[Example]) -> _Row:
    wanting = []
    for example in examples:
        right, wrong = (
            {
                token_id(subject.tokenizer, answer)
                for answer, weight in zip(example.candidates, example.signs, strict=True)
                if weight * side > 0
            }
            for side in (1, -1)
        )
        if not right or not wrong or right & wrong:
            wanting.append(example.text)
    message = "Every prompt has a right and a wrong answer, and they differ."
    if wanting:
        message = (
            f"{len(wanting)} of {len(examples)} prompts lack a right or a wrong answer, or have the same "
            f"token as both, so that their metric says nothing; the first: {wanting[0]!r}. "
            "Draw the wrong answer from what is left without the right one."
        )
    return _Row(SIDES, len(wanting), 0, not wanting, message)


def _fits(longest: int, context: int) -> _Row:
    passed = longest <= context
    message = f"The longest prompt is {longest} tokens with BOS; the model reads up to {context}."
    if not passed:
        message += " Shorten the templates."
    return _Row(CONTEXT, longest, context, passed, message)


def least_share(prompts: int, chance: float = CHANCE) -> float:
    """The smallest share of ``prompts`` answered right that guessing between two reaches or exceeds with a
    probability of at most ``chance``; above 1 when the prompts are too few for any."""
    tail = 0
    for right in range(prompts, -1, -1):
        tail += comb(prompts, right)
        if tail > chance * 2**prompts:
            return (right + 1) / prompts
    raise ValueError(f"chance must be below 1, not {chance}")


def _ability(clean: Float[Tensor, " prompts"]) -> _Row:
    share, bar = (clean > 0).double().mean().item(), least_share(len(clean))
    passed = share >= bar
    message = f"The metric is positive on {share:.0%} of {len(clean)} prompts."
    if not passed and bar > 1:
        message += " These are too few to tell that from guessing; draw more."
    elif not passed:
        message += (
            f" At least {bar:.0%} is needed, which guessing reaches once in a hundred times: the model does "
            "not do this, and a head cannot be missed for it. Ask what the model can do, or ask another model."
        )
    return _Row(ABILITY, share, bar, passed, message)


def _precision(clean: Float[Tensor, " prompts"], unit: str) -> _Row:
    mean = clean.double().mean().item()
    error = clean.double().std().item() / len(clean) ** 0.5
    value = error / abs(mean) if mean else float("inf")
    passed = mean > 0 and value <= LARGEST_ERROR
    message = f"The mean metric is {mean:.2f}, its standard error {error:.2f} ({unit})."
    if mean <= 0:
        message += " A mean that is not positive leaves no damage to be done; look at the worst prompts."
    elif not passed:
        needed = int(np.ceil(len(clean) * (value / LARGEST_ERROR) ** 2))
        message += (
            f" The error may be {LARGEST_ERROR:.0%} of the mean: draw about {needed} prompts, or make them more alike."
        )
    return _Row(PRECISION, value, LARGEST_ERROR, passed, message)


def _agreement(damage: Float[Tensor, "prompts heads"], seed: int) -> _Row:
    rng, values = np.random.default_rng(seed), []
    for _ in range(SPLITS):
        first, second = np.array_split(rng.permutation(len(damage)), 2)
        halves = torch.stack([damage[rows].double().mean(0) for rows in (first, second)])
        values.append(torch.corrcoef(halves)[0, 1].item())
    # Without a head that matters there is nothing to correlate, and corrcoef says so by a NaN.
    value = float(np.nan_to_num(np.mean(values)))
    passed = value >= LEAST_AGREEMENT
    whole = 2 * value / (1 + value) if value > 0 else value
    message = (
        f"Damages of the heads in two halves of the prompts correlate at {value:.2f} "
        f"(of all prompts, by Spearman and Brown's formula, {whole:.2f})."
    )
    if not passed:
        message += f" At least {LEAST_AGREEMENT} is needed: draw more prompts, or accept that no head stands out."
    return _Row(AGREEMENT, value, LEAST_AGREEMENT, passed, message)


def _standout(damage: Float[Tensor, "prompts heads"], clean: Float[Tensor, " prompts"], subject: Subject) -> _Row:
    means, whole = damage.double().mean(0), clean.double().mean().item()
    best = int(means.argmax())
    value = means[best].item() / whole if whole > 0 else 0.0
    passed = value >= LEAST_DAMAGE
    message = f"The head that matters most, {subject.head_name(best)}, is worth {value:.1%} of the metric."
    if not passed:
        message += (
            f" Below {LEAST_DAMAGE:.0%}, fractions of it say nothing: several heads do this together, or none; "
            "ablate sets of heads, or ask another model."
        )
    return _Row(STANDOUT, value, LEAST_DAMAGE, passed, message)
