"""Table ``few``: on how many prompts a belief's estimates are best bought. A prior is fitted for each of eight folds of every design, so no run makes it by itself: ``python -m circuitlib few`` does."""

import pandas as pd

from circuitlib.companion.left_out import judged_left_out
from circuitlib.companion.run import Run
from circuitlib.studies.few import DESIGNS, by_design, measure_few


def few(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.few.measure_few`; raises as :func:`circuitlib.companion.left_out.judged_left_out` does."""
    return judged_left_out(run, "few", measure_few, designs=DESIGNS)


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By design."""
    return by_design(table)
