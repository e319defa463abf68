"""Do rewards tell anything? What seeing them is worth to a reader that knows what the training tasks paid, and nothing else.

That a policy finds as much blind may mean that it does not search, or that there is nothing to be read. Here the reader is a Gaussian over all heads together, of the
training tasks' prompts (:class:`circuitlib.search.correlated.Gaussian`): what one head pays says what to expect of the others. It measures whole heads, as policies do, and
is set beside the order that it begins with, which looks at nothing. What it gains can be had from its rewards by one that knows no more than the policy does.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.tables import reward
from circuitlib.search.correlated import BOUND, Gaussian, given
from circuitlib.search.episodes import BATCH
from circuitlib.search.oracle import best_reward
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.intervals import fraction

MEASURED = (5, 10, 20, 50)
"""Heads measured after which both are compared; all of them, where the subject has fewer."""


def belief_of(training: Mapping[str, PricedTables], penalty: float) -> Gaussian:
    """What the training tasks lead to expect: of the rewards of as many prompts of each, whose control loss is the mean over spans."""
    fewest = min(len(tables.damage) for tables in training.values())
    rows = [reward(x.damage.damage, x.general.damage.mean(0), penalty)[:fewest] for x in training.values()]
    return Gaussian.of(torch.stack(rows))


def seeing_order(belief: Gaussian, rewards: Float[Tensor, "e h"], count: int) -> Int[Tensor, "e count"]:
    """The first ``count`` heads that the reader measures in each episode: always the head of the largest upper bound, ``BOUND`` standard deviations above what is
    expected of it, given all rewards so far."""
    episodes, heads = rewards.shape
    mean, covariance = belief.mean.expand(episodes, -1), belief.covariance.repeat(episodes, 1, 1)
    each, measured, order = torch.arange(episodes), torch.zeros(episodes, heads, dtype=torch.bool), []
    for _ in range(count):
        head = _bounds(mean, covariance).masked_fill(measured, -torch.inf).argmax(1)
        measured[each, head] = True
        order.append(head)
        mean, covariance = given(mean, covariance, head, rewards[each, head], belief.noise**2 / BATCH)
    return torch.stack(order, 1)


def blind_order(belief: Gaussian, count: int) -> Int[Tensor, " count"]:
    """The heads of the largest upper bounds before anything is measured: the order of a reader that looks at nothing."""
    return _bounds(belief.mean[None], belief.covariance[None])[0].argsort(descending=True, stable=True)[:count]


def _bounds(mean: Float[Tensor, "e h"], covariance: Float[Tensor, "e h h"]) -> Float[Tensor, "e h"]:
    return mean + BOUND * covariance.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()


def measure_readable(
    evaluation: Mapping[str, PricedTables],
    training: Mapping[str, PricedTables],
    episodes: int,
    penalty: float,
    pool: int,
) -> pd.DataFrame:
    """What the reader finds on each task, seeing and blind, on the same episodes.

    Columns: task, measured (heads), seeing, blind (best reward so far as a fraction of the oracle), effect, effect_low, effect_high (of the difference, its 95% interval),
    rests_on (``policies`` throughout, because one that adapts may turn elsewhere on a rounding).

    evaluation, training: tables by task. episodes: of each task. penalty: lambda. pool: prompts that a task's episodes are drawn from."""
    belief, rows = belief_of(training, penalty), []
    for task, tables in evaluation.items():
        rewards = draw_trials(tables, episodes, penalty).rewards
        most, oracle = min(max(MEASURED), rewards.shape[1]), best_reward(rewards).numpy()
        orders = seeing_order(belief, rewards, most), blind_order(belief, most).expand(episodes, -1)
        best = [rewards.gather(1, order).cummax(1).values.numpy() for order in orders]
        for count in sorted({min(count, most) for count in MEASURED}):
            seeing, blind = (found[None, :, count - 1] for found in best)
            ratios = [fraction(found, oracle, pool).value for found in (seeing, blind)]
            gain = fraction(seeing, oracle, pool, against=blind)
            rows.append((task, count, *ratios, *gain))
    columns = ["task", "measured", "seeing", "blind", "effect", "effect_low", "effect_high"]
    return pd.DataFrame(rows, columns=columns).assign(rests_on="policies")
