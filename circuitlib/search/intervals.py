"""Intervals of fractions of an oracle that would contain a rerun: other prompts, and policies trained anew.

Episodes of one pool overlap: a pool of 160 prompts holds five disjoint batches of 32, however many episodes are drawn
from it. A bootstrap that draws as many episodes as were played takes them for independent and is too narrow. This one draws
as many as make its variance that of the pool's mean: n / 32 - 1 of a pool of n prompts (for a mean over prompts drawn
without replacement that is exact), and, of s seeds or of s episodes that share no prompt, s - 1 (Rao and Wu 1988, "Resampling
inference with complex survey data", JASA 83). Spans of control text, whose damages vary a hundred times less, are not
counted. A percentile interval of it is of 95%.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from circuitlib.search.episodes import BATCH

RESAMPLES = 4000


class Interval(NamedTuple):
    """An estimate with its 95% interval."""

    value: float
    low: float
    high: float


def independent(prompts: int) -> int:
    """How many episodes a bootstrap draws of those of a pool of so many prompts."""
    return max(1, prompts // BATCH - 1)


def fraction(
    best: Float[np.ndarray, "seeds episodes"],
    oracle: Float[np.ndarray, " episodes"],
    draws: int,
    against: Float[np.ndarray, "seeds episodes"] | None = None,
) -> Interval:
    """Mean best reward over the paired oracle's mean; ``against`` others of the same seeds on the same episodes, the
    difference of the two fractions.

    draws: episodes per resample, :func:`independent` of a pool's, or one fewer than there are where none overlap. A single
    seed, such as a policy of others, stays as it is, so that nothing is said of training it anew.
    """
    rng = np.random.default_rng(0)
    gain = best if against is None else best - against
    seeds, episodes = gain.shape
    s = rng.integers(seeds, size=(RESAMPLES, max(1, seeds - 1), 1))
    e = rng.integers(episodes, size=(RESAMPLES, 1, draws))
    resampled = gain[s, e].mean((1, 2)) / oracle[e[:, 0]].mean(1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(float(gain.mean() / oracle.mean()), float(low), float(high))
