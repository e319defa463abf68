"""Table ``confirmation``: the search on behaviours on which nothing of it was chosen. ``python -m circuitlib confirmation`` measures it, of their committed tables; no run does by itself."""

from itertools import product

import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import BUDGET, adopt_learned, learned, learned_hash, training_rewards
from circuitlib.companion.left_out import behaviour_inputs
from circuitlib.companion.run import Run
from circuitlib.search.belief import ESTIMATES, with_few
from circuitlib.search.trials import draw_trials
from circuitlib.studies.confirmation import by_searcher, measure_confirmation
from circuitlib.studies.heads import head_rewards
from circuitlib.studies.priced_contest import players
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION


def confirmation(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.confirmation.measure_confirmation`. A run of its own takes the committed tables and what was learned.

    Raises ``ValueError`` for a subject without tables of behaviours.
    """
    settings, of_behaviours = run.settings, behaviour_inputs(run)
    names, throughs = (*CONFIRMATION, *run.training_tasks), (None, *ESTIMATES.values())
    if run.output:
        adopt_learned(run)
        for name, through in product(names, throughs):
            run.adopted_table(name, "train", through=through)
    found = learned(run)

    def compute() -> pd.DataFrame:
        behaviours = {name: run.priced_tables(name, "train") for name in CONFIRMATION}
        played = [
            with_few(draw_trials(one, settings.episodes, settings.penalty, again=True)) for one in behaviours.values()
        ]
        everyone = players(
            {name: run.priced_tables(name, "train") for name in run.training_tasks},
            tuple(ESTIMATES),
            {},
            {},
            found,
            {name: run.priced_tables(name, "train") for name in BEHAVIOURS},
            run.card.layers,
            settings.penalty,
        )
        control = run.table(CONTROL, "train")
        rewards = [head_rewards(one.damage, control, settings.penalty) for one in behaviours.values()]
        return measure_confirmation(played, everyone, torch.stack(rewards), training_rewards(run), BUDGET)

    return run.frame(
        "confirmation",
        compute,
        measure_confirmation.__module__,
        **of_behaviours,
        played={through or "measured": run.table_hashes(names, "train", through) for through in throughs},
        learned=learned_hash(run),
    )


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By who searches."""
    return by_searcher(table).reset_index()
