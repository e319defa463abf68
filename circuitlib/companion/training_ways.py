"""Table ``training_ways``: does a policy read its rewards if it is trained otherwise than in the paper?

Five trainings of five seeds each take an hour on two cores: a run takes the published table as it is, and measures it only by command,
``python -m circuitlib training-ways``.
"""

from dataclasses import asdict

import pandas as pd

from circuitlib.companion.frames import evaluation_episodes
from circuitlib.companion.run import Run
from circuitlib.processes import in_processes
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.evaluate import MEASURED
from circuitlib.search.seeing import Question
from circuitlib.search.training_ways import OTHER_WAYS, PAPER, measure_way, train_way
from circuitlib.tasks.control_text import CONTROL

SEEDS = 5
"""Of each way; of the paper's as well, so that all are known equally well."""


def training_ways(run: Run) -> pd.DataFrame:
    """The paper's way and others, with k = 1, on every task; columns of :func:`circuitlib.search.training_ways.measure_way`."""
    tasks = {False: run.training_tasks, True: tuple(name for name in run.tasks if name != run.settings.held_out_task)}
    config, settings, seeds = run.ppo_config(1), run.settings, range(SEEDS)
    measured = [count for count in MEASURED if count <= config.budget]

    def compute() -> pd.DataFrame:
        control = run.table(CONTROL, "train")
        sources = {
            more: TableEpisodes([run.table(name, "train") for name in names], control, settings.penalty)
            for more, names in tasks.items()
        }
        jobs = [
            (sources[way.more], way, config, seeds, run.partial / "ppo" / f"{way.name.replace(', ', '-')}.safetensors")
            for way in (PAPER, *OTHER_WAYS)
        ]
        trained = zip((PAPER, *OTHER_WAYS), in_processes(train_way, jobs), strict=True)
        questions = [
            Question(task, evaluation_episodes(run, task).mean(1), {}, 0, settings.evaluation_prompts)
            for task in run.tasks
        ]
        found = [(way, networks, tasks[way.more], one, measured) for way, networks in trained for one in questions]
        return pd.concat(in_processes(measure_way, found), ignore_index=True)

    return run.frame(
        "training_ways",
        compute,
        train_way.__module__,
        train=run.table_hashes((*tasks[True], CONTROL), "train"),
        evaluation=run.table_hashes((*run.tasks, CONTROL), "evaluation"),
        config=asdict(config),
        seeds=SEEDS,
        episodes=settings.episodes,
        penalty=settings.penalty,
    )
