"""Searchers on one axis of price: what each would name, has found, and has looked at, once so much is paid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.meter import Meter
from circuitlib.search.oracle import best_reward
from circuitlib.search.searchers import Searcher
from circuitlib.search.trials import EPISODE_SEED, Trials
from circuitlib.studies.evaluate import by_seed
from circuitlib.studies.intervals import Interval, fraction

PRICES = (1, 2, 3, 5, 8, 10, 20, 50)
"""Budgets, in heads measured on 32 prompts and 32 spans."""

TOP = 5
"""How many of an episode's best heads are to be recalled."""


@dataclass(frozen=True)
class Player:
    """A searcher, by a name of its own in the table, and the seed of its random numbers. repeats_free: whether measuring a head
    again is. prices: budgets that it plays with, where these are not those of the others."""

    name: str
    searcher: Searcher
    seed: int = 0
    repeats_free: bool = False
    prices: Sequence[int] = ()


def priced(trials: Trials, players: Iterable[Player], prices: Sequence[int] = PRICES) -> pd.DataFrame:
    """Each player with each budget on the same episodes: one row per player, price and episode.

    Columns: task, searcher, seed, price, episode; named (true reward of the head that it names), fresh (of the same, on prompts
    that the episode does not have), found (largest reward among heads measured whole), measured_best (whether the episode's best
    head has been measured, on any prompts), recall (share of the five best that have), oracle. Missing where the budget is too
    small for the searcher to do anything.

    Raises ``ValueError`` for a searcher that spends more than its budget.
    """
    rewards, players = trials.rewards, list(players)
    jobs = [(player, price) for player in players for price in player.prices or prices]

    def play(job: tuple[Player, int]) -> pd.DataFrame:
        player, price = job
        meter = trials.meter(player.repeats_free)
        player.searcher.search(meter, price, torch.Generator().manual_seed(EPISODE_SEED + player.seed))
        if (most := meter.price.max().item()) > price:
            raise ValueError(f"{player.name} spent {most} of a budget of {price}")
        at = {"task": trials.task, "searcher": player.name, "seed": player.seed, "price": price}
        return pd.DataFrame(at | {"episode": range(len(rewards))} | _known(trials, meter))

    return pd.concat(map(play, jobs), ignore_index=True)


def _known(trials: Trials, meter: Meter) -> dict[str, object]:
    rewards, log = trials.rewards, meter.log
    count, missing = meter.readings().count, torch.full((len(rewards), 1), torch.nan)
    head = torch.cat([torch.full((len(rewards), 1), -1), log.naming(meter.heads)[1]], 1)[:, -1:]
    found = torch.cat([missing, log.found(rewards).value], 1)[:, -1]
    best = rewards.topk(TOP).indices  # best first

    def of_named(values: Float[Tensor, "e h"]) -> Tensor:
        return values.gather(1, head.clamp(min=0)).where(head >= 0, torch.nan)[:, 0]

    measured = count.gather(1, best) > 0
    return {
        "named": of_named(rewards).numpy(),
        "fresh": of_named(trials.fresh).numpy(),
        "found": found.where(found.isfinite(), torch.nan).numpy(),
        "measured_best": measured[:, 0].numpy(),
        "recall": measured.float().mean(1).numpy(),
        "oracle": best_reward(rewards).numpy(),
    }


def summarise_priced(frame: pd.DataFrame, pool: int, score: str = "named") -> pd.DataFrame:
    """One row per task, searcher and price: the mean of a score (``named``, ``fresh`` or ``found``) as a fraction of the paired
    oracle with its 95% interval (``ratio``, ``low``, ``high``; :mod:`circuitlib.studies.intervals`), the share of episodes whose
    best head has been measured (``measured_best``), and of the five best heads (``recall``). Missing where the price buys nothing.

    pool: prompts that a task's episodes are drawn from.
    """
    rows = []
    for (task, searcher, price), group in frame.groupby(["task", "searcher", "price"], sort=False):
        best, oracle = by_seed(group, score), by_seed(group, "oracle")[0]
        interval = Interval(np.nan, np.nan, np.nan) if np.isnan(best).any() else fraction(best, oracle, pool)
        row = {"task": task, "searcher": searcher, "price": price} | dict(
            zip(("ratio", "low", "high"), interval, strict=True)
        )
        rows.append(row | {"measured_best": group["measured_best"].mean(), "recall": group["recall"].mean()})
    return pd.DataFrame(rows)


def mean_of(intervals: Sequence[Interval], weights: Sequence[float] | None = None) -> Interval:
    """The mean of independent estimates, by ``weights`` where there are any: the squares of how far the ends of their intervals are add up."""
    value, low, high = np.array(intervals).T
    share = np.ones(len(value)) if weights is None else np.array(weights, dtype=float)
    share /= share.sum()
    down, up = (np.sqrt(np.square(share * (end - value)).sum()) for end in (low, high))
    mean = share @ value
    return Interval(float(mean), float(mean - down), float(mean + up))


def price_to(summary: pd.DataFrame, share: float) -> pd.DataFrame:
    """Per searcher and task the smallest of the prices from which on the named head is worth so large a ``share`` of the oracle,
    on average, at every larger price too; missing where none is enough. Rows searchers, columns tasks."""

    def first(group: pd.DataFrame) -> float:
        group = group.sort_values("price")
        short = group.loc[~(group["ratio"] >= share), "price"]
        enough = group.loc[group["price"] > short.max(), "price"] if len(short) else group["price"]
        return float(enough.min()) if len(enough) else np.nan

    found = summary.groupby(["searcher", "task"], sort=False)[["price", "ratio"]].apply(first)
    return found.unstack("task")
