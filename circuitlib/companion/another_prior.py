"""Table ``another_prior``: what would be named on the tasks with another prior, and with prior and policies learned of 17 more behaviours. That takes up to an hour and no run needs it: ``python -m circuitlib another-prior`` does."""

from dataclasses import asdict

import pandas as pd

from circuitlib.ablation.build import code_of
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import BUDGET, SEEDS, learned, training_rewards, training_trials
from circuitlib.companion.left_out import behaviour_inputs, played_inputs, tables_of
from circuitlib.companion.rival_figures import searcher_title
from circuitlib.companion.run import Run
from circuitlib.search.belief import with_few
from circuitlib.search.learning import learn
from circuitlib.search.priced_policy import CONFIG
from circuitlib.search.trials import draw_trials
from circuitlib.studies.another_prior import (
    AHEAD,
    BEGUN,
    BLIND,
    DRAWN,
    MORE,
    PRIORS,
    PUBLISHED,
    SEEING,
    measure_another_prior,
    over_priors,
)
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION

TITLES = {
    PUBLISHED: "as published",
    BEGUN: "from other initial networks",
    DRAWN: "of behaviours resampled",
    MORE: f"of {len(BEHAVIOURS) + len(CONFIRMATION)} behaviours, policies trained anew",
}
"""The ways of fitting, as tables name them."""


def another_prior(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.another_prior.measure_another_prior`. A run of its own takes the committed tables and what was learned.

    Raises ``ValueError`` for a subject without tables of behaviours.
    """
    settings, of_behaviours = run.settings, behaviour_inputs(run)
    played_on = played_inputs(run, (*run.tasks, CONTROL), "evaluation")
    further, found = tables_of(run, [*CONFIRMATION], "train"), learned(run)

    def compute() -> pd.DataFrame:
        played = [
            with_few(draw_trials(run.priced_tables(name, "evaluation"), settings.episodes, settings.penalty))
            for name in run.tasks
        ]
        trials, rewards, layers = training_trials(run), training_rewards(run), run.card.layers
        wider = training_rewards(run, (*BEHAVIOURS, *CONFIRMATION))
        more, _ = learn(training_trials(run, (*BEHAVIOURS, *CONFIRMATION)), wider, layers, BUDGET, SEEDS)
        return measure_another_prior(trials, rewards, played, found, (more, wider), layers, BUDGET)

    return run.frame(
        "another_prior",
        compute,
        measure_another_prior.__module__,
        **of_behaviours,
        **played_on,
        further=further,
        priors=PRIORS,
        seeds=SEEDS,
        config=asdict(CONFIG),
        learning=code_of(learn.__module__),
    )


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By what was fitted, and who plays."""
    return over_priors(table).reset_index()


def prior_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row per way of fitting: how many priors; per searcher the mean of what is named, in percent of the oracle, and of the headwise policy on its worst task; and in points what
    seeing gains; each with the lowest and the highest where there are several priors."""
    named = table.groupby(["fitted", "draw", "searcher"])["named"].mean().unstack("searcher")
    worst = table[table["searcher"] == SEEING].groupby(["fitted", "draw"])["named"].min()
    columns = {searcher_title(what): named[what] for what in (AHEAD, SEEING, BLIND)}
    columns |= {f"{searcher_title(SEEING)}, worst task": worst, "gain of seeing, points": named[SEEING] - named[BLIND]}
    each = 100 * pd.DataFrame(columns).loc[list(TITLES)]
    shown = each.groupby("fitted", sort=False).agg(_ends).rename(index=TITLES).rename_axis("prior")
    return shown.assign(priors=each.groupby("fitted", sort=False).size().to_numpy())


def _ends(of: pd.Series) -> str:
    return f"{of.mean():z.1f}" + (f" ({of.min():z.1f} to {of.max():z.1f})" if len(of) > 1 else "")
