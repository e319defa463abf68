"""Who searches on a task, what each is told, and what all of them find on the same episodes."""

from collections.abc import Iterator, Mapping

import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL, DamageTable
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import head_order
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.evaluate import MEASURED, Entry, evaluate
from circuitlib.studies.heads import head_rewards

Tables = Mapping[str, DamageTable]
"""By task, and the control text's by ``control``."""

DRAWS = 5
"""Times that a searcher which draws, and is of no policy, plays: as many whatever policies there are."""

Policies = Mapping[int, Mapping[int, ActorCritic]]
"""By the k that they were trained with, and by seed."""


def contest(
    evaluation: Tables, training: Tables, policies: Policies, held_out: str, episodes: int, penalty: float
) -> pd.DataFrame:
    """Every searcher on the same episodes of every task; columns of :func:`circuitlib.studies.evaluate.evaluate`.

    On a training task policies are told the task; on the others they are told nothing and, on the
    held-out one, also each of the training tasks. The static prior and random search
    stand beside them: told a task, the prior is that task's order; told nothing, the order by the mean
    over all training tasks. All go on until all heads are measured, policies beyond the picks of their training. Each
    plans with every k that there is a policy of.

    evaluation, training: tables of the two parts. episodes: of each task. penalty: lambda.
    """
    rewards = {
        task: head_rewards(table, training[CONTROL], penalty) for task, table in training.items() if task != CONTROL
    }
    trained_on = tuple(rewards)
    priors = {task: head_order(mean[None]) for task, mean in rewards.items()}
    priors[NOTHING] = head_order(torch.stack(list(rewards.values())))

    def entries(task: str) -> Iterator[Entry]:
        told = [task] if task in trained_on else [NOTHING, *(trained_on if task == held_out else ())]
        yield from (Entry("random", RandomSearcher(), seed=seed) for seed in range(DRAWS))
        for signal in told:
            yield Entry("static prior", StaticPrior(priors[signal]), signal)
            for trained, networks in policies.items():
                for seed, network in networks.items():
                    for planned in policies:
                        searcher = PolicySearcher(network, signal_of(trained_on, signal), planned)
                        yield Entry("policy", searcher, signal, seed, trained, planned)

    def of(task: str, table: DamageTable) -> pd.DataFrame:
        drawn = draw_trials(PricedTables(table, evaluation[CONTROL]), episodes, penalty).rows
        return evaluate(task, drawn, entries(task), (*MEASURED, drawn.shape[2]))

    frames = [of(task, table) for task, table in evaluation.items() if task != CONTROL]
    return pd.concat(frames, ignore_index=True)
