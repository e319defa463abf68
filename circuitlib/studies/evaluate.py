"""Searchers against the oracle on the same episodes: what is found after so many heads measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING
from circuitlib.search.meter import Meter
from circuitlib.search.oracle import best_reward
from circuitlib.search.searchers import Searcher
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.threads import threads_of_one_core

MEASURED = (1, 5, 10, 20, 50, 100)  # heads measured at which the best reward so far is recorded
CONDITION = ["task", "signal", "searcher", "trained_k", "planned_k", "measured"]


@dataclass(frozen=True)
class Entry:
    """One searcher in one condition. ``signal`` names the task the searcher is told, or ``none``; ``trained_k`` and
    ``planned_k`` are 0 for searchers without a policy."""

    name: str
    searcher: Searcher
    signal: str = NOTHING
    seed: int = 0
    trained_k: int = 0
    planned_k: int = 0


def evaluate(
    task: str,
    episodes: Float[Tensor, "episodes batch heads"],
    entries: Iterable[Entry],
    measured: Sequence[int] = MEASURED,
    picks: int = BUDGET,
) -> pd.DataFrame:
    """A tidy table: one row per entry, episode and number of heads measured, none beyond the heads that there are.

    Columns: task, signal, searcher, trained_k, planned_k, seed, episode, measured, best (largest reward so far), oracle
    (the paired ceiling), reached_90 (heads measured when 90% of the oracle was first reached; missing if it was not). A
    planner with k > 1 also has a row for all that it measured in ``picks`` picks.

    Raises ``ValueError`` for numbers of heads below 1, before anything is searched, and for a searcher that spends more than its budget.
    """
    if not all(count >= 1 for count in measured):
        raise ValueError(f"best rewards are recorded after at least 1 head measured, not after {tuple(measured)}")
    rewards, heads = episodes.mean(1), episodes.shape[2]
    oracle, entries = best_reward(rewards), list(entries)

    def search(entry: Entry) -> Meter:
        meter = Meter(episodes)
        budget = max(*measured, picks * max(entry.planned_k, 1))
        entry.searcher.search(meter, budget, torch.Generator().manual_seed(EPISODE_SEED + entry.seed))
        if (most := meter.price.max().item()) > budget:
            raise ValueError(f"{entry.name} spent {most} of a budget of {budget}")
        return meter

    with threads_of_one_core(len(entries)) as pool:
        meters = list(pool.map(search, entries))
    frames = []
    for entry, meter in zip(entries, meters, strict=True):
        log = meter.log
        best = log.found(rewards)
        short = (best.value < 0.9 * oracle[:, None]).sum(1, keepdim=True)  # entries before 90% was reached
        never = torch.full_like(log.price[:, :1], torch.nan)
        first = torch.cat([log.price, never], 1).gather(1, short)[:, 0]
        condition = {"task": task, "signal": entry.signal, "searcher": entry.name}
        condition |= {name: getattr(entry, name) for name in ("trained_k", "planned_k", "seed")}
        picked = min(picks * max(entry.planned_k, 1), int(meter.price.min()))
        for count in sorted({*(min(count, heads) for count in measured), picked}):
            seen = {"episode": range(len(rewards)), "measured": count, "best": best.at(count).numpy()}
            paired = {"oracle": oracle.numpy(), "reached_90": first.numpy()}
            frames.append(pd.DataFrame(condition | seen | paired))
    return pd.concat(frames, ignore_index=True)


def by_seed(rows: pd.DataFrame, values: str = "best") -> Float[np.ndarray, "seeds episodes"]:
    """A column of one condition's rows after one number of heads. Raises ``ValueError`` for rows of several."""
    order = np.lexsort((rows["episode"].to_numpy(), rows["seed"].to_numpy()))
    seeds, episodes = rows["seed"].nunique(), rows["episode"].nunique()
    at = rows["episode"].to_numpy()[order]
    if len(at) != seeds * episodes or (at.reshape(seeds, episodes) != at[:episodes]).any():
        raise ValueError(f"{len(rows)} rows are not one for each of {seeds} seeds and {episodes} episodes")
    return rows[values].to_numpy()[order].reshape(seeds, episodes)


def summarise(frame: pd.DataFrame, pool: int | None) -> pd.DataFrame:
    """One row per condition and number of heads measured: mean best reward, mean oracle, their ratio with its interval
    (``ratio``, ``low``, ``high``), share of episodes that reached 90% of the oracle by then and the median number of heads that
    took (missing if fewer than half of the episodes got there).

    pool: the prompts that episodes are drawn from, or None where they share none (:mod:`circuitlib.studies.intervals`).
    """
    rows = []
    for key, group in frame.groupby(CONDITION, sort=False):
        best, oracle = by_seed(group), by_seed(group, "oracle")[0]
        reached = group["reached_90"].where(group["reached_90"] <= group["measured"], np.inf)
        found = {"best": best.mean(), "oracle": oracle.mean()}
        found |= dict(zip(("ratio", "low", "high"), fraction(best, oracle, pool), strict=True))
        when = {"reached_90_share": np.isfinite(reached).mean(), "reached_90_heads": reached.median()}
        rows.append(dict(zip(CONDITION, key, strict=True)) | found | when)
    return pd.DataFrame(rows).replace({"reached_90_heads": {np.inf: np.nan}})


def ahead(one: pd.DataFrame, other: pd.DataFrame, pool: int | None) -> Interval:
    """How much more one condition finds than another, both rows of one evaluation after one number of heads, as a fraction
    of the oracle: paired by episode, and by seed where both have as many."""
    return fraction(by_seed(one), by_seed(one, "oracle")[0], pool, against=by_seed(other))


def after_picks(summary: pd.DataFrame) -> pd.DataFrame:
    """Of a summary, the rows after as many heads measured as an episode has picks, or all heads where there are fewer."""
    measured = summary["measured"]
    return summary[measured == measured[measured <= BUDGET].max()]
