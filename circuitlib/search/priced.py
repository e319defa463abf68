"""Searchers on one axis of price: what each would name, has found, and has looked at, once so much is paid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.meter import Meter
from circuitlib.search.oracle import best_reward
from circuitlib.search.searchers import Searcher
from circuitlib.search.trials import EPISODE_SEED, Trials
from circuitlib.threads import threads_of_one_core

PRICES = (1, 2, 3, 5, 8, 10, 20, 50)
"""Budgets, in heads measured on 32 prompts and 32 spans."""

TOP = 5
"""How many of an episode's best heads are to be recalled."""


@dataclass(frozen=True)
class Player:
    """A searcher, by a name of its own in the table, the seed of its random numbers, and whether measuring a head again is free."""

    name: str
    searcher: Searcher
    seed: int = 0
    repeats_free: bool = False


def priced(trials: Trials, players: Iterable[Player], prices: Sequence[int] = PRICES) -> pd.DataFrame:
    """Each player with each budget on the same episodes: one row per player, price and episode.

    Columns: task, searcher, seed, price, episode; named (true reward of the head that it names), fresh (of the same, on prompts
    that the episode does not have), found (largest reward among heads measured whole), measured_best (whether the episode's best
    head has been measured, on any prompts), recall (share of the five best that have), oracle. Missing where the budget is too
    small for the searcher to do anything.

    Raises ``ValueError`` for a searcher that spends more than its budget.
    """
    rewards, players = trials.rewards, list(players)
    jobs = [(player, price) for player in players for price in prices]

    def play(job: tuple[Player, int]) -> pd.DataFrame:
        player, price = job
        meter = trials.meter(player.repeats_free)
        player.searcher.search(meter, price, torch.Generator().manual_seed(EPISODE_SEED + player.seed))
        if (most := meter.price.max().item()) > price:
            raise ValueError(f"{player.name} spent {most} of a budget of {price}")
        at = {"task": trials.task, "searcher": player.name, "seed": player.seed, "price": price}
        return pd.DataFrame(at | {"episode": range(len(rewards))} | _known(trials, meter))

    with threads_of_one_core(len(jobs)) as pool:
        return pd.concat(pool.map(play, jobs), ignore_index=True)


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
