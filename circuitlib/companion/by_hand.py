"""Table ``by_hand``: which rule made by hand names most on behaviours left out. Three hundred rules play each, so no run makes it by itself: ``python -m circuitlib by-hand`` does."""

import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import BUDGET, training_rewards
from circuitlib.companion.left_out import behaviour_inputs, training_tables
from circuitlib.companion.run import Run
from circuitlib.search.belief import with_few
from circuitlib.search.priors import in_turns
from circuitlib.search.trials import draw_trials
from circuitlib.studies.by_hand import measure_by_hand
from circuitlib.studies.heads import head_rewards
from circuitlib.tasks.behaviours import BEHAVIOURS


def by_hand(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.by_hand.measure_by_hand`. A run of its own takes the committed tables.

    Raises ``ValueError`` for a subject without tables of behaviours.
    """
    settings, of_behaviours = run.settings, behaviour_inputs(run)
    listed_by = training_tables(run)

    def compute() -> pd.DataFrame:
        played = [
            with_few(draw_trials(run.priced_tables(name, "train"), settings.episodes, settings.penalty, again=True))
            for name in BEHAVIOURS
        ]
        control = run.table(CONTROL, "train")
        paid = [head_rewards(run.table(name, "train"), control, settings.penalty) for name in run.training_tasks]
        return measure_by_hand(played, training_rewards(run), in_turns(torch.stack(paid)), run.card.layers, BUDGET)

    return run.frame("by_hand", compute, measure_by_hand.__module__, **of_behaviours, listed_by=listed_by)


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """The five rules that name most on average, that first."""
    return table.nlargest(5, "named")


def rules_table(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`in_short` for reading: a row per rule, in percent of the oracle."""
    best = in_short(table).set_index(["estimate", "candidates", "beside", "rounds"])
    return best.assign(named=100 * best["named"], least=100 * best["least"])
