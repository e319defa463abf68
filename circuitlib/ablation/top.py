"""The heads that do most damage, without every head on every prompt: successive elimination.

Prompts are taken in a random order, the first few, then twice as many, and so on to all. After each round a head is
dropped when ``top`` others do more damage by more than chance explains: their difference, prompt by prompt, is above
zero by a one-sided t interval for a mean over a finite population (Maron and Moore 1994,
https://papers.nips.cc/paper/1993/hash/02a32ad2669e6fe298e607fe7cc0e1a0-Abstract.html, with pairs; Cochran 1977, ISBN
978-0-471-16240-7, section 2.6). What is left at the end was measured on every prompt, so that its damages are exact; only that no other
head belongs there holds with a ``confidence``.

A head of the true top is dropped only when some head that is not of it seems better. There are top (heads - top) such
pairs, and a test of each after every round but the last; each errs with (1 - confidence) divided by their number. That
is as far as means of ``FIRST`` prompts are normal: a head that matters on a few prompts in a hundred, and much, may
show on none of the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.engine import Engine
from circuitlib.tasks.base import Metric, Prompts, some_prompts

FIRST = 32
"""Prompts in the first round."""


@dataclass(frozen=True)
class TopHeads:
    """heads: most damage first. damage: of each prompt. measured: (prompt, head) pairs that were, as a share of all."""

    heads: list[int]
    damage: Float[Tensor, "prompts top"]
    measured: float


def top_heads(
    engine: Engine,
    groups: Sequence[Prompts],
    metric: Metric,
    heads: int,
    top: int,
    confidence: float = 0.99,
    seed: int = 0,
) -> TopHeads:
    """The ``top`` of so many heads by their mean damage over all prompts of all groups.

    Raises ``ValueError`` for a top that is not between 1 and the number of heads, or a confidence not between 0 and 1.
    """
    refuse_top(top, heads, confidence)
    count = sum(map(len, groups))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    ends = rounds(count)
    damage = torch.full((count, heads), torch.nan, dtype=torch.float64)
    left, before, pairs = torch.arange(heads), 0, 0
    for end in ends:
        rows = order[before:end].sort().values
        parts = [engine.task(some, metric, left.tolist()).damage for some in some_prompts(groups, rows)]
        damage[rows[:, None], left] = torch.cat(parts).double()
        pairs += len(rows) * len(left)
        if end < count:
            error = (1 - confidence) / (top * max(1, heads - top) * (len(ends) - 1))
            left = left[undecided(damage[order[:end]][:, left], count, top, error)]
        before = end
    best = left[damage[:, left].mean(0).argsort(descending=True, stable=True)[:top]]
    return TopHeads(best.tolist(), damage[:, best], pairs / (count * heads))


def refuse_top(top: int, heads: int, confidence: float) -> None:
    """Raise ``ValueError`` as :func:`top_heads` does."""
    if not 1 <= top <= heads or not 0 < confidence < 1:
        raise ValueError(f"top must be 1 to {heads} and confidence between 0 and 1, not {top} and {confidence}")


def rounds(count: int) -> list[int]:
    """How many prompts have been measured after each round, the last time all."""
    ends = [FIRST]
    while ends[-1] < count:
        ends.append(2 * ends[-1])
    return [*ends[:-1], count]


def undecided(damage: Float[Tensor, "n heads"], count: int, top: int, error: float) -> Int[Tensor, " left"]:
    """The heads, by their places, that may still be among the ``top`` of a population of ``count`` prompts, of which
    ``n`` were measured; each comparison of two errs with this probability."""
    from scipy.stats import t

    n, means = len(damage), damage.mean(0)
    leaders = means.argsort(descending=True, stable=True)[:top]
    ahead = torch.zeros(damage.shape[1], dtype=torch.long)
    for leader in leaders:
        difference = damage[:, leader, None] - damage
        mean_error = difference.std(0) * ((1 - n / count) / n) ** 0.5
        ahead += difference.mean(0) > float(t.isf(error, n - 1)) * mean_error
    return (ahead < top).nonzero()[:, 0]
