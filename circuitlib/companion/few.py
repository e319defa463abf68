"""Table ``few``: on how many prompts a belief's estimates are best bought. A prior is fitted for each of eight folds of every design, so no run makes it by itself: ``python -m circuitlib few`` does."""

from itertools import product

import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import BUDGET, is_real, training_trials
from circuitlib.companion.run import Run
from circuitlib.search.belief import ESTIMATES
from circuitlib.search.trials import draw_trials
from circuitlib.studies import few as study
from circuitlib.studies.few import DESIGNS, by_design, measure_few
from circuitlib.studies.heads import head_rewards
from circuitlib.tasks.behaviours import BEHAVIOURS


def few(run: Run) -> pd.DataFrame:
    """At the price that policies are trained for; see :func:`circuitlib.studies.few.measure_few`. A run of its own takes the committed tables of behaviours.

    Raises ``ValueError`` for a subject without such tables.
    """
    if not is_real(run):
        raise ValueError(
            f"a belief is learned on the behaviours of the real model, of which {run.card.name} has no tables"
        )
    names, throughs, settings = (*BEHAVIOURS, CONTROL), (None, *ESTIMATES.values()), run.settings
    if run.output:
        for name, through in product(names, throughs):
            run.adopted_table(name, "train", through=through)

    def compute() -> pd.DataFrame:
        control = run.table(CONTROL, "train")
        rewards = [head_rewards(run.table(name, "train"), control, settings.penalty) for name in BEHAVIOURS]
        played = [
            draw_trials(run.priced_tables(name, "train"), settings.episodes, settings.penalty, again=True)
            for name in BEHAVIOURS
        ]
        return measure_few(training_trials(run), played, torch.stack(rewards), run.card.layers, BUDGET)

    return run.frame(
        "few",
        compute,
        study.__name__,
        tables={through or "measured": run.table_hashes(names, "train", through) for through in throughs},
        designs=DESIGNS,
        budget=BUDGET,
        episodes=settings.episodes,
        penalty=settings.penalty,
    )


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By design."""
    return by_design(table)
