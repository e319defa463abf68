"""What the evaluation found, as tables for reading, in percent of the paired oracle."""

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from circuitlib.companion.figures import searcher_labels
from circuitlib.companion.legend import PLANNING, SEARCHERS
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import with_intervals
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.aggregates import aggregates
from circuitlib.studies.evaluate import after_picks

VARIANTS = (SEARCHERS["policy k=1"].title, PLANNING)
"""Rows of policies other than the headline's."""


def found_table(summary: pd.DataFrame, task: str, told: str) -> pd.DataFrame:
    """A row per searcher, a column per heads measured: what is found on a task, with its 95% interval, by policies that are told ``told``, by a list that is, and by
    what is told nothing."""
    rows = searcher_labels(summary).query("task == @task")
    rows = rows[(rows["signal"] == told) | ((rows["signal"] == NOTHING) & (rows["searcher"] != "policy"))]
    cells = with_intervals(100 * rows[["ratio", "low", "high"]], 0)
    return rows.assign(cell=cells).pivot(index="label", columns="measured", values="cell").rename_axis(task)


def main_rows(table: pd.DataFrame) -> list[Any]:
    """The rows of the main text: all but those of :data:`VARIANTS`, by title or by the k that they were trained with."""
    names = table.index.names
    if "trained_k" in names:
        return [row for row in table.index if row[names.index("trained_k")] in (0, HEADLINE_K)]
    return [label for label in table.index if label not in VARIANTS]


def robust_table(evaluation: pd.DataFrame, task: str, measured: Collection[int]) -> pd.DataFrame:
    """A row per searcher and number of heads measured, of a task, told nothing and without planning: columns of :func:`circuitlib.studies.aggregates.aggregates`, in percent. Empty
    where nobody measured so many."""
    rows = evaluation.query("task == @task and signal == @NOTHING and planned_k <= 1 and measured in @measured")
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


def ninety_table(summary: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """A row per searcher, told its task where it was trained on it, a column per task: the median number of heads measured until 90% of the
    episode's oracle was reached, and the share of episodes in which it was within as many heads as there are picks."""
    rows = after_picks(searcher_labels(summary))
    rows = rows[(rows["signal"] == rows["task"]) | (rows["signal"] == NOTHING)]
    median = rows["reached_90_heads"].map("{:.0f}".format).replace("nan", "not in half")
    cells = rows.assign(cell=median + rows["reached_90_share"].map(" ({:.0%})".format))
    return (
        cells[cells["task"].isin(tasks)]
        .pivot(index="label", columns="task", values="cell")[list(tasks)]
        .rename_axis("searcher")
    )


def new_tasks_table(summary: pd.DataFrame, heads: pd.DataFrame, trained_on: Sequence[str]) -> pd.DataFrame:
    """A row per task that was never shown, a column per searcher, told nothing and without planning: what is found after as many heads as there
    are picks; which policies, by k, find no more than random search; and what share of the metric the task's best head is worth, in percent."""
    rows = after_picks(summary.query("signal == @NOTHING and planned_k <= 1 and task not in @trained_on"))
    policies = "policy, k=" + rows["trained_k"].astype(str)
    labels = rows["searcher"].mask(rows["searcher"] == "policy", policies)
    table = 100 * rows.assign(label=labels).pivot(index="task", columns="label", values="ratio")
    best = 100 * heads.groupby("task")["share"].max()
    no_more = {f"k={k}": table[f"policy, k={k}"] <= table["random"] for k in sorted(set(rows["trained_k"]) - {0})}
    named = pd.DataFrame(no_more, index=table.index).apply(lambda row: ", ".join(row.index[row]), axis=1)
    return table.assign(**{"no more than random": named, "best head's share of the metric": best.reindex(table.index)})
