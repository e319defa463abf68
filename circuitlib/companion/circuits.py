"""Tables ``circuits`` and ``policy_circuits``: the first heads of several rankings, kept or ablated together. Is a head that pays by
itself part of a circuit?"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.engine import AblationKind
from circuitlib.companion.frames import STUDY_SEED, closer_prompts, evaluation_episodes, head_rewards
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.oracle import head_order
from circuitlib.search.orders import random_orders
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.circuits import Rankings, measure_circuits
from circuitlib.studies.faithfulness import shares
from circuitlib.studies.reading import play
from circuitlib.tasks import TASKS

SIZES = (1, 5, 10, 20, 50)
"""Heads of a circuit; no more than the paper's policy picks."""

KINDS: tuple[AblationKind, ...] = ("zero", "mean")
"""What takes a head's place: the paper's, and what the literature of circuits does."""

DRAWS = 3
"""Random orders."""


def circuits(run: Run) -> pd.DataFrame:
    """The main tasks' heads by reward (``damage``; the mean over the evaluation tables, as the oracle knows it), by attribution (the same, estimated by one gradient)
    and at random: :func:`circuitlib.studies.faithfulness.shares` of what is stored, :func:`circuitlib.studies.circuits.measure_circuits`."""
    rankings: dict[str, Rankings] = {}
    for i, task in enumerate(run.main_tasks):
        numbers = torch.Generator().manual_seed(EPISODE_SEED + i)
        rankings[task] = {
            "damage": _first(head_order(head_rewards(run, task, "evaluation")[None])[None]),
            "attribution": _first(head_order(head_rewards(run, task, "evaluation", "everything")[None])[None]),
            "random": _first(random_orders(DRAWS, run.card.heads, numbers)),
        }
    return _measured(run, "circuits", rankings, KINDS, "tables")


def policy_circuits(run: Run) -> pd.DataFrame:
    """The same of the order in which the policies measure heads, on average over the seeds that are kept, told the task where they were trained on it,
    otherwise nothing; with zeros in the heads' place. One order: its intervals say nothing of policies trained anew."""
    rankings = {task: {"policy": _first(head_order(-_places(run, task)[None])[None])} for task in run.main_tasks}
    return _measured(run, "policy_circuits", rankings, KINDS[:1], "policies")


def _first(orders: Tensor) -> list[list[int]]:
    return orders[:, : max(SIZES)].tolist()


def _measured(
    run: Run, name: str, rankings: Mapping[str, Rankings], kinds: Sequence[AblationKind], rests_on: str
) -> pd.DataFrame:
    count, text = closer_prompts(run), run.settings.text
    sizes = [size for size in SIZES if size < run.card.heads]
    asked = {"rankings": rankings, "sizes": sizes, "prompts": count, "seed": STUDY_SEED, "kinds": kinds}

    def measure(some: Sequence[str]) -> pd.DataFrame:
        of_some = {TASKS[task]: rankings[task] for task in some}
        scores = measure_circuits(run.subject, of_some, sizes, count, STUDY_SEED, kinds, text)
        return scores.assign(rests_on=rests_on)

    return shares(run.frame_by_task(name, measure, run.main_tasks, measure_circuits.__module__, **asked))


def _places(run: Run, task: str) -> Float[Tensor, " heads"]:
    """How late each head is measured, on average over seeds and episodes; one that is not, after all that are."""
    rewards = evaluation_episodes(run, task).mean(1)
    signal = torch.from_numpy(signal_of(run.training_tasks, task if task in run.training_tasks else NOTHING))
    places = []
    for seed, network in run.kept_policies()[HEADLINE_K].items():
        heads = play(network, signal, rewards, EPISODE_SEED + seed).head[0]
        late = torch.full(rewards.shape, float(heads.shape[1]))
        places.append(late.scatter(1, heads, torch.arange(heads.shape[1]).float().expand(heads.shape)).mean(0))
    return torch.stack(places).mean(0)
