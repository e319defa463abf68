"""The figures, one function each: data in, a matplotlib figure out. Colours are safe for colour-blind readers."""

from collections.abc import Sequence
from itertools import pairwise, product
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from circuitlib.companion.legend import MAIN, PLANNING, SEARCHERS, kind_of, processor_title, subject_title, task_title
from circuitlib.companion.show import PAGE, described, subject_name
from circuitlib.companion.verdicts import MARGIN
from circuitlib.search.env import BUDGET
from circuitlib.studies.evaluate import after_picks

HERE, PAPER, ORACLE = "#0072B2", "#CC79A7", "#000000"
"""Colours of what is measured here, of the paper's numbers, and of the oracle."""

THEIRS = "paper (GPT-2 small)"

VERDICTS = {
    ("consistent", "holds", "gains"): ("#08306B", "o", "full"),
    ("undecided",): ("#737373", "o", "none"),
    ("at the ceiling",): ("#737373", "^", "none"),
    ("gains nothing",): ("#E69F00", "v", "none"),
    ("inconsistent", "the other way round", "loses"): ("#E69F00", "s", "full"),
}
"""How verdicts are drawn, apart in grey too: colour, marker, whether it is filled."""


def _panels(count: int, height: float, across: int | None = None, **options: Any) -> tuple[Figure, list[Axes]]:
    """Panels on the width of a page, ``across`` in a row, by default all; ``height`` inches each."""
    across = across or count
    down = -(-count // across)
    figure, axes = plt.subplots(down, across, figsize=(PAGE, height * down), squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def legend_above(figure: Figure, handles: Sequence[Any], labels: Sequence[str], across: int) -> None:
    """One legend for all panels, above them, so many entries in a row."""
    figure.legend(handles, labels, loc="outside upper center", ncols=across, fontsize="small")


def _here() -> str:
    return f"here ({subject_title(subject_name())})"


def _errors(rows: pd.DataFrame, value: str) -> np.ndarray:
    """How far the interval reaches below and above a value."""
    return np.stack([rows[value] - rows["low"], rows["high"] - rows[value]]).clip(min=0)


def searcher_labels(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of a summary that a comparison at equal price shows, with each searcher's title as ``label``: policies without planning,
    as the paper evaluates them, and, after as many heads, the one that was trained to plan, planning."""
    plain = summary[summary["planned_k"] <= 1]
    titles = [kind_of(*of).title for of in zip(plain["searcher"], plain["trained_k"], strict=True)]
    plans = (summary["planned_k"] > 1) & (summary["trained_k"] == summary["planned_k"])
    planning = summary[plans & summary["measured"].isin(set(plain["measured"]))]
    return pd.concat([plain.assign(label=titles), planning.assign(label=PLANNING)])


@described
def search_curves(summary: pd.DataFrame, told: dict[str, str]) -> Figure:
    """Best reward, as a fraction of the paired oracle, against heads measured, with 95% intervals. Thin: a policy that plans, and pays for
    the heads that it passes over. Dashed: as many heads as the paper's episodes have picks.

    told: the signal of each task, one panel per task; searchers without signals have ``none``.
    """
    rows = searcher_labels(summary)
    planner = SEARCHERS["policy k=5"]
    looks = {kind.title: (kind.colour, kind.marker, "-", 0.15) for kind in MAIN}
    looks[PLANNING] = planner.colour, "", ":", 0.0
    figure, axes = _panels(len(told), 3.4, sharey=True)
    for axis, (task, signal) in zip(axes, told.items(), strict=True):
        for title, (colour, marker, dashes, alpha) in looks.items():
            line = rows.query("task == @task and label == @title").sort_values("measured")
            heard = signal if signal in set(line["signal"]) else "none"
            line = line[line["signal"] == heard]
            if line.empty:
                continue
            x = line["measured"]
            axis.plot(x, line["ratio"], marker=marker, color=colour, ls=dashes, label=title, ms=5)
            axis.fill_between(x, line["low"], line["high"], color=colour, alpha=alpha, lw=0)
        axis.axhline(1, color=ORACLE, lw=1, ls=":")
        trained = "trained on" if signal == task else "never trained on"
        axis.set(xscale="log", xlabel="heads measured", title=f"{task_title(task)}\n({trained})")
        ticks = sorted(set(rows.loc[rows["task"] == task, "measured"]))
        # Two that are near each other would overlap; the last is all heads.
        crowded = [after < 1.5 * tick for tick, after in pairwise(ticks)]
        axis.set_xticks(ticks, ["" if near else str(tick) for tick, near in zip(ticks, [*crowded, False], strict=True)])
        axis.axvline(BUDGET, color=ORACLE, lw=0.6, ls="--", alpha=0.5)
        axis.minorticks_off()
    axes[0].set(ylabel="best reward / oracle", ylim=(None, 1.05))
    legend_above(figure, *axes[-1].get_legend_handles_labels(), across=3)
    return figure


@described
def head_maps(heads: pd.DataFrame, tasks: Sequence[str], heads_per_layer: int) -> Figure:
    """Mean reward of every head, layers down and heads across, one map per task. Red: losing the head costs
    the task more than it costs general text."""
    layers = heads["head"].nunique() // heads_per_layer
    figure, axes = _panels(len(tasks), 1.2 + (0.15 if layers > heads_per_layer else 0.12) * layers)
    for axis, task in zip(axes, tasks, strict=True):
        rewards = heads[heads["task"] == task].sort_values("head")["reward"].to_numpy()
        label = "mean reward (red: needed)" if axis is axes[-1] else ""
        _map(axis, rewards.reshape(layers, heads_per_layer), label)
        axis.set(title=task_title(task), xlabel="head")
    axes[0].set(ylabel="layer")
    return figure


def heat_map(axis: Axes, grid: np.ndarray, **options: Any) -> None:
    """seaborn's, of square cells and without a colour bar. It draws the figure to see whether labels touch: without its layout, which is
    solved once, when all is there."""
    figure: Any = axis.figure
    layout = figure.get_layout_engine()
    figure.set_layout_engine("none")
    sns.heatmap(grid, ax=axis, square=True, cbar=False, **options)
    figure.set_layout_engine(layout)


def _map(axis: Axes, grid: np.ndarray, label: str, names: Sequence[str] | str = "auto") -> None:
    """A heat map, red above zero and blue below."""
    limit = float(np.nanmax(np.abs(grid))) or 1.0
    heat_map(axis, grid, cmap="RdBu_r", vmin=-limit, vmax=limit, xticklabels=names, yticklabels=names)
    axis.figure.colorbar(axis.collections[0], ax=axis, label=label, shrink=0.8)
    axis.tick_params(axis="y", rotation=0)


@described
def sorted_rewards(rewards: dict[str, np.ndarray], top: int = 20) -> Figure:
    """Rewards of the heads that are best on average, in order of their mean: one dot per episode.

    rewards: of a task, ``[episodes, heads]``. top: heads that are shown.
    """
    figure, axes = _panels(len(rewards), 3.0)
    for axis, (task, values) in zip(axes, rewards.items(), strict=True):
        best = values[:, np.argsort(-values.mean(0), kind="stable")[:top]]
        rank = np.arange(1, best.shape[1] + 1)
        axis.scatter(np.broadcast_to(rank, best.shape), best, s=6, alpha=0.35, color=HERE, label="one episode")
        axis.plot(rank, best.mean(0), color=ORACLE, lw=1.2, label="mean")
        axis.set(
            title=task_title(task), xlabel="head, by mean reward", xlim=(0, len(rank) + 1), xticks=(1, 5, 10, 15, top)
        )
    axes[0].set_ylabel("reward")
    axes[-1].legend()
    return figure


@described
def pretraining_curves(log: pd.DataFrame) -> Figure:
    """The embedded subject in training: tasks answered right, and prose loss against the bigram model."""
    figure, (left, right) = _panels(2, 3.2)
    styles = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))]
    names = [column.removesuffix("_right") for column in map(str, log) if column.endswith("_right")]
    for name, style, colour in zip(names, styles, sns.color_palette("colorblind"), strict=False):
        left.plot(log["step"], 100 * log[f"{name}_right"], label=task_title(name), ls=style, color=colour)
    left.set(xlabel="training step", ylabel="prompts answered right (%)", ylim=(0, 102))
    left.legend(fontsize="small", loc="lower right")
    right.plot(log["step"], log["prose_loss"], label=subject_name(), color=HERE)
    bigram = log["bigram_loss"].iloc[-1]
    right.axhline(bigram, color="black", ls="--", lw=1, label="interpolated bigram")
    right.set(xlabel="training step", ylabel="loss on held-out prose (nats)", ylim=(None, 7))
    right.legend()
    return figure


@described
def training_curves(history: pd.DataFrame, oracle: dict[str, float], window: int = 10) -> Figure:
    """Best reward of the training episodes against PPO updates, the mean over seeds and, as a band, from the least to the most of
    them, with the oracle's mean reward on each task."""
    figure, axes = _panels(len(oracle), 3.2)
    for axis, (task, ceiling) in zip(axes, oracle.items(), strict=True):
        for k, rows in history[history["task"] == task].groupby("trained_k"):
            by_seed = rows.pivot(index="update", columns="seed", values="best")
            smooth, kind = by_seed.rolling(window, min_periods=1).mean(), kind_of("policy", int(str(k)))
            axis.fill_between(smooth.index, smooth.min(axis=1), smooth.max(axis=1), color=kind.colour, alpha=0.25, lw=0)
            axis.plot(smooth.index, smooth.mean(axis=1), color=kind.colour, lw=1.5, label=kind.title)
        axis.axhline(ceiling, color=ORACLE, ls=":", lw=1, label="oracle, mean")
        axis.set(title=task_title(task), xlabel="PPO update", xscale="log")
        axis.xaxis.set_major_formatter("{x:.0f}")
    axes[0].set_ylabel(f"best reward of an episode\n(mean of {window} updates)")
    axes[-1].legend(loc="lower right")
    return figure


@described
def signal_bars(summary: pd.DataFrame, task: str, paper: dict[tuple[str, int, str], float]) -> Figure:
    """A task under every signal, as many heads measured as there are picks and no planning, as fractions of the
    oracle; beside it the paper's, by (task, trained k, signal), where it has one."""
    rows = after_picks(summary[(summary["task"] == task) & (summary["planned_k"] <= 1)])
    policies = rows[rows["searcher"] == "policy"].groupby("trained_k")
    figure, axes = _panels(len(policies), 3.5, sharey=True)
    k: Any
    for axis, (k, ours) in zip(axes, policies, strict=True):
        x = np.arange(len(ours))
        axis.bar(x - 0.2, ours["ratio"], 0.38, yerr=_errors(ours, "ratio"), capsize=3, color=HERE, label=_here())
        theirs = [paper.get((task, k, signal), np.nan) for signal in ours["signal"]]
        axis.bar(x + 0.2, theirs, 0.38, color=PAPER, label=THEIRS, hatch="//", edgecolor="white")
        random = rows.loc[rows["searcher"] == "random", "ratio"].item()
        axis.axhline(random, color=HERE, ls="--", lw=1.2, label="random, here")
        if (task, 0, "none") in paper:
            axis.axhline(paper[task, 0, "none"], color=PAPER, ls=":", lw=1.6, label="random, in the paper")
        axis.set_xticks(x, [f"told\n{'nothing' if one == 'none' else task_title(one)}" for one in ours["signal"]])
        axis.set(title=f"{task_title(task)}, trained with k={k}", ylim=(0, 1.12))
    axes[0].set_ylabel(f"best reward / oracle\nafter {rows['measured'].max()} heads measured")
    legend_above(figure, *axes[-1].get_legend_handles_labels(), across=2)
    return figure


@described
def convention_scatter(conventions: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Damage of each head under one convention against the other, and the line of equality; the three of most damage and the three
    that differ most are named.

    names: of all heads.
    """
    tasks = conventions.groupby("task", sort=False)
    figure, axes = _panels(len(tasks), 2.9)
    for axis, (task, rows) in zip(axes, tasks, strict=True):
        axis.axline((0, 0), slope=1, color="black", lw=0.8, ls=":")
        axis.scatter(rows["folded"], rows["raw"], s=12, color=HERE, alpha=0.7)
        differs = (rows["folded"] - rows["raw"]).abs()
        notable = rows.nlargest(3, "folded").index.union(differs.nlargest(3).index)
        points = rows.assign(name=[names[head] for head in rows["head"]], score=rows["folded"], reward=rows["raw"])
        _name_points(axis, points.loc[notable].sort_values("reward", ascending=False))
        axis.set(title=task_title(str(task)), xlabel="damage, folded (logits)")
    axes[0].set_ylabel("damage, raw (logits)")
    return figure


@described
def detector_scatter(scores: pd.DataFrame) -> Figure:
    """For each detector, reward of each head on the detector's task against its score, the three
    highest of either named.

    scores: columns detector, task, name (of the head), score, reward.
    """
    panels = list(scores.groupby("detector", sort=False))
    figure, axes = _panels(len(panels), 2.9, across=2)
    for axis, (detector, rows) in zip(axes, panels, strict=True):
        axis.scatter(rows["score"], rows["reward"], s=12, alpha=0.7, color=HERE)
        notable = rows.nlargest(3, "score").index.union(rows.nlargest(3, "reward").index)
        _name_points(axis, rows.loc[notable].sort_values("reward", ascending=False))
        axis.set(
            title=f"{detector} on {task_title(rows['task'].iloc[0])}",
            xlabel="score (attention, or share copied)",
            ylabel="mean reward",
        )
    return figure


def _name_points(axis: Axes, rows: pd.DataFrame) -> None:
    """Head names beside their points, highest first, each moved down where it would cover another."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    placed: list[tuple[float, float]] = []
    row: Any
    for row in rows.itertuples():
        x = (row.score - left) / (right - left) + 0.01
        y = (row.reward - low) / (high - low) + 0.01
        y = min([y, *(other - 0.06 for at, other in placed if abs(x - at) < 0.2)])
        placed.append((x, y))
        axis.text(x, y, row.name, fontsize=8, transform=axis.transAxes)


@described
def pair_maps(pairs: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Interaction of each pair of leading heads: red where losing both costs more than the two losses alone."""
    tasks = pairs.groupby("task", sort=False)
    figure, axes = _panels(len(tasks), 3.4, across=2)
    for axis, (task, rows) in zip(axes, tasks, strict=True):
        places, order = pd.factorize(pd.concat([rows["first"], rows["second"]]))
        first, second = np.split(places, 2)
        grid = np.full((len(order), len(order)), np.nan)
        grid[first, second] = grid[second, first] = rows["interaction"]
        _map(axis, grid, "interaction (logits)", [names[head] for head in order])
        axis.set(title=task_title(str(task)))
        axis.tick_params(labelsize=8)
    return figure


RANKINGS = {
    "damage": ("by reward", "#000000", "o"),
    "attribution": ("by attribution", "#E69F00", "P"),
    "policy": ("in the policy's order", "#0072B2", "s"),
    "random": ("at random", "#7F7F7F", "^"),
}
"""How rankings of heads are drawn: title, colour, marker."""


PLACES = {"zero": "zeros in place", "mean": "means in place", "resample": "others' in place"}
"""What takes a head's place, in a figure's words."""


@described
def circuit_curves(shares: pd.DataFrame) -> Figure:
    """What circuits keep of a task's score, and what the model is short of without them, against their number of heads; a column
    a task, a row for each of both and of what takes a head's place, with 95% intervals.

    shares: of :func:`circuitlib.studies.faithfulness.shares`.
    """
    tasks, kinds = list(shares["task"].unique()), list(shares["ablation"].unique())
    rows = list(product(("kept", "lost"), kinds))
    size = (PAGE, 2.3 * len(rows) + 0.4)
    figure, axes = plt.subplots(len(rows), len(tasks), figsize=size, sharex=True, sharey=True, squeeze=False)
    for (row, (what, kind)), (column, task) in product(enumerate(rows), enumerate(tasks)):
        axis = axes[row][column]
        some = shares.query("task == @task and what == @what and ablation == @kind")
        for ranking, line in some.groupby("ranking", sort=False):
            title, colour, marker = RANKINGS.get(str(ranking), (str(ranking), "#882255", "d"))
            axis.plot(line["heads"], line["share"], color=colour, marker=marker, ms=4, lw=1.4, label=title)
            axis.fill_between(line["heads"], line["low"], line["high"], color=colour, alpha=0.12, lw=0)
        for level in (0, 1):
            axis.axhline(level, color="black", lw=0.7, ls=":")
        # Every point is within the axes; bands may leave them.
        axis.set(xscale="log", ylim=(min(-0.5, shares["share"].min() - 0.1), max(1.3, shares["share"].max() + 0.1)))
        sizes = sorted(shares["heads"].unique())
        axis.set_xticks(sizes, [f"{size}" for size in sizes])
        axis.xaxis.set_minor_locator(NullLocator())
        if row == 0:
            axis.set_title(task_title(task))
        if row == len(rows) - 1:
            axis.set_xlabel("heads in the circuit")
        if column == 0:
            axis.set_ylabel(f"{what} {'by these alone' if what == 'kept' else 'without these'}\n({PLACES[kind]})")
    handles, labels = axes[0][0].get_legend_handles_labels()
    legend_above(figure, handles, labels, across=len(labels))
    return figure


@described
def claims_chart(claims: pd.DataFrame) -> Figure:
    """The ledger's intervals by verdict. Above, fractions of the oracle, each beside the paper's with the margin that was
    stated beforehand, or shares of episodes; below, how much more one searcher finds than another, about zero."""
    paired = claims["unit"].str.endswith("paired")
    panels = [claims[claims["paper"].notna()], claims[paired]]
    sizes = [max(len(rows), 1) for rows in panels]
    figure, axes = plt.subplots(2, 1, figsize=(PAGE, 0.42 * sum(sizes) + 2.2), height_ratios=sizes)
    for axis, rows, count in zip(axes, panels, sizes, strict=True):
        heights = pd.Series(np.arange(len(rows))[::-1], index=rows.index)
        for words, (colour, marker, fill_style) in VERDICTS.items():
            some = rows[rows["verdict"].isin(words)]
            if not claims["verdict"].isin(words).any():
                continue
            look: dict[str, Any] = {"color": colour, "fmt": marker, "fillstyle": fill_style, "label": ", ".join(words)}
            axis.errorbar(some["ours"], heights[some.index], xerr=_errors(some, "ours"), capsize=3, **look)
        axis.set_yticks(heights, [fill(claim, 52) for claim in rows["claim"]])
        axis.set_ylim(-0.6, count - 0.4)
    (beside, gained), y = axes, np.arange(len(panels[0]))[::-1]
    band = f"the paper's (GPT-2 small), within {100 * MARGIN:.0f} points"
    beside.barh(y, 2 * MARGIN, 0.7, panels[0]["paper"] - MARGIN, color="0.85", label=band, zorder=0)
    beside.scatter(panels[0]["paper"], y, marker="|", s=90, color="0.35", zorder=1)
    beside.set_xlabel(f"fraction of the oracle, or share of episodes,\n{_here()}")
    gained.axvline(0, color=ORACLE, ls=":", lw=1)
    gained.set_xlabel("difference, as a fraction of the oracle")
    figure.legend(*beside.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize="small")
    return figure


@described
def speed_bars(sweeps: pd.DataFrame) -> Figure:
    """Speed of each way to measure all heads, over the hooked one; one row of panels a subject, one panel a
    processor."""
    processors, subjects = sweeps["processor"].unique(), sweeps["subject"].unique()
    named: dict[Any, Any] = {}
    palette = dict(zip(sweeps["method"].unique(), sns.color_palette("colorblind"), strict=False))
    figure, axes = _panels(len(processors) * len(subjects), 2.8, across=len(processors), sharey=True)
    for axis, (subject, processor) in zip(axes, product(subjects, processors), strict=True):
        rows = sweeps.query("processor == @processor and subject == @subject")
        axis.set_visible(len(rows) > 0)
        if len(rows):
            rows = rows.assign(workload=rows["workload"].map(task_title))
            sns.barplot(rows, x="workload", y="speedup", hue="method", palette=palette, ax=axis)
            bars: Any
            for bars in axis.containers:
                axis.bar_label(bars, fmt="%.1f", fontsize=8)
            axis.axhline(1, color="black", lw=0.8, ls=":")
            axis.set(
                title=f"{subject_title(subject)}\n{processor_title(processor)}",
                xlabel="",
                ylabel="times as fast as hooks",
            )
            handles, labels = axis.get_legend_handles_labels()
            named |= dict(zip(labels, handles, strict=True))
            if legend := axis.get_legend():
                legend.remove()
    legend_above(figure, [*named.values()], [*named.keys()], across=3)
    return figure


@described
def growth_curves(growth: pd.DataFrame) -> Figure:
    """Seconds (both axes logarithmic, with a line of slope 1) and memory of one sweep as one size grows."""
    sizes = growth.groupby("grows", sort=False)
    figure, axes = plt.subplots(2, len(sizes), figsize=(PAGE, 4.6), sharey="row", squeeze=False)
    for (time, memory), (size, rows) in zip(axes.T, sizes, strict=True):
        rows = rows.sort_values("size")
        x, seconds = rows["size"].to_numpy(float), rows["seconds"].to_numpy(float)
        time.plot(x, seconds[0] * x / x[0], color="black", lw=0.8, ls=":", label="in proportion")
        time.plot(x, seconds, marker="o", color=HERE, label="measured")
        memory.plot(x, rows["resident"], marker="o", color=HERE, label="at most")
        memory.plot(x, rows["loaded"], marker="s", color="#7F7F7F", label="model loaded")
        for axis in (time, memory):
            axis.set_xscale("log", base=2)
            axis.set_xticks(x, [f"{value:.0f}" for value in x])
        time.set(yscale="log", title=fill(f"growing {size}", 18))
        memory.set_xlabel(size)
    axes[0][0].set_ylabel("seconds, all heads")
    axes[1][0].set(ylabel="resident memory (GiB)", ylim=(0, 1.1 * growth["resident"].max()))
    for axis in axes[:, -1]:
        axis.legend(fontsize="small")
    return figure
