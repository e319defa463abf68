"""Table ``what_if``: what would change with another lambda, batch, number of prompts or ablation."""

import pandas as pd

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion import frames
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.studies.what_if import what_if as compare_settings


def what_if(run: Run) -> pd.DataFrame:
    """On the main tasks, with the policies of the seeds that are kept; see :func:`circuitlib.studies.what_if.what_if`."""
    settings, kinds = run.settings, frames.kinds(run)

    def compute() -> pd.DataFrame:
        evaluation = {name: run.table(name, "evaluation") for name in run.main_tasks}
        training = {name: run.table(name, "train") for name in run.training_tasks}
        general, training_general = run.table(CONTROL, "evaluation"), run.table(CONTROL, "train")
        given = evaluation, general, training, training_general
        policies = run.kept_policies()[HEADLINE_K]
        return compare_settings(*given, policies, kinds, settings.penalty, settings.episodes)

    return run.frame(
        "what_if",
        compute,
        compare_settings.__module__,
        evaluation=run.table_hashes((*run.main_tasks, CONTROL), "evaluation"),
        train=run.table_hashes((*run.training_tasks, CONTROL), "train"),
        policies=run.hashes(run.policy_path(HEADLINE_K).name),
        kinds=run.hashes("kinds.csv"),
        settings={"episodes": settings.episodes, "penalty": settings.penalty},
    )
