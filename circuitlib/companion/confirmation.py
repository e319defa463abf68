"""Table ``confirmation``: the search on behaviours on which nothing of it was chosen. ``python -m circuitlib confirmation`` measures it, of their committed tables; no run does by itself."""

import pandas as pd
import torch

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.learned import BUDGET, learned, training_rewards
from circuitlib.companion.left_out import behaviour_inputs, played_inputs
from circuitlib.companion.rival_figures import searcher_title
from circuitlib.companion.run import Run
from circuitlib.companion.show import with_intervals
from circuitlib.search.belief import ESTIMATES, with_few
from circuitlib.search.trials import draw_trials
from circuitlib.studies.confirmation import (
    BLIND,
    BY_HAND,
    HEADWISE,
    LOOKING_AHEAD,
    NEAR,
    by_searcher,
    judged,
    measure_confirmation,
)
from circuitlib.studies.heads import head_rewards
from circuitlib.studies.priced_contest import IN_ROUNDS, players
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION


def confirmation(run: Run) -> pd.DataFrame:
    """See :func:`circuitlib.studies.confirmation.measure_confirmation`. A run of its own takes the committed tables and what was learned.

    Raises ``ValueError`` for a subject without tables of behaviours.
    """
    settings, of_behaviours = run.settings, behaviour_inputs(run)
    played_on = played_inputs(run, (*CONFIRMATION, *run.training_tasks), "train")
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

    return run.frame("confirmation", compute, measure_confirmation.__module__, **of_behaviours, **played_on)


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """By who searches."""
    return by_searcher(table).reset_index()


def parts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The table, and what of it is not near a behaviour that the search was taught on, by how many behaviours each has."""
    far = table[table["nearest"] <= NEAR]
    return {f"all {table['behaviour'].nunique()}": table, f"the {far['behaviour'].nunique()} that are not near": far}


def verdict_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row per searcher to be confirmed and question, of all behaviours and of those that are not near: how much, in percent of the oracle or in points, with the 95% interval
    over behaviours, and the verdict."""
    columns: dict[str, pd.Series] = {}
    for title, part in parts(table).items():
        rows = judged(part).set_index(["searcher", "question"])
        ends = 100 * rows[["value", "low", "high"]]
        cells = with_intervals(ends, 1).where(ends["low"].notna(), ends["value"].map("{:z.1f}".format))
        columns |= {title: cells, f"verdict, {title}": rows["verdict"]}
    return pd.DataFrame(columns).rename(index=searcher_title, level="searcher")


def behaviours_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row per behaviour, the least named first: what those to be confirmed, the policy blind, the rival and, looked at afterwards, halving in three rounds name, in percent of the oracle, and the behaviour's largest correlation with one that was taught."""
    named = (
        100
        * table.pivot(index="behaviour", columns="searcher", values="named")[
            [LOOKING_AHEAD, HEADWISE, BLIND, BY_HAND, IN_ROUNDS]
        ]
    )
    named = named.sort_values(LOOKING_AHEAD, kind="stable").rename(columns=searcher_title)
    return named.assign(nearest=100 * table.groupby("behaviour")["nearest"].first())
