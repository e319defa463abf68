"""Figures and tables of the rivals: what is named once so much is paid."""

from collections.abc import Collection, Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from circuitlib.companion.figures import errors, legend_above, reach
from circuitlib.companion.frames import head_rewards
from circuitlib.companion.legend import AFTER, ATTRIBUTION, MAIN, SEARCHERS, Kind, task_title
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import PAGE, described
from circuitlib.companion.verdicts import beats, gains
from circuitlib.search.belief import ESTIMATES
from circuitlib.studies.few import by_design
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.studies.priced import mean_of, price_to, summarise_priced
from circuitlib.studies.taught import by_way
from circuitlib.studies.transfer import COUNTS, over_behaviours, shares
from circuitlib.studies.where import CLASSES

FIRST = tuple(kind.key for kind in SEARCHERS.values() if kind.marker or kind.spoken_of)
"""Rows of tables that are shown at once, by key: the searchers of the figures, and those that the text speaks of."""

MEAN = "mean of the tasks"
"""The last row of :func:`gains_over`."""

ACROSS = 2
"""Panels in a row."""

SHOWN = {3: AFTER[3], 8: AFTER[10], 50: AFTER[50]}
"""Prices that are drawn: the first that buys a gradient, a few heads, and the paper's picks."""

SPAN = (-0.6, 1.05)
"""What the axes of every subject reach."""

TRAITS = {
    "estimate": "the gradient's estimate\nof the best head",
    "depth": "where the best head is,\nby depth",
    "spread": "share of the rewards above zero\nthat the five best heads have",
}
"""What episodes are parted by, as the figure names it."""


def searcher_title(searcher: str) -> str:
    """A searcher as tables name it."""
    return SEARCHERS[searcher].title


@described
def rivals_chart(summary: pd.DataFrame) -> Figure:
    """The true reward of the head named, as a fraction of the paired oracle, with 95% intervals, at three prices; one panel a task, a row a searcher, of each kind
    one. No mark where the price buys a searcher nothing, or was not played. Halving in three rounds is made for a price of eight: for three it buys its gradient alone, for fifty no more than for eight.

    summary: of :func:`circuitlib.studies.priced.summarise_priced`.
    """
    tasks, kinds = list(summary["task"].unique()), _drawn(summary)
    across = min(ACROSS, len(tasks))
    down = -(-len(tasks) // across)
    size = (PAGE, (0.24 * len(kinds) + 0.35) * down + 0.8)
    figure, axes = plt.subplots(down, across, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, task in zip(axes.flat, tasks, strict=False):
        for i, (price, (colour, marker, filling)) in enumerate(SHOWN.items()):
            rows = summary[(summary["task"] == task) & (summary["price"] == price)].set_index("searcher")
            rows = rows.reindex([kind.key for kind in kinds])
            y = np.arange(len(kinds)) + 0.27 * (i - 1)
            looks: dict[str, Any] = {"color": colour, "fmt": marker, "mfc": filling, "label": f"at price {price}"}
            axis.errorbar(rows["ratio"], y, xerr=errors(rows, "ratio"), ms=4, elinewidth=1.2, **looks)
        axis.axvline(1, color="black", lw=0.8, ls=":")
        axis.set(title=task_title(task))
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("named / oracle")
    reach(axes[0][0], *SPAN)
    axes[0][0].set_xticks((-0.5, 0, 0.5, 1))
    axes[0][0].set_yticks(range(len(kinds)), [kind.title for kind in kinds])
    axes[0][0].invert_yaxis()
    for axis in axes[:, 0]:
        axis.tick_params(axis="y", labelsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    legend_above(figure, handles, labels, across=len(SHOWN))
    return figure


def _drawn(rows: pd.DataFrame) -> list[Kind]:
    """The searchers of the main text that there are rows of."""
    return [kind for kind in MAIN if kind.key in set(rows["searcher"])]


def _looks(kind: Kind) -> dict[str, Any]:
    return {"color": kind.colour, "marker": kind.marker, "label": kind.title}


@described
def where_chart(where: pd.DataFrame) -> Figure:
    """The true reward of the head named at a price of eight, as a fraction of the paired oracle, in classes of episodes, with 95% intervals: by how far the
    gradient's estimate of the best head is from the truth, by where that head is, and by how much of all rewards the five best heads have. Under
    each class, how many episodes it has.

    where: of :func:`circuitlib.studies.where.measure_where`.
    """
    kinds, widths = _drawn(where), [len(parts) for parts in CLASSES.values()]
    figure, axes = plt.subplots(1, len(CLASSES), figsize=(PAGE, 4.2), sharey=True, width_ratios=widths, squeeze=False)
    for axis, (trait, parts) in zip(axes[0], CLASSES.items(), strict=True):
        of_trait = where[where["trait"] == trait]
        for i, kind in enumerate(kinds):
            rows = of_trait[of_trait["searcher"] == kind.key].set_index("part").reindex(parts)
            x = np.arange(len(parts)) + 0.8 * ((i + 0.5) / len(kinds) - 0.5)
            axis.errorbar(x, rows["ratio"], yerr=errors(rows, "ratio"), ms=4, lw=0, elinewidth=1, **_looks(kind))
        counts = dict(zip(of_trait["part"], of_trait["episodes"], strict=True))
        labels = [f"{fill(part, 12)}\n({counts.get(part, 0)})" for part in parts]
        axis.set_xticks(range(len(parts)), labels, fontsize=8)
        axis.set_xlim(-0.5, len(parts) - 0.5)
        axis.set_xlabel(TRAITS[trait], fontsize=9)
        axis.axhline(1, color="black", lw=0.8, ls=":")
    axes[0][0].set(ylabel="named / oracle", ylim=(min(-0.08, where["low"].min() - 0.05), 1.05))
    figure.align_xlabels()
    handles, labels = axes[0][0].get_legend_handles_labels()
    legend_above(figure, handles, labels, across=3)
    return figure


def where_table(where: pd.DataFrame, searchers: Sequence[str]) -> pd.DataFrame:
    """How much more each of the ``searchers`` that were played names than attribution in each class of episodes, in points of the oracle with the 95% interval and its word:
    rows classes, with how many episodes of how many tasks; columns what attribution names, in percent, and the searchers.

    where: of :func:`circuitlib.studies.where.measure_where`.
    """
    others = where[where["searcher"] != ATTRIBUTION]
    more = others[["gain", "gain_low", "gain_high"]].itertuples(index=False)
    cells = others.assign(cell=[gain_cell(Interval(*gain), "" if np.any(gain) else "equal") for gain in more])
    classes = ["trait", "part", "episodes", "tasks"]
    table = cells.pivot_table("cell", classes, "searcher", aggfunc="first", sort=False)
    named = where[where["searcher"] == ATTRIBUTION].set_index(classes)["ratio"].map("{:.0%}".format)
    table.insert(0, "attribution names", named)
    return table[["attribution names", *(searcher for searcher in searchers if searcher in table)]]


@described
def transfer_chart(transfer: pd.DataFrame, trained_k: int = HEADLINE_K) -> Figure:
    """What the policy finds on each behaviour that was never shown to it, seeing its rewards (filled) and blind (open), as a fraction of the oracle
    after so many heads, with 95% intervals over seeds, and none of the list, which has no seeds; behaviours in the order of what it finds in most, and above them their mean, with intervals
    over behaviours and seeds. Beside it the list by mean reward and random search.

    transfer: of :func:`circuitlib.studies.transfer.measure_transfer`.
    """
    policy, blind = (SEARCHERS[f"policy k={trained_k}{shown}"] for shown in ("", ", blind"))
    looks = {
        "random": (0.0, _looks(SEARCHERS["random"])),
        "list, mean": (0.0, _looks(SEARCHERS["static prior"])),
        blind.key: (-0.2, _looks(policy) | {"label": blind.title, "mfc": "white"}),
        policy.key: (0.2, _looks(policy)),
    }
    order = shares(transfer, policy.key, max(COUNTS)).mean(0).argsort()
    y = np.append(np.arange(len(order)), len(order) + 0.5)
    size = (PAGE, 0.21 * len(y) + 1.5)
    figure, axes = plt.subplots(1, len(COUNTS), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, price in zip(axes[0], COUNTS, strict=True):
        for searcher, (aside, look) in looks.items():
            found = shares(transfer, searcher, price)[:, order]
            rows = pd.DataFrame([*map(_over_seeds, found.T), over_behaviours(found)], columns=["found", "low", "high"])
            axis.errorbar(rows["found"], y + aside, xerr=errors(rows, "found"), ls="", ms=4, elinewidth=1, **look)
        axis.axhline(len(order) - 0.25, color="0.8", lw=0.8)
        axis.axvline(1, color="black", lw=0.8, ls=":")
        axis.set(xlabel=f"found / oracle, after {price} heads", ylim=(-0.7, y[-1] + 0.7))
    axes[0][0].set_yticks(y, [*transfer["task"].unique()[order], "mean"], fontsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    legend_above(figure, handles, labels, across=2)
    return figure


def _over_seeds(found: Float[np.ndarray, " seeds"]) -> Interval:
    """What seeds find on one behaviour; a single one has no interval."""
    one = len(found) == 1
    return Interval(found[0], np.nan, np.nan) if one else fraction(found[None], np.ones(len(found)), None)


def transfer_table(transfer: pd.DataFrame, trained_k: int = HEADLINE_K) -> pd.DataFrame:
    """What each searcher finds, mean over behaviours in percent of the oracle with the 95% interval over behaviours and seeds, and how many points
    more the policy trained with ``trained_k`` finds than it, on the same behaviours, with its word (than itself blind: what seeing its rewards gains it): rows
    searchers, of policies that one, two columns for each price."""
    columns: dict[str, dict[str, str]] = {}
    policy = f"policy k={trained_k}"
    searchers = [who for who in transfer["searcher"].unique() if who.startswith(policy) or "policy" not in who]
    for price in COUNTS:
        found = {searcher: shares(transfer, searcher, price) for searcher in searchers}
        means = {searcher: over_behaviours(some) for searcher, some in found.items()}
        columns[f"after {price}, %"] = {
            searcher: "{:.0f} ({:.0f} to {:.0f})".format(*(100 * x for x in mean)) for searcher, mean in means.items()
        }
        more = {other: over_behaviours(found[policy], some) for other, some in found.items() if other != policy}
        columns[f"after {price}, {searcher_title(policy)} more"] = {
            other: gain_cell(gain, gains(*gain[1:], means[other].value) if other == f"{policy}, blind" else "")
            for other, gain in more.items()
        }
    return pd.DataFrame(columns).rename_axis("searcher")


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


def measured_table(summary: pd.DataFrame, price: int, without: Collection[str] = ()) -> pd.DataFrame:
    """In how many episodes every searcher has measured the best head at a price, in percent: a column a task, their mean and the lowest; and how many of the five best heads, mean over tasks.

    without: as in :func:`rival_table`."""
    best, five = (rival_table(summary, price, what, without) for what in ("measured_best", "recall"))
    return best.assign(**{"five best": five["mean"]})


def mean_table(summary: pd.DataFrame, axis: str, without: Collection[str] = ()) -> pd.DataFrame:
    """The mean over tasks of every searcher's fraction of the oracle, in percent, along an ``axis``: rows searchers, columns prices or picks. Missing where one is
    missing of any task. without: as in :func:`rival_table`."""
    return 100 * _over_tasks(summary, axis, without).unstack(axis)


def scores_table(plays: pd.DataFrame, pool: int, score: str, without: Collection[str] = ()) -> pd.DataFrame:
    """:func:`mean_table` by price, of any score of :func:`circuitlib.studies.priced.summarise_priced`; an episode in which no head was measured on all prompts has found nothing.

    plays: of :func:`circuitlib.companion.frames.rivals`. pool: prompts that a task's episodes are drawn from. without: as in :func:`rival_table`."""
    found = plays["found"].fillna(0).where(plays["named"].notna())
    return mean_table(summarise_priced(plays.assign(found=found), pool, score), "price", without)


def _over_tasks(summary: pd.DataFrame, axis: str, without: Collection[str]) -> pd.Series:
    counted = summary[~summary["task"].isin(without)]
    by = counted.groupby(["searcher", axis], sort=False)["ratio"]
    return by.agg(lambda ratio: ratio.mean(skipna=False))


def payback_table(
    summary: pd.DataFrame, training: Mapping[str, float], heads: int, price: int, without: Collection[str] = ()
) -> pd.DataFrame:
    """After how many episodes what was paid for training is saved by searching at a ``price``: beside an exact sweep, which pays all ``heads`` of every
    episode, and beside attribution, verified until it names as much on average. A row per searcher: named (percent of the oracle, mean over tasks), training (its price),
    episodes to save it beside the sweep, the price from which on attribution names as much (missing where it does at none that was played), and the episodes to save it
    beside that: a dash where attribution costs no more.

    training: by searcher. without: as in :func:`rival_table`.
    """
    named = _over_tasks(summary, "price", without).reset_index().assign(task=MEAN)
    rows = {}
    for searcher, paid in training.items():
        own = float(named.query("searcher == @searcher and price == @price")["ratio"].item())
        enough = float(price_to(named[named["searcher"] == ATTRIBUTION], own)[MEAN].item())
        rows[searcher] = {
            f"named at price {price}, %": f"{100 * own:.0f}",
            "training, price": f"{paid:,.0f}",
            "episodes, beside a sweep": f"{paid / (heads - price):,.0f}",
            "attribution names as much at price": f"{enough:.0f}",
            "episodes, beside attribution": "–" if enough <= price else f"{paid / (enough - price):,.0f}",
        }
    return pd.DataFrame(rows).T.rename_axis("searcher").replace("nan", np.nan)


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


def errs_table(run: Run) -> pd.DataFrame:
    """A row per task: the head that is best on the evaluation prompts and its reward, and by each estimate what share of that it says and where it ranks the head."""
    rows = {}
    for task in run.tasks:
        truth = head_rewards(run, task, "evaluation")
        best = int(truth.argmax())
        row = {"best head": run.card.head_name(best), "reward": truth[best].item()}
        for title, through in ESTIMATES.items():
            estimate = head_rewards(run, task, "evaluation", through)
            row[f"by {title}, of it"] = (estimate[best] / truth[best]).item()
            row[f"rank by {title}"] = int((estimate > estimate[best]).sum()) + 1
        rows[task] = row
    return pd.DataFrame(rows).T.rename_axis("task")


def designs_table(few: pd.DataFrame) -> pd.DataFrame:
    """A row per design, on how many prompts the gradient and the direct effect are bought: columns of :func:`circuitlib.studies.few.by_design`, fractions of the oracle in percent.

    few: of :func:`circuitlib.companion.few.few`."""
    designs = by_design(few).set_index(["gradient", "direct"])
    return _in_percent(designs).rename_axis(["gradient on", "direct effect on"])


def parts_table(taught: pd.DataFrame) -> pd.DataFrame:
    """A row per way of searching and of teaching it: columns of :func:`circuitlib.studies.taught.by_way`, fractions of the oracle in percent.

    taught: of :func:`circuitlib.companion.taught.taught`."""
    return _in_percent(by_way(taught))


def _in_percent(judged: pd.DataFrame) -> pd.DataFrame:
    return judged.assign(**(100 * judged[["named", "low", "high", "least", "ahead", "ahead_low", "ahead_high"]]))


def gains_over(
    frame: pd.DataFrame, one: str, others: Sequence[str], price: int, pool: int, without: Collection[str] = ()
) -> pd.DataFrame:
    """How much more one searcher names than each of the others at a price, on the same episodes, in points of the oracle with
    the 95% interval and its word: rows tasks and their mean, columns those of the others that were played. Searchers with as many seeds are paired
    seed by seed, others by episode alone. Of the mean the intervals of the tasks are taken as independent: prompts are, and the few
    seeds of a searcher are shared.

    frame: of :func:`circuitlib.studies.priced.priced`. pool: prompts that a task's episodes are drawn from. without: as in
    :func:`rival_table`; nothing is said of these.
    """
    at = frame[frame["price"] == price]
    played = set(frame["searcher"])
    found: dict[str, dict[str, Interval]] = {other: {} for other in others if other in played}
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
    cells = {
        other: {task: "–" if task in without else gain_cell(x) for task, x in tasks.items()}
        for other, tasks in columns.items()
    }
    return pd.DataFrame(cells).rename_axis("task")


def gain_cell(gain: Interval, word: str = "") -> str:
    """A gain in points, and its word, by default whether there is one."""
    value, low, high = (100 * x for x in gain)
    return f"{value:z.0f} ({low:z.0f} to {high:z.0f}) {word or beats(low, high)}"
