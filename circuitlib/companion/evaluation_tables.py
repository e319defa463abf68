"""What the evaluation found, as tables for reading, in percent of the paired oracle."""

from collections.abc import Collection, Sequence

import pandas as pd

from circuitlib.companion.figures import searcher_labels, told_of
from circuitlib.companion.frames import evaluation, heads
from circuitlib.companion.legend import PLANNING, SEARCHERS
from circuitlib.companion.rival_figures import gain_cell
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import with_intervals
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.aggregates import aggregates
from circuitlib.studies.evaluate import after_picks, ahead, summarise

VARIANTS = (SEARCHERS["policy k=1"].title, PLANNING)
"""Rows of policies other than the headline's."""


def found_table(summary: pd.DataFrame, task: str, told: str = "", everyone: bool = False) -> pd.DataFrame:
    """A row per searcher, a column per heads measured: what is found on a task, in percent of the oracle with its 95% interval, by policies that are told ``told``, by a list that is, and by
    what is told nothing.

    told: by default as policies are in training (:func:`circuitlib.companion.figures.told_of`). everyone: :data:`VARIANTS`, too.
    """
    told = told or told_of(summary, task)
    rows = searcher_labels(summary).query("task == @task")
    rows = rows[(rows["signal"] == told) | ((rows["signal"] == NOTHING) & (rows["searcher"] != "policy"))]
    cells = with_intervals(100 * rows[["ratio", "low", "high"]], 0)
    table = rows.assign(cell=cells).pivot(index="label", columns="measured", values="cell").rename_axis(task)
    return table if everyone else _main(table)


def _main(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table.index.isin(VARIANTS)]


def robust_table(evaluation: pd.DataFrame, task: str, measured: Collection[int]) -> pd.DataFrame:
    """A row per searcher and number of heads measured, of a task, told nothing and without planning: columns of :func:`circuitlib.studies.aggregates.aggregates`, in percent; of policies
    the headline's. Empty where nobody measured so many."""
    rows = evaluation.query("task == @task and signal == @NOTHING and planned_k <= 1 and measured in @measured")
    rows = rows[rows["trained_k"].isin((0, HEADLINE_K))]
    if rows.empty:
        return pd.DataFrame()
    numbers = 100 * aggregates(rows).droplevel("planned_k").add_suffix(", %")
    return numbers.sort_index(level="measured", sort_remaining=False)


def signals_table(summary: pd.DataFrame, task: str) -> pd.DataFrame:
    """A row per searcher that can be told something, and what it is told; a column per heads measured. Policies play without planning; a list that is told a task is that task's own."""
    rows = summary.query("task == @task and searcher != 'random' and planned_k <= 1")
    own = (rows["searcher"] == "static prior") & (rows["signal"] != NOTHING)
    rows = rows.assign(searcher=rows["searcher"].mask(own, "list of " + rows["signal"]))
    by = ["searcher", "trained_k", "signal"]
    return 100 * rows.pivot_table(index=by, columns="measured", values="ratio", sort=False)


def planning_table(summary: pd.DataFrame, task: str) -> pd.DataFrame:
    """A row per policy and plan, told nothing: how many heads it measures in all picks of an episode, what it has found then, and what it has found
    after as many heads as there are picks."""
    rows = summary.query("task == @task and signal == @NOTHING and searcher == 'policy'")
    by = ["trained_k", "planned_k"]
    early = after_picks(rows).set_index(by)
    most = rows.groupby(by)["measured"].transform("max")
    in_all = rows[rows["measured"] == (early["measured"].max() * rows["planned_k"]).clip(upper=most)].set_index(by)
    columns = {
        "heads measured in all picks": in_all["measured"],
        "% of oracle, all picks": 100 * in_all["ratio"],
        "% of oracle, as many heads as picks": 100 * early["ratio"],
    }
    return pd.DataFrame(columns)


def ninety_table(summary: pd.DataFrame, tasks: Sequence[str], everyone: bool = False) -> pd.DataFrame:
    """A row per searcher, told its task where it was trained on it, a column per task: the median number of heads measured until 90% of the
    episode's oracle was reached, and the share of episodes in which it was within as many heads as there are picks. everyone: :data:`VARIANTS`, too."""
    rows = after_picks(searcher_labels(summary))
    rows = rows[(rows["signal"] == rows["task"]) | (rows["signal"] == NOTHING)]
    median = rows["reached_90_heads"].map("{:.0f}".format).replace("nan", "not in half")
    cells = rows.assign(cell=median + rows["reached_90_share"].map(" ({:.0%})".format))
    cells = cells[cells["task"].isin(tasks)]
    table = cells.pivot(index="label", columns="task", values="cell")[list(tasks)].rename_axis("searcher")
    return table if everyone else _main(table)


def new_tasks_table(run: Run) -> pd.DataFrame:
    """A row per task that was never shown, told nothing and without planning, after as many heads as there are picks: what each searcher finds, of policies the headline's, in percent of the
    oracle with its 95% interval; how many points more that policy finds than each other on the same episodes, with its word; and what share of the metric the task's best head is worth, in percent.
    """
    played, pool = evaluation(run), run.settings.evaluation_prompts
    plain = played.query("signal == @NOTHING and planned_k <= 1")
    plain = plain[plain["trained_k"].isin((0, HEADLINE_K)) & ~plain["task"].isin(run.training_tasks)]
    rows = after_picks(searcher_labels(summarise(plain, pool)))
    found = rows.assign(cell=with_intervals(100 * rows[["ratio", "low", "high"]], 0))
    table = found.pivot(index="task", columns="label", values="cell")
    at = plain[plain["measured"] == rows["measured"].max()].groupby(["task", "searcher"])
    for other in ("random", "static prior"):
        more = {task: ahead(at.get_group((task, "policy")), at.get_group((task, other)), pool) for task in table.index}
        table[f"policy ahead of {SEARCHERS[other].title}"] = pd.Series(more).map(gain_cell)
    best = 100 * heads(run).groupby("task")["share"].max()
    return table.assign(**{"best head's share of the metric": best.reindex(table.index)})
