"""What would change if: another lambda, another number of prompts in an episode or in the training tables, another ablation.

Nothing is trained again: the same list and the same policies, on episodes that pay otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.tables import DamageTable, reward
from circuitlib.search.episodes import BATCH, signal_of
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import best_reward, head_order
from circuitlib.search.priors import by_mean
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.heads import head_rewards
from circuitlib.studies.intervals import fraction
from circuitlib.studies.reading import play
from circuitlib.threads import threads_of_one_core

LAMBDAS = (0.0, 0.5, 2.0, 4.0)
BATCHES = (8, 16, 64, 128)
TRAINING = (12, 24, 48)
"""Rows of each training table that the list is made of."""

KINDS = {
    "again": "zeros, other prompts",
    "mean": "means in place of zeros",
    "resample": "another prompt's values in place of zeros",
}
"""Columns of the table of kinds, beside zeros on the same prompts."""

TOP = 5
"""Heads whose overlap is counted."""

EARLY = 10
"""Heads measured after which list and policy are compared."""


@dataclass(frozen=True)
class Setting:
    """What episodes pay and hold, and what the list is made of. penalty: lambda. batch: prompts, and spans where there are as many. training: rows of
    each training table, all if None."""

    change: str
    penalty: float
    batch: int = BATCH
    training: int | None = None


def settings_of(penalty: float) -> Iterator[Setting]:
    """As published, and one thing changed at a time."""
    yield Setting("as published", penalty)
    for value in LAMBDAS:
        if value != penalty:
            yield Setting(f"lambda {value:g}", value)
    for batch in BATCHES:
        yield Setting(f"{batch} prompts an episode", penalty, batch=batch)
    for rows in TRAINING:
        yield Setting(f"a list of {rows} prompts a task", penalty, training=rows)


def drawn(
    damage: DamageTable, general: DamageTable, setting: Setting, episodes: int
) -> Float[Tensor, "episodes heads"]:
    """The rewards of episodes of so many prompts as a setting has, drawn without replacement, the i-th with the i-th seed; of as many spans,
    or all where there are fewer."""
    rewards = []
    for i in range(episodes):
        rng = np.random.default_rng(EPISODE_SEED + i)
        own, control = (
            rng.choice(len(table), min(setting.batch, len(table)), replace=False) for table in (damage, general)
        )
        rewards.append(reward(damage.damage[own].mean(0), general.damage[control].mean(0), setting.penalty))
    return torch.stack(rewards)


def ordered(rewards: Float[Tensor, "episodes heads"], usual: Float[Tensor, " heads"]) -> dict[str, Any]:
    """The heads' order beside that by ``usual`` rewards: whether the best head is the same (same_best), how many of the five best are
    (shared), the rank correlation of all (correlation), and what the usual best head pays, as a share of the best (kept)."""
    mean = rewards.mean(0)
    best, ours = (head_order(values[None])[:TOP].tolist() for values in (usual, mean))
    return {
        "same_best": best[0] == ours[0],
        "shared": len({*best} & {*ours}),
        "correlation": pd.Series(mean.numpy()).corr(pd.Series(usual.numpy()), method="spearman"),
        "kept": float(mean[best[0]] / mean.max()),
    }


def found(
    rewards: Float[Tensor, "episodes heads"],
    order: Sequence[int],
    policies: Mapping[int, ActorCritic],
    signal: Float[Tensor, " tasks"],
    pool: int | None,
) -> Iterator[dict[str, Any]]:
    """A row for a list of heads, and one for policies, seeing: fractions of the paired oracle after ten heads (early) and after all picks, that with its
    interval (all, low, high); and, of policies, how far the list is ahead of them after ten, with the interval of that (ahead, ahead_low,
    ahead_high). pool: as in :func:`circuitlib.studies.intervals.fraction`.
    """
    oracle = best_reward(rewards).numpy()
    with threads_of_one_core(len(policies)) as pool_of_threads:
        seeds = [EPISODE_SEED + seed for seed in policies]
        plays = list(pool_of_threads.map(lambda *of: play(of[0], signal, rewards, of[1]), policies.values(), seeds))
    best = {
        "list": rewards[:, list(order[: plays[0].found.shape[2]])].cummax(1).values[None].numpy(),
        "policy": torch.stack([one.found[0] for one in plays]).numpy(),
    }
    for searcher, values in best.items():
        early = values[..., :EARLY][..., -1]
        row: dict[str, Any] = {"searcher": searcher, "rests_on": "policies" if searcher == "policy" else "tables"}
        row |= {"early": float(early.mean() / oracle.mean())}
        row |= dict(zip(("all", "low", "high"), fraction(values[..., -1], oracle, pool), strict=True))
        if searcher == "policy":
            ahead = fraction(best["list"][..., :EARLY][..., -1], oracle, pool, against=early)
            row |= dict(zip(("ahead", "ahead_low", "ahead_high"), ahead, strict=True))
        yield row


def what_if(
    evaluation: Mapping[str, DamageTable],
    general: DamageTable,
    training: Mapping[str, DamageTable],
    training_general: DamageTable,
    policies: Mapping[int, ActorCritic],
    kinds: pd.DataFrame,
    penalty: float,
    episodes: int,
) -> pd.DataFrame:
    """Two rows for every change and task. Columns: change, task, those of :func:`ordered`, and those of :func:`found`.

    evaluation, training: tables by task. kinds: :func:`circuitlib.studies.kinds.measure_kinds` of the tasks in ``evaluation``; of each kind there is
    one episode, of few prompts, played over and over, so that nothing is known of others, and ``zeros, other prompts`` tells how much these are.
    """
    signal = torch.from_numpy(signal_of(tuple(training)))
    rows: list[dict[str, Any]] = []

    def listed(setting: Setting) -> list[int]:
        some = [
            head_rewards(_first(table, setting.training), training_general, setting.penalty)
            for table in training.values()
        ]
        return by_mean(torch.stack(some)).tolist()

    usual_list = listed(Setting("", penalty))
    for task, table in evaluation.items():
        usual = head_rewards(table, general, penalty)
        for setting in settings_of(penalty):
            # The overlap of episodes of this many prompts, in those of BATCH.
            pool = len(table) * BATCH // setting.batch
            rewards = drawn(table, general, setting, episodes)
            changed = {"change": setting.change, "task": task, **ordered(rewards, usual)}
            rows += [changed | row for row in found(rewards, listed(setting), policies, signal, pool)]
        task_rows, control_rows = (
            kinds[kinds["task"] == name].set_index("head").drop(columns="task") for name in (task, general.name)
        )
        paid = {
            kind: torch.from_numpy(reward(task_rows[kind].to_numpy(), control_rows[kind].to_numpy(), penalty))
            for kind in ("zero", *KINDS)
        }
        zeros = paid["zero"]
        for kind, change in KINDS.items():
            # One episode, played as often as others are, which says nothing of other prompts.
            rewards = paid[kind].float().expand(episodes, -1)
            changed = {"change": change, "task": task, **ordered(rewards, zeros)}
            rows += [changed | row for row in found(rewards, usual_list, policies, signal, BATCH)]
    return pd.DataFrame(rows)


def _first(table: DamageTable, rows: int | None) -> DamageTable:
    return DamageTable(table.clean[:rows], table.damage[:rows], table.provenance)
