"""The paper's axis: what searchers have found after so many picks, whatever they paid to choose them."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.processes import in_processes
from circuitlib.search.belief import with_few
from circuitlib.search.episodes import signal_of
from circuitlib.search.oracle import best_reward
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.rivals import LayersByReward, Verified
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import EPISODE_SEED, PricedTables, Trials, draw_trials
from circuitlib.studies.contest import Policies
from circuitlib.studies.intervals import fraction
from circuitlib.studies.priced import Player
from circuitlib.studies.priced_contest import players

PICKS = (1, 5, 10, 20, 50)
"""Heads taken, at which the largest reward so far is recorded."""

PICKING = (RandomSearcher, LayersByReward, StaticPrior, Verified, PolicySearcher)
"""Searchers that pick: they measure whole heads, one after another. One that measures heads on a few prompts each makes no picks."""


def picks_contest(
    evaluation: Mapping[str, PricedTables],
    training: Mapping[str, PricedTables],
    policies: Policies,
    layers: int,
    episodes: int,
    penalty: float,
    pool: int,
) -> pd.DataFrame:
    """The searchers of :func:`circuitlib.studies.priced_contest.priced_contest` that pick, but for ``MaskablePPO``, told nothing, on its episodes, with its random numbers; and policies that take
    their likeliest head instead of drawing one.

    Columns: task, searcher, picks, ratio (largest reward among heads measured, over the paired oracle's) with its interval (low, high), rests_on (``policies`` or
    ``tables``). An estimate costs no pick, and a pick of a planner measures all its candidates: on this axis both are free.

    evaluation, training, policies, layers, episodes, penalty: as there. pool: the prompts that episodes are drawn from.
    """
    buyable = list(next(iter(evaluation.values())).estimates)
    everyone = list(picking(players(training, buyable, policies, {}, None, {}, layers, penalty)))
    nothing = signal_of(tuple(training))
    everyone += [
        Player(f"policy k={k}, greedy", PolicySearcher(network, nothing, greedy=True), seed)
        for k, networks in policies.items()
        for seed, network in networks.items()
    ]
    jobs = [(with_few(draw_trials(tables, episodes, penalty)), everyone, pool) for tables in evaluation.values()]
    return pd.concat(in_processes(measure_picks, jobs), ignore_index=True)


def picking(everyone: Iterator[Player]) -> Iterator[Player]:
    """Those that pick, each once: whether repeats are free changes no pick, and an exhaustive search (which has a price of its own) ends when all heads are known."""
    for player in everyone:
        if isinstance(player.searcher, PICKING) and not player.repeats_free and not player.prices:
            yield player


def measure_picks(trials: Trials, everyone: Sequence[Player], pool: int) -> pd.DataFrame:
    """One task's rows of :func:`picks_contest`; none beyond the heads that there are."""
    rewards, rows = trials.rewards, []
    counts = [count for count in PICKS if count <= rewards.shape[1]]
    by_name: dict[str, list[Player]] = {}
    for player in everyone:
        by_name.setdefault(player.name, []).append(player)
    for name, some in by_name.items():
        found = torch.stack([_found(trials, player, counts) for player in some], 1)
        rests_on = "policies" if isinstance(some[0].searcher, PolicySearcher) else "tables"
        for count, best in zip(counts, found, strict=True):
            interval = fraction(best.numpy(), best_reward(rewards).numpy(), pool)
            row = {"task": trials.task, "searcher": name, "picks": count} | interval._asdict() | {"rests_on": rests_on}
            rows.append(row)
    return pd.DataFrame(rows).rename(columns={"value": "ratio"})


def _found(trials: Trials, player: Player, counts: Sequence[int]) -> Float[Tensor, "counts e"]:
    """What one player has found in each episode after so many picks, while there are more heads untried than a planner measures for one."""
    meter, searcher = trials.meter(), player.searcher
    first = meter.price_of(searcher.estimate) if isinstance(searcher, Verified) else 0.0
    each = searcher.candidates if isinstance(searcher, PolicySearcher) else 1
    searcher.search(meter, first + each * counts[-1], torch.Generator().manual_seed(EPISODE_SEED + player.seed))
    curve = meter.log.found(trials.rewards)
    return torch.stack([curve.at(first + each * count) for count in counts])
