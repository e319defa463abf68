"""Figures and tables of the rivals: what is named once so much is paid."""

from collections.abc import Collection, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from circuitlib.companion.figures import legend_above
from circuitlib.companion.legend import RIVALS, task_title
from circuitlib.companion.show import PAGE, described
from circuitlib.companion.verdicts import beats
from circuitlib.search.belief import GRADIENT_ALONE
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.studies.priced import price_to
from circuitlib.studies.priced_contest import ALONE

IN_WORDS = {
    "by gradient": "by attribution",
    "gradient, then": "attribution, then",
    "gradient on": "attribution on",
    "and gradient": "and attribution",
    "ucb": "upper bounds",
    "thompson": "Thompson",
    "list of ioi": "list of IOI",
    "headwise": "headwise policy",
    "frozen attribution": "attribution with norms and patterns held",
    "belief": "learned belief",
    "policy k=": "policy, trained with k=",
}
"""Parts of searchers' names, and how tables say them."""


def searcher_title(searcher: str) -> str:
    """A searcher on the axis of price as tables name it."""
    for part, words in IN_WORDS.items():
        searcher = searcher.replace(part, words)
    return searcher


FIRST = tuple(
    searcher_title(searcher)
    for searcher in (
        *(kind.key for kind in RIVALS),
        *(
            "list, in turns",
            "halving, 16 by gradient and layer 0",
            "halving, 16 by gradient and 16 of other behaviours",
            f"halving, 16 by {GRADIENT_ALONE} and 16 of other behaviours",
        ),
        *("belief, look ahead", f"belief, look ahead, {ALONE}", f"headwise, {ALONE}", "headwise, blind"),
    )
)
"""Rows of tables that are shown at once: the searchers of the figures, and those that the text speaks of."""

MEAN = "mean of the tasks"
"""The last row of :func:`gains_over`."""

ACROSS = 2
"""Panels in a row."""

BANDS = ("policy k=5", "gradient, then verify", "headwise")
"""Searchers whose intervals are drawn: the paper's, the rival to use instead, and the policy that searches."""


@described
def rival_curves(summary: pd.DataFrame) -> Figure:
    """The true reward of the head named, as a fraction of the paired oracle, against the price paid; one panel a task, the
    searchers of the main text. Bands are 95% intervals, of the paper's policy trained with k=5, of attribution and of the headwise policy.

    summary: of :func:`circuitlib.studies.priced.summarise_priced`.
    """
    tasks = list(summary["task"].unique())
    down = -(-len(tasks) // ACROSS)
    across = min(ACROSS, len(tasks))
    figure, axes = plt.subplots(down, across, figsize=(PAGE, 2.5 * down + 0.6), sharex=True, sharey=True, squeeze=False)
    prices = sorted(summary["price"].unique())
    lowest = summary.loc[summary["searcher"].isin([kind.key for kind in RIVALS]), "ratio"].min()
    lowest = min(lowest, summary.loc[summary["searcher"].isin(BANDS), "low"].min())
    for axis, task in zip(axes.flat, tasks, strict=False):
        of_task = summary[summary["task"] == task]
        for kind in RIVALS:
            line = of_task[of_task["searcher"] == kind.key].sort_values("price")
            looks = {"color": kind.colour, "marker": kind.marker, "label": kind.title}
            axis.plot(line["price"], line["ratio"], ms=4, lw=1.4, **looks)
            if kind.key in BANDS:
                axis.fill_between(line["price"], line["low"], line["high"], color=kind.colour, alpha=0.15, lw=0)
        axis.axhline(1, color="black", lw=0.8, ls=":")
        axis.set(title=task_title(task), xscale="log", ylim=(min(-0.08, lowest - 0.05), 1.05))
        axis.set_xticks(prices, [f"{price}" for price in prices])
        axis.xaxis.set_minor_locator(NullLocator())
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("named / oracle")
    for axis in axes[-1]:
        axis.set_xlabel("price (heads measured)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    legend_above(figure, handles, labels, across=3)
    return figure


def rival_table(summary: pd.DataFrame, price: int, what: str = "ratio", without: Collection[str] = ()) -> pd.DataFrame:
    """What every searcher has at a price, in percent: a column a task, their mean and the lowest.

    what: a column of the summary: what is named, of the oracle (``ratio``), the share of episodes whose best head has been measured
    (``measured_best``), or of the five best heads (``recall``). Missing where the price buys nothing. without: tasks that stand in no mean and
    are no lowest (:func:`circuitlib.companion.frames.say_nothing`)."""
    at = summary[summary["price"] == price]
    at = at.assign(shown=at[what].where(at["ratio"].notna()))
    table = 100 * at.pivot_table("shown", "searcher", "task", sort=False, dropna=False)
    counted = table.drop(columns=[*without])
    return table.assign(mean=counted.mean(axis=1, skipna=False), lowest=counted.min(axis=1, skipna=False))


def prices_table(summary: pd.DataFrame, shares: Sequence[float]) -> pd.DataFrame:
    """The prices from which on a searcher names such ``shares`` of the oracle, one after the other in a cell, a dash where no price that
    it plays for is enough: rows searchers, columns tasks; see :func:`circuitlib.studies.priced.price_to`."""
    prices = [
        price_to(summary, share).map(lambda price: "–" if np.isnan(price) else f"{price:.0f}") for share in shares
    ]
    first, *others = prices
    for other in others:
        first = first + " / " + other
    return first


def gains_over(
    frame: pd.DataFrame, one: str, others: Sequence[str], price: int, pool: int, without: Collection[str] = ()
) -> pd.DataFrame:
    """How much more one searcher names than each of the others at a price, on the same episodes, in points of the oracle with
    the 95% interval and its word: rows tasks and their mean, columns the others. Searchers with as many seeds are paired
    seed by seed, others by episode alone. Of the mean the intervals of the tasks are taken as independent: prompts are, and the few
    seeds of a searcher are shared.

    frame: of :func:`circuitlib.studies.priced.priced`. pool: prompts that a task's episodes are drawn from. without: as in
    :func:`rival_table`.
    """
    at = frame[frame["price"] == price]
    found: dict[str, dict[str, Interval]] = {other: {} for other in others}
    for task, of_task in at.groupby("task", sort=False):
        oracle = of_task.groupby("episode")["oracle"].first().to_numpy()
        named = of_task.set_index(["searcher", "seed", "episode"])["named"].unstack("episode")
        mine = named.loc[one].to_numpy()
        for other, tasks in found.items():
            tasks[str(task)] = fraction(mine, oracle, pool, against=named.loc[other].to_numpy())
    columns = {
        other: tasks | {MEAN: mean_of([gain for task, gain in tasks.items() if task not in without])}
        for other, tasks in found.items()
    }
    return pd.DataFrame({other: {task: _cell(*x) for task, x in tasks.items()} for other, tasks in columns.items()})


def mean_of(intervals: Sequence[Interval]) -> Interval:
    """The mean of independent estimates: the squares of how far the ends of their intervals are add up."""
    value, low, high = np.array(intervals).T
    down, up = (np.sqrt(np.square(end - value).sum()) / len(value) for end in (low, high))
    return Interval(value.mean(), value.mean() - down, value.mean() + up)


def _cell(value: float, low: float, high: float) -> str:
    return f"{100 * value:z.0f} ({100 * low:z.0f} to {100 * high:z.0f}) {beats(low, high)}"
