"""Intervals that contain a rerun, of other prompts and policies trained anew: of fractions of an oracle, and of shares of episodes.

A fraction is a ratio of means over episodes, and over seeds of policies. Its variance has two parts, by the usual linearisation of a
ratio (Cochran 1977, "Sampling Techniques", ISBN 978-0-471-16240-7, chapter 6), with s^2 the sample variance of best - fraction x oracle over episodes, or of
the seeds' means over seeds:

* seeds: s^2 / seeds; none of a single seed, such as a policy of others, of whose training anew nothing is said;
* episodes: s^2 / episodes where no two share a prompt. Episodes of one pool do, and however many are drawn, a pool of n prompts holds
  n / 32 that do not. For means over prompts drawn without replacement, the pool's own variance is s^2 x 32 / (n - 32), which adds
  to that of the episodes. Spans of control text are drawn with the prompts, so that s^2 holds what they vary, but from a pool half as large, so that of
  their share the factor counts little more than a third. Of rewards of the five best heads of a task, and of their differences, intervals should be wider by less than a
  fortieth; but on greater-than, whose metric is a probability, by a hundredth for SmolLM2's best head and up to a quarter for differences of the others, and on gpt2-mini,
  where no head stands out, by a sixth to two fifths (``tests/test_evaluate.py`` measures it).

The interval is of 95%, by Student's t with the degrees of freedom of the two parts together (Satterthwaite 1946, doi 10.2307/3002019): with five seeds a
normal one would contain the truth in 84 of 100 reruns.

Where every episode finds the oracle's head both parts are zero, though the next may not: none in n is no evidence against one in n (Hanley and
Lippman-Hand 1983, "If nothing goes wrong, is everything all right?", doi 10.1001/jama.1983.03330370053031). So to each part is added, as Agresti and Coull (1998, "Approximate is better than exact", doi 10.1080/00031305.1998.10480550) add to a
share, as if one observation more had been made, one that falls short by ``SUPPOSED``: what it would move the mean by, squared, times the share of episodes that are at the
oracle, so that nothing is added where none is. It is on the safe side: nearly all reruns are contained there. Nothing is added to the difference of two searchers, which is as it
is seen, nor where the oracle does not vary, as over behaviours. Where all heads have been measured nothing can fall short, which a fraction does not know.

A share of episodes is counted over as many as that leaves: its variance is that of one episode times the same factor. For means over
prompts the factor is right, and no other statistic of a batch varies more over pools (Hoeffding 1948, "A class of statistics with
asymptotically normal distribution", doi 10.1214/aoms/1177730196).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to import

from circuitlib.search.episodes import BATCH

SUPPOSED = 0.5
"""By how much one more episode, or seed, is supposed to fall short, in standard deviations of the oracle over episodes: about what lists on both subjects fall short by, where they do."""


class Interval(NamedTuple):
    """An estimate with its 95% interval, which is not a number where nothing is known of other prompts."""

    value: float
    low: float
    high: float


def left_over(episodes: int, pool: int | None) -> float:
    """How much of one episode's variance is left in the mean of so many; not a number for a pool of one batch, which says
    nothing of other prompts. pool: the prompts that episodes are drawn from, or None where they share none."""
    overlap = 0.0 if pool is None else BATCH / (pool - BATCH) if pool > BATCH else np.nan
    return 1 / episodes + overlap


def fraction(
    best: Float[np.ndarray, "seeds episodes"],
    oracle: Float[np.ndarray, " episodes"],
    pool: int | None,
    against: Float[np.ndarray, "others episodes"] | None = None,
) -> Interval:
    """Mean best reward over the paired oracle's mean; ``against`` others on the same episodes, the difference of the two fractions: of as
    many seeds, which are paired one by one, or of another number, which have the episodes alone in common.

    pool: as in :func:`left_over`. No fraction exceeds 1, nor does the interval of one.
    """
    best = best.astype(np.float64)
    samples = [best]
    if against is not None:
        samples = [best - against] if len(against) == len(best) else [best, -against.astype(np.float64)]
    gain, episodes = sum(sample.mean(0) for sample in samples), len(oracle)
    value = gain.mean() / oracle.mean()
    parts = [((gain - value * oracle).var(ddof=1), left_over(episodes, pool), episodes - 1)]
    parts += [(sample.mean(1).var(ddof=1), 1 / len(sample), len(sample) - 1) for sample in samples if len(sample) > 1]
    at_oracle = 0.0 if against is not None else np.isclose(gain, oracle, rtol=1e-6, atol=0).mean()
    supposed = at_oracle * (SUPPOSED * oracle.astype(np.float64).std(ddof=1)) ** 2
    variance = sum(square * left + supposed * left**2 for square, left, _ in parts)
    if variance == 0:
        return Interval(float(value), float(value), float(value))
    with np.errstate(divide="ignore"):  # what is supposed is not estimated: alone, it makes a normal interval
        freedom = variance**2 / sum((square * left) ** 2 / degrees for square, left, degrees in parts)
    reach = stdtrit(freedom, 0.975) * np.sqrt(variance) / oracle.mean()
    high = value + reach if against is not None else np.minimum(value + reach, 1.0)
    return Interval(float(value), float(value - reach), float(high))


def ratio(gain: Float[np.ndarray, "orders prompts"], whole: Float[np.ndarray, " prompts"]) -> Interval:
    """The mean of what is gained on each prompt, and on average over orders drawn by chance, over the mean of the whole; it may be below 0, and above 1.

    The interval is Fieller's (1954, "Some problems in interval estimation", doi 10.1111/j.2517-6161.1954.tb00159.x): all ratios r for which the mean of gain - r x whole is not
    told from zero at 5%, by Student's t over prompts; of several orders, what they vary by, with a t of its own, adds to its square
    (as in :func:`difference`). Not a number where the whole itself is not told from zero: then nothing that could be believed is left out.
    """
    orders, prompts = gain.shape
    mean, total = gain.astype(np.float64).mean(0), whole.astype(np.float64)
    x, y = mean.mean(), total.mean()
    value = float(x / y) if y else np.nan
    # Half an interval's length, squared, of the means over prompts, and of that over orders.
    (a, c), (_, b) = stdtrit(prompts - 1, 0.975) ** 2 * np.cov(mean, total) / prompts
    d = stdtrit(orders - 1, 0.975) ** 2 * gain.mean(1).var(ddof=1) / orders if orders > 1 else 0.0
    # Roots of (x - r y)^2 = a - 2 r c + r^2 b + d.
    square, middle = y**2 - b, x * y - c
    if not square > 0:
        return Interval(value, np.nan, np.nan)
    reach = np.sqrt(max(middle**2 - square * (x**2 - a - d), 0.0))
    return Interval(value, float((middle - reach) / square), float((middle + reach) / square))


def share(value: float, episodes: int, pool: int | None) -> Interval:
    """A share of episodes with its score interval (Wilson 1927, "Probable inference", doi 10.1080/01621459.1927.10502953), counted over what so many are worth.

    pool: as in :func:`left_over`.
    """
    left, z = left_over(episodes, pool), ndtri(0.975)
    middle = (value + z**2 * left / 2) / (1 + z**2 * left)
    reach = z * np.sqrt(value * (1 - value) * left + (z * left / 2) ** 2) / (1 + z**2 * left)
    return Interval(float(value), float(middle - reach), float(middle + reach))


def difference(one: Interval, other: Interval) -> Interval:
    """Of two estimates that do not depend on each other, from their intervals (Newcombe 1998, "Interval estimation for the
    difference between independent proportions", doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I, method 10). Wider intervals make a wider one, and a number that is
    given, whose interval is itself, shifts."""
    value = one.value - other.value
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, float(value - below), float(value + above))
