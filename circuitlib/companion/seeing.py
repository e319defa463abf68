"""Do this run's policies read their rewards? Table ``seeing``: each policy with the truth, nothing and lies before its eyes."""

import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.frames import evaluation_episodes, head_rewards
from circuitlib.companion.run import Run
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.evaluate import MEASURED
from circuitlib.studies.seeing import Question, measure_seeing


def seeing(run: Run) -> pd.DataFrame:
    """Every task, with policies told nothing and, on main tasks, the training tasks; see
    :func:`circuitlib.studies.seeing.measure_seeing`. After every head where curves are drawn, told nothing, and otherwise after
    ``MEASURED``."""
    policies, settings, picks = run.policies(), run.settings, run.ppo_config(1).budget
    tables = {
        "train": run.table_hashes((*run.training_tasks, CONTROL), "train"),
        "evaluation": run.table_hashes((*run.tasks, CONTROL), "evaluation"),
    }

    def question(task: str) -> Question:
        told = [NOTHING]
        if task in run.main_tasks:
            told += [task] if task in run.training_tasks else run.training_tasks
        signals = {signal: torch.from_numpy(signal_of(run.training_tasks, signal)) for signal in told}
        rewards = evaluation_episodes(run, task).mean(1)
        return Question(task, rewards, signals, EPISODE_SEED + run.tasks.index(task), settings.evaluation_prompts)

    def compute() -> pd.DataFrame:
        training = torch.stack([head_rewards(run, name, "train") for name in run.training_tasks])
        every = range(1, picks + 1)
        found = measure_seeing([question(task) for task in run.tasks], policies, training, run.card.layers, every)
        curves = (found["told"] == NOTHING) & (found["searcher"] != "policy, greedy") & (found["shown"] != "swapped")
        return found[curves | found["measured"].isin(MEASURED)]

    return run.frame(
        "seeing",
        compute,
        measure_seeing.__module__,
        tables=tables,
        policies=run.training_hashes(),
        episodes=settings.episodes,
        penalty=settings.penalty,
        picks=picks,
    )
