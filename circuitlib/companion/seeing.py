"""Do this run's policies read their rewards? Table ``seeing``: each policy with the truth, nothing and lies before its eyes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.companion.frames import evaluation_episodes, head_rewards
from circuitlib.companion.run import Run
from circuitlib.companion.settings import CANDIDATES
from circuitlib.processes import in_processes
from circuitlib.search.contest import DRAWS, Policies
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.evaluate import MEASURED
from circuitlib.search.intervals import fraction
from circuitlib.search.oracle import best_head, best_reward, head_order
from circuitlib.search.orders import layers_in_order, random_orders
from circuitlib.search.reading import SHOWN, Plays, play
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.tasks.control_text import CONTROL

PLAYS = 10
"""Plays of each episode by each policy that draws; the same random numbers whatever it is shown."""


def seeing(run: Run) -> pd.DataFrame:
    """Columns: task, searcher (``policy`` draws, ``policy, greedy`` takes the most probable head; ``random``, ``layers in order``
    and the ``list`` of mean training rewards beside them), trained_k, told (further tasks: nothing), shown
    (:data:`circuitlib.search.reading.Shown`, or ``none`` without a policy), measured, rests_on as in :func:`circuitlib.companion.claims.claims`, ratio (mean best
    reward over the paired oracle's) with its interval (low, high), best_head (share of plays in which the episode's best head has
    been measured), and, for a policy that is not shown its rewards, effect: the ratio of the same policy seeing them minus
    this one's, with its interval (effect_low, effect_high), and changed: the share of its heads that the seeing one did not
    measure. Without planning. Intervals: :mod:`circuitlib.search.intervals`."""
    policies = run.policies()
    tables = {
        "train": run.table_hashes((*run.training_tasks, CONTROL), "train"),
        "evaluation": run.table_hashes((*run.tasks, CONTROL), "evaluation"),
    }

    def compute() -> pd.DataFrame:
        return pd.DataFrame(row for rows in in_processes(_rows, list(_tasks(run, policies))) for row in rows)

    return run.frame(
        "seeing",
        compute,
        __name__,
        tables=tables,
        policies=run.hashes(*(run.policy_path(k).name for k in CANDIDATES)),
        episodes=run.settings.episodes,
        penalty=run.settings.penalty,
    )


def _tasks(run: Run, policies: Policies) -> Iterator[tuple[Any, ...]]:
    """Of each task, what :func:`_rows` needs."""
    pool, measured = run.settings.evaluation_prompts, [n for n in MEASURED if n <= run.ppo_config(1).budget]
    for task in run.tasks:
        told = [NOTHING]
        if task in run.main_tasks:
            told += [task] if task in run.training_tasks else run.training_tasks
        rewards = evaluation_episodes(run, task).mean(1)
        others = dict(_without_policy(run, task, rewards, max(measured)))
        signals = {signal: torch.from_numpy(signal_of(run.training_tasks, signal)) for signal in told}
        yield task, rewards, others, policies, signals, measured, pool


def _rows(
    task: str,
    rewards: Float[Tensor, "e h"],
    others: Mapping[str, Plays],
    policies: Policies,
    signals: Mapping[str, Float[Tensor, " tasks"]],
    measured: Sequence[int],
    pool: int,
) -> list[dict[str, Any]]:
    """The table's rows of one task. others: plays without a policy. signals: by what policies are told."""
    oracle = best_reward(rewards).numpy()

    def summary(some: Sequence[Plays], **condition: Any) -> Iterator[dict[str, Any]]:
        """Of the plays of each seed."""
        hit = torch.stack([(plays.head == best_head(rewards)[:, None]).cumsum(-1).bool() for plays in some]).double()
        rests_on = "policies" if condition["trained_k"] else "tables"
        for count in measured:
            row = {"task": task, **condition, "measured": count, "rests_on": rests_on}
            row |= dict(zip(("ratio", "low", "high"), fraction(_best(some, count), oracle, pool), strict=True))
            yield row | {"best_head": hit[..., count - 1].mean().item()}

    rows: list[dict[str, Any]] = []
    for name, plays in others.items():
        rows += summary([plays], searcher=name, trained_k=0, told=NOTHING, shown=NOTHING)
    for (k, networks), told, greedy in product(policies.items(), signals, (False, True)):
        saw: list[Plays] = []
        for shown in SHOWN:
            some = [
                play(network, signals[told], rewards, EPISODE_SEED + seed, shown, PLAYS, greedy)
                for seed, network in networks.items()
            ]
            saw = saw or some
            condition = {"searcher": "policy, greedy" if greedy else "policy", "trained_k": k, "told": told}
            for row in summary(some, **condition, shown=shown):
                if shown != "seeing":
                    count = row["measured"]
                    effect = fraction(_best(saw, count), oracle, pool, against=_best(some, count))
                    row |= dict(zip(("effect", "effect_low", "effect_high"), effect, strict=True))
                    changed = [plays.changed(other, count) for plays, other in zip(some, saw, strict=True)]
                    row["changed"] = sum(changed) / len(changed)
                rows.append(row)
    return rows


def _best(some: Sequence[Plays], count: int) -> Float[np.ndarray, "seeds episodes"]:
    """What each seed has found after so many heads, mean over plays."""
    return torch.stack([plays.found[..., count - 1].mean(0) for plays in some]).numpy()


def _without_policy(run: Run, task: str, rewards: Float[Tensor, "e h"], most: int) -> Iterator[tuple[str, Plays]]:
    """Random search, layers in order, and the list of mean training rewards."""
    episodes, heads = rewards.shape
    plays, numbers = DRAWS * PLAYS, torch.Generator().manual_seed(EPISODE_SEED + run.tasks.index(task))
    training = torch.stack([head_rewards(run, name, "train") for name in run.training_tasks])
    orders = {
        "random": random_orders(plays * episodes, heads, numbers).view(plays, episodes, -1),
        "layers in order": layers_in_order(plays * episodes, run.card.layers, run.card.heads_per_layer, numbers).view(
            plays, episodes, -1
        ),
        "list": head_order(training).expand(1, episodes, -1),
    }
    for name, order in orders.items():
        order = order[..., :most]
        yield name, Plays(order, rewards.expand(len(order), -1, -1).gather(-1, order).cummax(-1).values)
