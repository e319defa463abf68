"""Do policies read their rewards? Each plays with the truth, nothing and lies before its eyes, on the same episodes and random numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.processes import in_processes
from circuitlib.search.episodes import NOTHING
from circuitlib.search.oracle import best_head, best_reward, head_order
from circuitlib.search.orders import layer_by_layer, random_orders
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.contest import DRAWS, Policies
from circuitlib.studies.intervals import fraction
from circuitlib.studies.reading import SHOWN, Plays, play

PLAYS = 5
"""Plays of each episode by each policy that draws; the same random numbers whatever it is shown."""


@dataclass(frozen=True)
class Question:
    """One task.

    rewards: of its episodes. told: by what policies are told, the signal. seed: of the random orders. pool: the prompts that episodes
    are drawn from.
    """

    task: str
    rewards: Float[Tensor, "e h"]
    told: Mapping[str, Float[Tensor, " tasks"]]
    seed: int
    pool: int


def measure_seeing(
    questions: Sequence[Question],
    policies: Policies,
    training: Float[Tensor, "tasks h"],
    layers: int,
    measured: Sequence[int],
) -> pd.DataFrame:
    """What each policy finds, after so many heads ``measured``, whatever it is shown; random search, layers in order and the list of
    mean ``training`` rewards beside it.

    Columns: task, searcher (``policy`` draws, ``policy, greedy`` takes the most probable head), trained_k, told, shown
    (:data:`circuitlib.studies.reading.Shown`, or ``none`` without a policy), measured, rests_on (``policies`` or ``tables``), ratio (mean best
    reward over the paired oracle's) with its interval (low, high), best_head (share of plays in which the episode's best head has
    been measured), and, for a policy that is not shown its rewards, effect: the ratio of the same policy seeing them minus
    this one's, with its interval (effect_low, effect_high), and changed: the share of its heads that the seeing one did not
    measure. Without planning. Intervals: :mod:`circuitlib.studies.intervals`.
    """
    jobs = [(question, policies, training, layers, measured) for question in questions]
    return pd.DataFrame(row for rows in in_processes(_rows, jobs) for row in rows)


def _rows(
    question: Question, policies: Policies, training: Float[Tensor, "tasks h"], layers: int, measured: Sequence[int]
) -> list[dict[str, Any]]:
    rewards, pool, oracle = question.rewards, question.pool, best_reward(question.rewards).numpy()

    def summary(some: Sequence[Plays], **condition: Any) -> Iterator[dict[str, Any]]:
        """Of the plays of each seed."""
        hit = torch.stack([(plays.head == best_head(rewards)[:, None]).cumsum(-1).bool() for plays in some]).double()
        rests_on = "policies" if condition["trained_k"] else "tables"
        for count in measured:
            row = {"task": question.task, **condition, "measured": count, "rests_on": rests_on}
            row |= dict(zip(("ratio", "low", "high"), fraction(_best(some, count), oracle, pool), strict=True))
            yield row | {"best_head": hit[..., count - 1].mean().item()}

    rows: list[dict[str, Any]] = []
    for name, plays in _without_policy(question, training, layers, max(measured)):
        rows += summary([plays], searcher=name, trained_k=0, told=NOTHING, shown=NOTHING)
    for (k, networks), (told, signal), greedy in product(policies.items(), question.told.items(), (False, True)):
        saw: list[Plays] = []
        for shown in SHOWN:
            some = [
                play(network, signal, rewards, EPISODE_SEED + seed, shown, PLAYS, greedy)
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


def _without_policy(
    question: Question, training: Float[Tensor, "tasks h"], layers: int, most: int
) -> Iterator[tuple[str, Plays]]:
    (episodes, heads), rewards = question.rewards.shape, question.rewards
    plays, numbers = DRAWS * PLAYS, torch.Generator().manual_seed(question.seed)
    shape = (plays, episodes, -1)
    orders = {
        "random": random_orders(plays * episodes, heads, numbers).view(shape),
        "layers in order": layer_by_layer(plays * episodes, torch.arange(layers), heads // layers, numbers).view(shape),
        "list": head_order(training).expand(1, episodes, -1),
    }
    for name, order in orders.items():
        order = order[..., :most]
        yield name, Plays(order, rewards.expand(len(order), -1, -1).gather(-1, order).cummax(-1).values)
