"""The figures, one function each: data in, a matplotlib figure out. Colours are safe for colour-blind readers."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, product
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from circuitlib.ablation.head_damage import dash_below_zero
from circuitlib.companion.legend import PLANNING, SEARCHERS, kind_of, processor_title, subject_title, task_title
from circuitlib.companion.line_ends import HEIGHT, SIZE, apart, name_ends
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import PAGE, described, subject_name
from circuitlib.companion.verdicts import MARGIN, POINT
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.evaluate import after_picks
from circuitlib.studies.intervals import Interval
from circuitlib.tasks import TASKS

HERE, PAPER, ORACLE = "#0072B2", "#CC79A7", "#000000"
"""Colours of what is measured here, of the paper's numbers, and of the oracle."""

THEIRS = "paper (GPT-2 small)"

VISIBLE = 0.05
"""What is to be seen of a difference, as a share of an axis."""

NEAR = 0.2
"""Names of points that are so near each other, as a share of a panel's width, would cover each other."""

VERDICTS = {
    ("consistent", "holds", "gains"): ("#08306B", "o", "full"),
    ("inconsistent", "the other way round", "loses"): ("#A63603", "s", "full"),
    ("undecided",): ("#7A7A7A", "D", "none"),
    ("gains nothing",): ("#E69F00", "v", "none"),
    ("at the ceiling",): ("#B0D4E8", "^", "none"),
}
"""How verdicts are drawn, apart in grey too, by shape and by lightness: colour, marker, whether it is filled."""


SPANS = (0, 1.15), (-2.5, 2.5), (-70, 70)
"""What the axes of the ledger's chart reach, for every subject: fractions, gains of seeing, and differences, both in points."""


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


def errors(rows: pd.DataFrame, value: str) -> np.ndarray:
    """How far the interval reaches below and above a value."""
    return np.stack([rows[value] - rows["low"], rows["high"] - rows[value]]).clip(min=0)


def reach(axis: Axes, low: float, high: float) -> None:
    """Let an axis across, with those that share it, reach from ``low`` to ``high``, so that subjects are drawn alike, and further for what lies
    outside. Call last."""
    first, last = np.transpose([one.dataLim.intervalx for one in axis.get_shared_x_axes().get_siblings(axis)])
    margin = 0.05 * (high - low)
    first, last = first.min(), last.max()
    axis.set_xlim(low if first >= low else first - margin, high if last <= high else last + margin)


def searcher_labels(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of a summary that a comparison at equal price shows, with each searcher's title as ``label``: policies without planning,
    as the paper evaluates them, and, after as many heads, the one that was trained to plan, planning. A list that is told its task is that task's own."""
    plain = summary[summary["planned_k"] <= 1]
    own = (plain["searcher"] == "static prior") & (plain["signal"] != NOTHING)
    keys = plain["searcher"].mask(own, "list of " + plain["signal"])
    titles = [kind_of(*of).title for of in zip(keys, plain["trained_k"], strict=True)]
    plans = (summary["planned_k"] > 1) & (summary["trained_k"] == summary["planned_k"])
    planning = summary[plans & summary["measured"].isin(set(plain["measured"]))]
    return pd.concat([plain.assign(label=titles), planning.assign(label=PLANNING)])


def told_of(summary: pd.DataFrame, task: str) -> str:
    """What policies are told of a task when they play as in training: the task where they were trained on it, otherwise nothing."""
    return task if task in set(summary.loc[summary["task"] == task, "signal"]) else NOTHING


def found_by_heads(axis: Axes, lines: Iterable[tuple[pd.DataFrame, str, str, Any, float]]) -> None:
    """Best rewards as fractions of the oracle: a step where a head is measured, on a logarithmic axis that ends at an episode's last pick.

    lines: rows of a summary, label, colour, line style, and how opaque the band of its intervals is.
    """
    last = 1
    for line, label, colour, style, alpha in lines:
        line = line.sort_values("measured")
        x, last = line["measured"], max(last, line["measured"].max())
        axis.step(x, line["ratio"], where="post", color=colour, ls=style, lw=1.6, label=label)
        axis.fill_between(x, line["low"], line["high"], step="post", color=colour, alpha=alpha, lw=0)
    axis.axhline(1, color=ORACLE, lw=1, ls=":")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50) if tick <= last]
    axis.set(xscale="log", xlabel="heads measured", xlim=(0.92, last))
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()


CURVES = ("policy k=5", "static prior", "random")
"""The searchers of search curves: the headline's policy, and what it must beat."""


@described
def search_curves(curves: pd.DataFrame, tasks: Sequence[str]) -> Figure:
    """What the headline's policy finds, a list and random search: best reward, as a fraction of the paired oracle, after each head measured, with
    95% intervals, up to as many heads as the paper's episodes have picks.

    curves: of :func:`circuitlib.studies.curves.measure_curves`. tasks: one panel each, told as in :func:`told_of`.
    """
    rows = searcher_labels(curves)
    figure, axes = _panels(len(tasks), 3.0, sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        signal = told_of(curves, task)
        some = rows[(rows["task"] == task) & rows["signal"].isin((signal, NOTHING))]
        lines = []
        for key in CURVES:
            kind, own = SEARCHERS[key], key == "static prior" and signal != NOTHING
            of_searcher = some[some["label"] == kind_of(f"list of {signal}" if own else key).title]
            lines.append((of_searcher, f"own {kind.short}" if own else kind.short, kind.colour, kind.line, 0.15))
        found_by_heads(axis, [line for line in lines if len(line[0])])
        trained = "trained on" if signal == task else "never shown"
        axis.set(title=f"{task_title(task)}\n({trained})")
    axes[0].set(ylabel="best reward / oracle", ylim=(None, 1.05))
    name_ends(figure)
    return figure


@described
def head_maps(heads: pd.DataFrame, tasks: Sequence[str], heads_per_layer: int) -> Figure:
    """Mean reward of every head, layers down and heads across, one map per task. Red: losing the head costs
    the task more than it costs general text."""
    layers = heads["head"].nunique() // heads_per_layer
    figure, axes = _panels(len(tasks), 1.2 + (0.15 if layers > heads_per_layer else 0.12) * layers, sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        rewards = heads[heads["task"] == task].sort_values("head")["reward"].to_numpy()
        unit = TASKS[task].metric.unit
        label = f"mean reward ({unit}; red: needed)" if axis is axes[-1] else ""
        _map(axis, rewards.reshape(layers, heads_per_layer), label)
        axis.set(title=task_title(task), xlabel="head")
        axis.tick_params(axis="y", left=axis is axes[0])  # elsewhere they would touch the numbers of the bar before
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
    """A heat map, red above zero, blue below, and dashed where clearly so."""
    limit = float(np.nanmax(np.abs(grid))) or 1.0
    heat_map(axis, grid, cmap="RdBu_r", vmin=-limit, vmax=limit, xticklabels=names, yticklabels=names)
    dash_below_zero(axis, grid / limit, 0.5)
    axis.figure.colorbar(axis.collections[0], ax=axis, label=label, shrink=0.8)
    axis.tick_params(axis="y", rotation=0)


def drawn_rewards(rewards: dict[str, np.ndarray], names: Sequence[str], top: int = 15) -> pd.DataFrame:
    """What :func:`sorted_rewards` draws: a row per task and head, the best on average first; columns task, head, mean, and one per episode, as fractions of the
    best head's mean."""
    parts = []
    for task, values in rewards.items():
        order = np.argsort(-values.mean(0), kind="stable")[:top]
        best = values[:, order].T / values[:, order[0]].mean()
        part = pd.DataFrame(best, columns=[f"episode {i}" for i in range(1, best.shape[1] + 1)])
        part.insert(0, "mean", best.mean(1))
        part.insert(0, "head", [names[head] for head in order])
        part.insert(0, "task", task)
        parts.append(part)
    return pd.concat(parts)


@described
def sorted_rewards(rewards: dict[str, np.ndarray], names: Sequence[str], top: int = 15) -> Figure:
    """Rewards of the heads that are best on average, in order of their mean, as fractions of the best one's mean: one dot per episode.

    rewards: of a task, ``[episodes, heads]``. names: of all heads. top: heads that are shown.
    """
    figure, axes = _panels(len(rewards), 3.2, sharey=True)
    for axis, (task, rows) in zip(axes, drawn_rewards(rewards, names, top).groupby("task", sort=False), strict=True):
        best, rank = rows.filter(like="episode ").to_numpy().T, np.arange(len(rows))
        axis.scatter(np.broadcast_to(rank, best.shape), best, s=6, alpha=0.35, color=HERE, label="one episode")
        axis.plot(rank, rows["mean"], color=ORACLE, lw=1.2, label="mean")
        axis.axhline(0, color=ORACLE, lw=0.7, ls=":")
        axis.set(title=task_title(str(task)), xlabel="head, by mean reward", xlim=(-0.7, len(rows) - 0.3))
        axis.set_xticks(rank, rows["head"], rotation=90, fontsize=8)
    axes[0].set_ylabel("reward / the best head's mean")
    axes[-1].legend()
    return figure


@described
def pretraining_curves(log: pd.DataFrame) -> Figure:
    """The embedded subject in training: tasks answered right, and prose loss against the bigram model."""
    figure, (left, right) = _panels(2, 3.2)
    styles = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))]
    names = [column.removesuffix("_right") for column in map(str, log) if column.endswith("_right")]
    colours = (HERE, "#E69F00", "#009E73", "#882255", PAPER, ORACLE)
    for name, style, colour in zip(names, styles, colours, strict=False):
        left.plot(log["step"], 100 * log[f"{name}_right"], label=task_title(name), ls=style, color=colour)
    left.set(xlabel="training step", ylabel="prompts answered right (%)", ylim=(0, 102))
    left.legend(fontsize="small", loc="lower right")
    right.plot(log["step"], log["prose_loss"], label=subject_name(), color=HERE)
    bigram = log["bigram_loss"].iloc[-1]
    right.axhline(bigram, color="black", ls="--", lw=1, label="interpolated bigram")
    right.set(xlabel="training step", ylabel="loss on held-out prose (nats)", ylim=(None, 7))
    right.legend()
    return figure


def drawn_training(history: pd.DataFrame, oracle: dict[str, float], window: int = 10) -> pd.DataFrame:
    """What :func:`training_curves` draws: columns task, trained_k, update, and of the seeds mean, least and most, each the mean of ``window`` updates."""
    parts = []
    for (task, k), rows in history.groupby(["task", "trained_k"], sort=False):
        by_seed = rows.pivot(index="update", columns="seed", values="best") / oracle[str(task)]
        smooth = by_seed.rolling(window, min_periods=1).mean()
        ends = {"mean": smooth.mean(axis=1), "least": smooth.min(axis=1), "most": smooth.max(axis=1)}
        parts.append(pd.DataFrame({"task": task, "trained_k": k, **ends}).reset_index())
    return pd.concat(parts)


@described
def training_curves(history: pd.DataFrame, oracle: dict[str, float], window: int = 10) -> Figure:
    """Best reward of the training episodes, as a fraction of the oracle's mean reward on the task, against PPO updates: the mean over
    seeds and, as a band, from the least to the most of them.

    oracle: its mean reward on each task, which other episodes of that task may exceed.
    """
    figure, axes = _panels(len(oracle), 3.2, sharey=True)
    drawn = drawn_training(history, oracle, window)
    for axis, task in zip(axes, oracle, strict=True):
        for k, rows in drawn[drawn["task"] == task].groupby("trained_k"):
            kind, dashes = kind_of("policy", int(str(k))), "-" if k == HEADLINE_K else "--"
            axis.fill_between(rows["update"], rows["least"], rows["most"], color=kind.colour, alpha=0.25, lw=0)
            axis.plot(rows["update"], rows["mean"], color=kind.colour, lw=1.5, ls=dashes, label=kind.title)
        axis.axhline(1, color=ORACLE, ls=":", lw=1, label="oracle, mean")
        axis.set(title=task_title(task), xlabel="PPO update", xscale="log", ylim=(0, None))
        axis.xaxis.set_major_formatter("{x:.0f}")
    axes[0].set_ylabel(f"best reward of an episode / oracle\n(mean of {window} updates)")
    axes[-1].legend(loc="lower right")
    return figure


def drawn_signals(summary: pd.DataFrame, task: str, paper: Mapping[tuple[str, int, str], Interval]) -> pd.DataFrame:
    """What :func:`signal_bars` draws: a row per policy and what it is told, and one of random search; columns trained_k, searcher, signal, measured, ratio, low, high and,
    where the paper has such a row, paper, paper_low, paper_high."""
    rows = after_picks(summary[(summary["task"] == task) & (summary["planned_k"] <= 1)])
    rows = rows[rows["searcher"].isin(("policy", "random"))]
    keys = [(task, k, signal) for k, signal in zip(rows["trained_k"], rows["signal"], strict=True)]
    theirs = np.array([paper.get(key, (np.nan,) * 3) for key in keys]).reshape(-1, 3)
    chosen = rows[["trained_k", "searcher", "signal", "measured", "ratio", "low", "high"]]
    return chosen.assign(**dict(zip(("paper", "paper_low", "paper_high"), theirs.T, strict=True)))


@described
def signal_bars(summary: pd.DataFrame, task: str, paper: Mapping[tuple[str, int, str], Interval]) -> Figure:
    """A task under every signal, and random search, as many heads measured as there are picks and no planning, as fractions of the
    oracle; beside it the paper's, by (task, trained k, signal), where it has one; each with its 95% interval, where that is known."""
    rows = drawn_signals(summary, task, paper)
    policies = rows[rows["searcher"] == "policy"].groupby("trained_k")
    figure, axes = _panels(len(policies), 3.5, sharey=True)
    k: Any
    for axis, (k, ours) in zip(axes, policies, strict=True):
        signals, ours = list(ours["signal"]), pd.concat([ours, rows[rows["searcher"] == "random"]])
        x = np.arange(len(ours))
        axis.bar(x - 0.2, ours["ratio"], 0.38, yerr=errors(ours, "ratio"), capsize=3, color=HERE, label=_here())
        theirs = ours[["paper", "paper_low", "paper_high"]].to_numpy()
        ends = np.abs(theirs[:, 1:] - theirs[:, :1]).T
        axis.bar(
            x + 0.2, theirs[:, 0], 0.38, yerr=ends, capsize=3, color=PAPER, label=THEIRS, hatch="//", edgecolor="white"
        )
        told = [f"told\n{'nothing' if one == NOTHING else task_title(one)}" for one in signals]
        axis.set_xticks(x, [*told, "random\nsearch"])
        axis.set(title=f"{task_title(task)}, trained with k={k}", ylim=(0, 1.12))
    axes[0].set_ylabel(f"best reward / oracle\nafter {rows['measured'].max()} heads measured")
    legend_above(figure, *axes[-1].get_legend_handles_labels(), across=2)
    return figure


@described
def convention_scatter(conventions: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Damage of each head under one convention against the other, on equal axes with the line of equality; the three of most damage and the
    three that differ most are named, where that is to be seen.

    names: of all heads.
    """
    tasks = conventions.groupby("task", sort=False)
    figure, axes = _panels(len(tasks), 2.9)
    for axis, (task, rows) in zip(axes, tasks, strict=True):
        axis.axline((0, 0), slope=1, color="black", lw=0.8, ls=":")
        axis.scatter(rows["folded"], rows["raw"], s=12, color=HERE, alpha=0.7)
        both = rows[["folded", "raw"]].to_numpy()
        low, high = both.min(), both.max()
        ends = low - 0.06 * (high - low), high + 0.06 * (high - low)
        axis.set(xlim=ends, ylim=ends, aspect="equal")
        differs = (rows["folded"] - rows["raw"]).abs().nlargest(3)
        notable = rows.nlargest(3, "folded").index.union(differs[differs > VISIBLE * (high - low)].index)
        points = rows.assign(name=[names[head] for head in rows["head"]], score=rows["folded"], reward=rows["raw"])
        _name_points(axis, points.loc[notable])
        axis.set(title=task_title(str(task)), xlabel="damage, folded (logits)")
    axes[0].set_ylabel("damage, raw (logits)")
    return figure


@described
def detector_scatter(scores: pd.DataFrame) -> Figure:
    """For each detector, reward of each head on the detector's task against its score, of which nothing is 0 and all is 1, the three highest of
    either named.

    scores: columns detector, task, name (of the head), score, reward.
    """
    panels = list(scores.groupby("detector", sort=False))
    figure, axes = _panels(len(panels), 2.3, across=2)
    for axis, (detector, rows) in zip(axes, panels, strict=True):
        axis.scatter(rows["score"], rows["reward"], s=12, alpha=0.7, color=HERE)
        axis.set(
            title=f"{detector} on {task_title(rows['task'].iloc[0])}", ylabel="mean reward (logits)", xlim=(-0.03, 1.2)
        )
        axis.set_xticks(np.arange(6) / 5)
        strongest = rows[rows["score"] > 0].nlargest(3, "score")
        notable = strongest.index.union(rows.nlargest(3, "reward").index)
        _name_points(axis, rows.loc[notable])
    for axis in axes[-2:]:
        axis.set_xlabel("score (attention, or share copied)")
    return figure


def _name_points(axis: Axes, rows: pd.DataFrame) -> None:
    """Head names beside their points, on the side that has room, those of points near each other in a column beside all of them, moved apart, with a line from
    each to its point."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    rows = rows.sort_values("score")
    x = ((rows["score"] - left) / (right - left)).to_numpy()
    y = ((rows["reward"] - low) / (high - low)).to_numpy()
    gap = HEIGHT / (72 * axis.bbox.height / axis.figure.dpi)
    for near in np.split(np.arange(len(x)), np.flatnonzero(np.diff(x) > NEAR) + 1):
        side, beside = ("left", x[near].max() + 0.03) if x[near].max() < 0.87 else ("right", x[near].min() - 0.03)
        for i, height in zip(near, apart(y[near], gap, 0, 1), strict=True):
            axis.annotate(
                rows["name"].iloc[i],
                (x[i], y[i]),
                (beside, height),
                xycoords="axes fraction",
                textcoords="axes fraction",
                fontsize=SIZE,
                ha=side,
                va="center",
                arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 0, "shrinkB": 2},
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )


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


BESIDE = 1.05
"""On a logarithmic axis, from one interval to the next, so that none covers another."""


WIDEST = 5.0
"""An interval of a share of a task's score that is wider says nothing of it: the score itself is hardly told from nothing."""


@described
def circuit_curves(shares: pd.DataFrame) -> Figure:
    """What circuits keep of a task's score, and what the model is short of without them, against their number of heads; a column
    a task, a row for each of both and of what takes a head's place, with 95% intervals, beside each other; without one where it is not known, and without shares whose
    intervals are so wide that they say nothing.

    shares: of :func:`circuitlib.studies.faithfulness.shares`.
    """
    tasks, kinds = list(shares["task"].unique()), list(shares["ablation"].unique())
    shares = shares[~(shares["high"] - shares["low"] > WIDEST)]
    rows = list(product(("kept", "lost"), kinds))
    size = (PAGE, 2.3 * len(rows) + 0.4)
    figure, axes = plt.subplots(len(rows), len(tasks), figsize=size, sharex=True, sharey=True, squeeze=False)
    for (row, (what, kind)), (column, task) in product(enumerate(rows), enumerate(tasks)):
        axis = axes[row][column]
        some = shares.query("task == @task and what == @what and ablation == @kind")
        lines = list(some.groupby("ranking", sort=False))
        for i, (ranking, line) in enumerate(lines):
            title, colour, marker = RANKINGS.get(str(ranking), (str(ranking), "#882255", "d"))
            beside = line["heads"] * BESIDE ** (i - (len(lines) - 1) / 2)
            looks: dict[str, Any] = {"color": colour, "marker": marker, "ms": 4, "lw": 1.2, "elinewidth": 1}
            axis.errorbar(beside, line["share"], yerr=errors(line, "share"), label=title, **looks)
        if not lines:
            axis.text(0.5, 0.5, "not to be told", ha="center", color="0.45", style="italic", transform=axis.transAxes)
        for level in (0, 1):
            axis.axhline(level, color="black", lw=0.7, ls=":")
        # Every point is within the axes; intervals may leave them.
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
    drawn = [axis.get_legend_handles_labels() for axis in axes.flat]
    handles = {label: handle for handles, labels in drawn for handle, label in zip(handles, labels, strict=True)}
    legend_above(figure, [*handles.values()], [*handles], across=len(handles))
    return figure


@described
def claims_chart(claims: pd.DataFrame) -> Figure:
    """The ledger's intervals by verdict. Above, fractions of the oracle or shares of episodes, each with the paper's below it and the margin that was
    stated beforehand; then what seeing its rewards gains the policy, with the point within which it gains nothing; below, how much more one searcher finds
    than another."""
    paired, seeing = claims["unit"].str.endswith("paired"), claims["claim"].str.contains("what seeing gains")
    panels = [claims[claims["paper"].notna()], claims[paired & seeing], claims[paired & ~seeing]]
    sizes = [max(len(rows), 1) for rows in panels]
    figure, axes = plt.subplots(
        3, 1, figsize=(PAGE, 0.3 * sum(sizes) + 2.9), height_ratios=[size + 0.4 for size in sizes]
    )
    for axis, rows, count, scale in zip(axes, panels, sizes, (1, 100, 100), strict=True):
        heights = pd.Series(np.arange(len(rows))[::-1], index=rows.index)
        for words, (colour, marker, fill_style) in VERDICTS.items():
            some = rows[rows["verdict"].isin(words)]
            if not claims["verdict"].isin(words).any():
                continue
            look: dict[str, Any] = {"color": colour, "fmt": marker, "fillstyle": fill_style, "label": ", ".join(words)}
            ends = scale * errors(some, "ours")
            axis.errorbar(scale * some["ours"], heights[some.index], xerr=ends, capsize=3, ms=5, **look)
        axis.set_yticks(heights, [fill(claim, 46) for claim in rows["claim"]], fontsize=8)
        axis.set_ylim(-0.6, count - 0.4)
    (beside, gained, ahead), (given, *_), y = axes, panels, np.arange(len(panels[0]))[::-1]
    band = f"{100 * MARGIN:.0f} points about the paper's, or {100 * POINT:.0f} about no gain"
    beside.barh(y, 2 * MARGIN, 0.8, given["paper"] - MARGIN, color="0.88", label=band, zorder=0)
    ends = np.stack([given["paper"] - given["paper_low"], given["paper_high"] - given["paper"]]).clip(min=0)
    beside.errorbar(given["paper"], y - 0.28, xerr=ends, fmt="d", ms=3.5, lw=1, color=PAPER, label=THEIRS)
    beside.set_xlabel(f"fraction of the oracle, or share of episodes, {_here()}", fontsize="small")
    gained.axvspan(-100 * POINT, 100 * POINT, color="0.88", lw=0, zorder=0)
    for axis, what in ((gained, "gain of seeing"), (ahead, "difference")):
        axis.axvline(0, color=ORACLE, ls=":", lw=1)
        axis.set_xlabel(f"{what} (points of the oracle)", fontsize="small")
    for axis, spans in zip(axes, SPANS, strict=True):
        reach(axis, *spans)
    named = [axis.get_legend_handles_labels() for axis in (beside, gained)]
    shown = {label: handle for handles, labels in named for handle, label in zip(handles, labels, strict=True)}
    legend_above(figure, [*shown.values()], [*shown], across=3)
    return figure


HATCHES = ("", "///", "...", "xxx", "|||", "---")
"""Of bars side by side, apart in grey too."""


@described
def speed_bars(sweeps: pd.DataFrame) -> Figure:
    """Speed of each way to measure all heads, over the hooked one; one row of panels a subject, one panel a
    processor."""
    processors, subjects = sweeps["processor"].unique(), sweeps["subject"].unique()
    named: dict[Any, Any] = {}
    methods = sweeps["method"].unique()
    palette = dict(zip(methods, sns.color_palette("viridis", len(methods)), strict=True))
    hatches = dict(zip(methods, cycle(HATCHES), strict=False))
    figure, axes = _panels(len(processors) * len(subjects), 2.4, across=len(processors), sharey=True)
    for place, (axis, (subject, processor)) in enumerate(zip(axes, product(subjects, processors), strict=True)):
        rows = sweeps.query("processor == @processor and subject == @subject")
        first = place % len(processors) == 0 or not axes[place - 1].get_visible()
        axis.set_visible(len(rows) > 0)
        if len(rows):
            rows = rows.assign(workload=rows["workload"].map(task_title))
            sns.barplot(rows, x="workload", y="speedup", hue="method", palette=palette, ax=axis)
            bars: Any
            handles, labels = axis.get_legend_handles_labels()
            for bars, method in zip(axis.containers, labels, strict=True):
                axis.bar_label(bars, fmt="%.1f", fontsize=8)
                plt.setp(bars.patches, hatch=hatches[method], edgecolor="white")
            for handle, method in zip(handles, labels, strict=True):
                plt.setp(handle, hatch=hatches[method], edgecolor="white")
            axis.axhline(1, color="black", lw=0.8, ls=":")
            axis.set(
                ylim=(0, 1.15 * sweeps["speedup"].max()),
                title=f"{subject_title(subject)}\n{processor_title(processor)}",
                xlabel="",
                ylabel="times as fast as hooks" if first else "",
            )
            axis.tick_params(labelleft=first)
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
