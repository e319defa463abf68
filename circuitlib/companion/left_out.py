"""Tables of what is judged on behaviours left out, in runs of their own."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.estimates import Through
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import (
    BUDGET,
    TRIAL_SEED,
    TRIALS,
    adopt_learned,
    is_real,
    learned_hash,
    training_rewards,
    training_trials,
)
from circuitlib.companion.run import Run
from circuitlib.search.belief import ESTIMATES, with_few
from circuitlib.search.trials import Trials, draw_trials
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.control_text import Part

Measure = Callable[[Sequence[Trials], Sequence[Trials], Float[Tensor, "t h"], int, int], pd.DataFrame]
"""Of episodes to be taught on, episodes to be played, mean rewards, layers and the price."""


def behaviour_inputs(run: Run) -> dict[str, Any]:
    """Take the committed tables of behaviours into a run of its own; the inputs of a frame that is made of them, for its manifest.

    Raises ``ValueError`` for a subject without such tables.
    """
    if not is_real(run):
        raise ValueError(
            f"a belief is learned on the behaviours of the real model, of which {run.card.name} has no tables"
        )
    return {
        "tables": tables_of(run, (*BEHAVIOURS, CONTROL), "train"),
        "budget": BUDGET,
        "trials": [TRIALS, TRIAL_SEED],
        "episodes": run.settings.episodes,
        "penalty": run.settings.penalty,
    }


def played_inputs(run: Run, names: Sequence[str], part: Part) -> dict[str, Any]:
    """Take the committed tables of what is played, and what was learned, into a run of its own; the inputs of a frame that is made of them, for its manifest."""
    if run.output:
        adopt_learned(run)
    return {"played": tables_of(run, names, part), "learned": learned_hash(run)}


def training_tables(run: Run) -> dict[str, str]:
    """Hashes of the tables that lists are made of; a run with a folder of its own takes the committed ones first."""
    return tables_of(run, (*run.training_tasks, CONTROL), "train", (None,))["measured"]


def tables_of(
    run: Run, names: Sequence[str], part: Part, throughs: Sequence[Through | None] = (None, *ESTIMATES.values())
) -> dict[str, dict[str, str]]:
    """Hashes of tables, by what they are estimated through; a run with a folder of its own takes the committed ones first."""
    if run.output:
        for one, through in product(names, throughs):
            run.adopted_table(one, part, through=through)
    return {through or "measured": run.table_hashes(names, part, through) for through in throughs}


def judged_left_out(run: Run, name: str, measure: Measure, **inputs: Any) -> pd.DataFrame:
    """A frame of what is taught on some behaviours and played on others, at the price that policies are trained for; raises as :func:`behaviour_inputs` does."""
    settings, of_behaviours = run.settings, behaviour_inputs(run)

    def compute() -> pd.DataFrame:
        played = [
            with_few(draw_trials(run.priced_tables(one, "train"), settings.episodes, settings.penalty, again=True))
            for one in BEHAVIOURS
        ]
        return measure(training_trials(run), played, training_rewards(run), run.card.layers, BUDGET)

    return run.frame(name, compute, measure.__module__, **of_behaviours, **inputs)
