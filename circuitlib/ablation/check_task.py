"""Is a task fit to be searched? Seven questions, asked in order, before a single episode is paid for.

A head's damage means something only if the prompts are what they are meant to be, the model does the task,
and another draw of prompts would say the same of the heads. Each check has a bar and, failed, says what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, nan

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.hooks import hooked_task
from circuitlib.ablation.sweep import engine
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Example, Task
from circuitlib.tasks.base import token_id, tokenise

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


SPLITS = 100
"""Random halvings that the correlation is averaged over."""


BLOCK = 16
"""Prompts of which all logits are held at once."""


DISTINCT, ANSWERS, SIDES, CONTEXT, ABILITY, PRECISION, AGREEMENT = CHECKS = (
    "prompts differ", "answers are one token", "right is not wrong", "prompts fit the context",
    "the model does it", "the metric is stable", "heads agree between halves",
)  # fmt: skip
"""In the order in which they are made."""


@dataclass(frozen=True)
class _Row:
    check: str
    value: float
    bar: float
    passed: bool | None
    message: str


def check_task(subject: Subject, task: Task, count: int = 64, seed: int = 0) -> pd.DataFrame:
    """Check a task on ``count`` prompts drawn with ``seed``, of which repeated ones count once.

    Returns one row a check, in this order, with columns ``check``, ``value``, ``bar``, ``passed``
    (missing where an earlier failure leaves nothing to measure) and ``message``, what was found and what
    to do about it:

    * ``prompts differ``: how many; at least half of those drawn.
    * ``answers are one token``: how many different answers are not; none.
    * ``right is not wrong``: prompts without a right and a wrong answer that differ; none.
    * ``prompts fit the context``: tokens of the longest with BOS; at most the subject's context.
    * ``the model does it``: share of prompts with a positive metric; at least the smallest share that
      guessing reaches with a probability of at most 1% (exact one-sided binomial test against 1/2).
    * ``the metric is stable``: standard error of the mean metric as a share of the mean; at most 0.1.
    * ``heads agree between halves``: Pearson correlation, over heads, of mean damages in two halves of the
      prompts, the mean of 100 random halvings, without the Spearman-Brown correction; at least 0.8.

    A task that writes no prompts (its ``example`` raises ``ValueError``) has failed the first check, with
    that message. Raises ``ValueError`` when ``count`` is less than 2.
    """
    if count < 2:
        raise ValueError(f"count must be at least 2, two halves of one prompt, not {count}")
    rows = _written(subject, task, count, seed)
    missing = [
        _Row(check, nan, nan, None, "Not measured: a check above failed.")
        for check in CHECKS[len(rows) :]
    ]
    frame = pd.DataFrame([vars(row) for row in (*rows, *missing)])
    return frame.astype({"value": float, "bar": float, "passed": "boolean"})


def _written(subject: Subject, task: Task, count: int, seed: int) -> list[_Row]:
    """The checks that can be made: of the texts, then of what the model makes of them."""
    rng = np.random.default_rng([seed, *task.name.encode()])
    try:
        drawn = [task.example(subject.tokenizer, "evaluation", rng) for _ in range(count)]
        for example in drawn:
            _refuse_malformed(example, drawn[0])
    except ValueError as error:
        message = f"The task writes no prompts that can be used: {error}."
        return [_Row(DISTINCT, 0, LEAST_DIFFERENT * count, False, message)]
    examples = list({(e.text, *e.candidates, *e.signs): e for e in drawn}.values())
    rows = [_distinct(len(examples), count), _answers(subject, examples)]
    if not rows[-1].passed:
        return rows
    rows.append(_sides(subject, examples))
    if not rows[-1].passed:
        return rows
    groups = tokenise(task.name, subject.tokenizer, examples)
    rows.append(_fits(groups[-1].tokens.shape[1], int(subject.bridge.cfg.n_ctx)))
    if not rows[-1].passed:
        return rows
    blocks = [some[at : at + BLOCK] for some in groups for at in range(0, len(some), BLOCK)]
    clean = torch.cat([hooked_task(subject, some, task.metric, [()])[:, 0] for some in blocks])
    rows.append(_ability(clean))
    if not rows[-1].passed:
        return rows
    ablate = engine(subject)
    scores = [ablate.task(some, task.metric) for some in groups]
    damage = torch.cat([some.damage for some in scores])
    return [*rows, _precision(clean, task.metric.unit), _agreement(damage, seed)]


def _refuse_malformed(example: Example, other: Example) -> None:
    if len(example.candidates) != len(example.signs):
        raise ValueError(
            f"{example.text!r} has {len(example.candidates)} candidates and {len(example.signs)} signs; "
            "give one sign a candidate"
        )
    if example.roles.keys() != other.roles.keys():
        raise ValueError(
            f"{example.text!r} has roles {sorted(example.roles)} and {other.text!r} {sorted(other.roles)}; "
            "give every prompt the same"
        )
    for role, last in example.roles.items():
        if not 0 <= last < len(example.text):
            raise ValueError(
                f"role {role} of {example.text!r} ends at character {last}, which is not in the text; "
                "count from 0"
            )


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
        message += (
            " A mean that is not positive leaves no damage to be done; look at the worst prompts."
        )
    elif not passed:
        needed = int(np.ceil(len(clean) * (value / LARGEST_ERROR) ** 2))
        message += (
            f" The error may be {LARGEST_ERROR:.0%} of the mean: draw about {needed} prompts, or make "
            "them more alike."
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
