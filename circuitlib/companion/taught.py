"""Table ``taught``: what each part of the search is worth that was taught on behaviours, what fewer of them would have, a network that imitates the rule, and a policy that sees no belief. Policies are trained for each of eight folds, so no run makes it
by itself: ``python -m circuitlib taught`` does."""

from dataclasses import asdict

import pandas as pd

from circuitlib.companion.left_out import judged_left_out
from circuitlib.companion.run import Run
from circuitlib.search.priced_policy import CONFIG
from circuitlib.studies.taught import by_way, measure_taught


def taught(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.taught.measure_taught`; raises as :func:`circuitlib.companion.left_out.judged_left_out` does."""
    return judged_left_out(run, "taught", measure_taught, config=asdict(CONFIG))


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By way."""
    return by_way(table).reset_index()
