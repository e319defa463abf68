"""Table ``another_prior``: what would be named on the tasks with another prior. Fitting many takes minutes and no run needs them: ``python -m circuitlib another-prior`` does."""

from itertools import product

import pandas as pd

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import BUDGET, adopt_learned, learned, learned_hash, training_rewards, training_trials
from circuitlib.companion.left_out import taught_on
from circuitlib.companion.rival_figures import searcher_title
from circuitlib.companion.run import Run
from circuitlib.search.belief import ESTIMATES, with_few
from circuitlib.search.trials import draw_trials
from circuitlib.studies.another_prior import (
    AHEAD,
    BLIND,
    GAIN,
    PRIORS,
    PUBLISHED,
    SEEING,
    measure_another_prior,
    over_priors,
)


def another_prior(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.another_prior.measure_another_prior`. A run of its own takes the committed tables and what was learned.

    Raises ``ValueError`` for a subject without tables of behaviours.
    """
    settings, of_behaviours = run.settings, taught_on(run)
    names, throughs = (*run.tasks, CONTROL), (None, *ESTIMATES.values())
    if run.output:
        adopt_learned(run)
        for name, through in product(names, throughs):
            run.adopted_table(name, "evaluation", through=through)
    found = learned(run)

    def compute() -> pd.DataFrame:
        played = [
            with_few(draw_trials(run.priced_tables(name, "evaluation"), settings.episodes, settings.penalty))
            for name in run.tasks
        ]
        return measure_another_prior(
            training_trials(run), training_rewards(run), played, found, run.card.layers, BUDGET
        )

    return run.frame(
        "another_prior",
        compute,
        measure_another_prior.__module__,
        **of_behaviours,
        played={through or "measured": run.table_hashes(names, "evaluation", through) for through in throughs},
        learned=learned_hash(run),
        priors=PRIORS,
    )


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By what was fitted, and who plays."""
    return over_priors(table).reset_index()


def prior_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row per way of fitting: how many priors, and per searcher the mean of what is named, in percent of the oracle, with the lowest and the highest where there are several; in
    points what seeing gains."""
    rows = over_priors(table)
    several = (100 * rows[["mean", "lowest", "highest"]]).apply(
        lambda row: "{:z.1f} ({:z.1f} to {:z.1f})".format(*row), axis=1
    )
    cells = several.where(rows["priors"] > 1, (100 * rows["mean"]).map("{:z.1f}".format)).unstack("what")
    titles = {what: searcher_title(what) for what in (AHEAD, SEEING, BLIND)} | {GAIN: f"{GAIN}, points"}
    shown = (
        cells.loc[[PUBLISHED, *PRIORS], list(titles)].rename(columns=titles).rename_axis(index="prior", columns=None)
    )
    return shown.assign(priors=rows["priors"].groupby("fitted").first())
