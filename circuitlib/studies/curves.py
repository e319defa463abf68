"""What is found after every head that is measured: the plays of the evaluation once more, of whose curves its table has a few points."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL
from circuitlib.search.env import budget_for
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.oracle import head_order
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.contest import DRAWS, Policies, Tables
from circuitlib.studies.evaluate import CONDITION, Entry, evaluate, summarise
from circuitlib.studies.heads import head_rewards


def measure_curves(
    evaluation: Tables, training: Tables, policies: Policies, episodes: int, penalty: float, pool: int
) -> pd.DataFrame:
    """The searchers of :func:`circuitlib.studies.contest.contest` on its episodes, with its random numbers, in one condition a task: told it
    where it was trained on, otherwise nothing. Policies do not plan.

    Columns: those of ``CONDITION``, ``measured`` being every number of heads up to an episode's picks; ratio (mean best reward over the
    paired oracle's) with its interval (low, high); rests_on (``policies`` or ``tables``).

    evaluation, training, episodes, penalty: as of the contest. pool: the prompts that episodes are drawn from.
    """
    rewards = {
        task: head_rewards(table, training[CONTROL], penalty) for task, table in training.items() if task != CONTROL
    }

    def entries(task: str) -> Iterator[Entry]:
        told = task if task in rewards else NOTHING
        known = [rewards[task]] if task in rewards else [*rewards.values()]
        yield from (Entry("random", RandomSearcher(), seed=seed) for seed in range(DRAWS))
        yield Entry("static prior", StaticPrior(head_order(torch.stack(known))), told)
        for trained, networks in policies.items():
            for seed, network in networks.items():
                yield Entry("policy", PolicySearcher(network, signal_of(tuple(rewards), told)), told, seed, trained, 1)

    frames = []
    for task, table in evaluation.items():
        if task != CONTROL:
            drawn = draw_trials(PricedTables(table, evaluation[CONTROL]), episodes, penalty).rows
            every = range(1, budget_for(drawn.shape[2]) + 1)
            frames.append(summarise(evaluate(task, drawn, entries(task), every, picks=1), pool))
    found = pd.concat(frames, ignore_index=True)[[*CONDITION, "ratio", "low", "high"]]
    return found.assign(rests_on=np.where(found["trained_k"] > 0, "policies", "tables"))
