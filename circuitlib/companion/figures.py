"""The figures, one function each: data in, a matplotlib figure out. One style, safe for colour-blind readers."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

COLOURS = {
    "policy, k=5": "#0072B2",
    "policy, k=1": "#56B4E9",
    "static prior": "#D55E00",
    "random": "#7F7F7F",
    "oracle": "#000000",
    "paper": "#CC79A7",
}


MARKERS = {"policy, k=5": "o", "policy, k=1": "s", "static prior": "D", "random": "^"}


TITLES = {
    "induction": "induction (trained on)",
    "ioi": "IOI (trained on)",
    "docstring": "docstring (never trained on)",
    "greater_than": "greater-than",
    "pronoun": "pronoun",
    "agreement": "agreement",
}


def searcher_labels(frame: pd.DataFrame, trained_is_planned: bool = True) -> pd.DataFrame:
    """Rows of a summary with a ``label`` column: policies are named by their k, and, by default, only
    those evaluated with the k they were trained with are kept."""
    kept = frame[frame["trained_k"] == frame["planned_k"]] if trained_is_planned else frame
    label = np.where(
        kept["searcher"] == "policy", "policy, k=" + kept["trained_k"].astype(str), kept["searcher"]
    )
    return kept.assign(label=label)


def search_curves(summary: pd.DataFrame, tasks: Sequence[str], signals: Sequence[str]) -> Figure:
    """Best reward, as a fraction of the paired oracle, against heads measured; one panel a task."""
    rows = searcher_labels(summary)
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(3.6 * len(tasks), 3.5), sharey=True, squeeze=False
    )
    for axis, task, signal in zip(axes[0], tasks, signals, strict=True):
        for label, marker in MARKERS.items():
            told = "none" if label == "random" else signal
            line = rows[
                (rows["task"] == task) & (rows["signal"] == told) & (rows["label"] == label)
            ]
            line = line[line["measured"] <= 50].sort_values("measured")
            axis.plot(
                line["measured"],
                line["ratio"],
                marker=marker,
                color=COLOURS[label],
                label=label,
                ms=5,
            )
            axis.fill_between(
                line["measured"], line["low"], line["high"], color=COLOURS[label], alpha=0.15, lw=0
            )
        axis.axhline(1, color="black", lw=1, ls=":")
        axis.set(xscale="log", xlabel="heads measured", title=TITLES[task], ylim=(None, 1.05))
        axis.set_xticks([1, 5, 10, 20, 50], ["1", "5", "10", "20", "50"])
        axis.minorticks_off()
    axes[0][0].set_ylabel("best reward / oracle")
    axes[0][-1].legend(loc="lower right")
    return figure


def head_maps(heads: pd.DataFrame, tasks: Sequence[str], heads_per_layer: int) -> Figure:
    """Mean reward of every head, layers down and heads across, one map a task."""
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.1 * len(tasks), 3.7), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        grid = (
            heads[heads["task"] == task]
            .sort_values("head")["reward"]
            .to_numpy()
            .reshape(-1, heads_per_layer)
        )
        limit = float(np.abs(grid).max())
        sns.heatmap(
            grid,
            ax=axis,
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            square=True,
            cbar_kws={"label": "mean reward", "shrink": 0.8},
        )
        axis.set(title=task, xlabel="head", ylabel="layer")
        axis.set_yticks(axis.get_yticks(), axis.get_yticklabels(), rotation=0)
    return figure


def sorted_rewards(rewards: dict[str, np.ndarray], top: int = 20) -> Figure:
    """Rewards ``[episodes, heads]`` of the ``top`` heads, in order of their mean: one dot an episode."""
    figure, axes = plt.subplots(1, len(rewards), figsize=(3.8 * len(rewards), 3.2), squeeze=False)
    for axis, (task, values) in zip(axes[0], rewards.items(), strict=True):
        order = np.argsort(-values.mean(0), kind="stable")[:top]
        x = np.repeat(np.arange(1, top + 1)[None], len(values), 0)
        axis.scatter(
            x, values[:, order], s=6, alpha=0.35, color=COLOURS["policy, k=5"], label="one episode"
        )
        axis.plot(
            np.arange(1, top + 1), values[:, order].mean(0), color="black", lw=1.2, label="mean"
        )
        axis.set(title=task, xlabel="head, by mean reward", xlim=(0, top + 1))
    axes[0][0].set_ylabel("reward")
    axes[0][-1].legend()
    return figure


def pretraining_curves(log: pd.DataFrame) -> Figure:
    """The embedded subject in training: tasks answered right, and prose loss against the bigram model."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3))
    styles = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))]
    names = [column.removesuffix("_right") for column in map(str, log) if column.endswith("_right")]
    for name, style, colour in zip(names, styles, sns.color_palette("colorblind"), strict=False):
        left.plot(log["step"], 100 * log[f"{name}_right"], label=name, ls=style, color=colour)
    left.set(xlabel="training step", ylabel="prompts answered right (%)", ylim=(0, 102))
    left.legend(fontsize="small", loc="lower right")
    right.plot(log["step"], log["prose_loss"], label="gpt2-mini", color=COLOURS["policy, k=5"])
    right.axhline(
        log["bigram_loss"].iloc[-1], color="black", ls="--", lw=1, label="interpolated bigram"
    )
    right.set(xlabel="training step", ylabel="loss on held-out prose (nats)", ylim=(2.5, 7))
    right.legend()
    return figure


def training_curves(history: pd.DataFrame, oracle: dict[str, float], window: int = 10) -> Figure:
    """Best reward of the training episodes against PPO updates, one line a seed."""
    tasks = list(oracle)
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.6 * len(tasks), 3.3), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for k in sorted(history["trained_k"].unique()):
            for i, (_, line) in enumerate(
                history[(history["task"] == task) & (history["trained_k"] == k)].groupby("seed")
            ):
                smooth = line["best"].rolling(window, min_periods=1).mean()
                label = f"policy, k={k}"
                axis.plot(
                    line["update"],
                    smooth,
                    color=COLOURS[label],
                    lw=1,
                    alpha=0.9,
                    label=label if i == 0 else None,
                )
        axis.axhline(oracle[task], color="black", ls=":", lw=1, label="oracle, mean")
        axis.set(title=task, xlabel="PPO update (400 picks each)", xscale="log")
    axes[0][0].set_ylabel(f"best reward of an episode\n(mean of {window} updates)")
    axes[0][-1].legend(loc="lower right")
    return figure


def signal_bars(
    summary: pd.DataFrame, paper: dict[tuple[int, str], float], picks: int = 50
) -> Figure:
    """The held-out task under the three task signals after ``picks`` picks without planning, beside the
    paper's; all as fractions of their oracle."""
    rows = summary[
        (summary["task"] == "docstring")
        & (summary["planned_k"] == 1)
        & (summary["measured"] == picks)
    ]
    random = summary[
        (summary["task"] == "docstring")
        & (summary["searcher"] == "random")
        & (summary["measured"] == picks)
    ]
    names = {"none": "told nothing", "induction": "told induction", "ioi": "told IOI"}
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.3), sharey=True)
    for axis, k in zip(axes, (1, 5), strict=True):
        ours = rows[rows["trained_k"] == k].set_index("signal").loc[list(names)]
        x = np.arange(len(names))
        errors = np.stack([ours["ratio"] - ours["low"], ours["high"] - ours["ratio"]])
        axis.bar(
            x - 0.2,
            ours["ratio"],
            0.38,
            yerr=errors,
            color=COLOURS["policy, k=5"],
            label="here (gpt2-mini)",
            capsize=3,
        )
        axis.bar(
            x + 0.2,
            [paper[k, s] for s in names],
            0.38,
            color=COLOURS["paper"],
            label="paper (GPT-2 small)",
            hatch="//",
            edgecolor="white",
        )
        axis.axhline(
            float(random["ratio"].iloc[0]),
            color=COLOURS["random"],
            ls="--",
            lw=1.2,
            label="random, here",
        )
        axis.set_xticks(x, list(names.values()))
        axis.set(title=f"trained with k={k}", ylim=(0, 1.12))
    axes[0].set_ylabel(f"best reward / oracle\nafter {picks} heads measured")
    axes[1].legend(loc="upper right", fontsize="small", ncols=1, bbox_to_anchor=(1.55, 1.0))
    return figure


def convention_scatter(conventions: pd.DataFrame) -> Figure:
    """Damage of each head under one convention against the other."""
    tasks = list(dict.fromkeys(conventions["task"]))
    figure, axes = plt.subplots(1, len(tasks), figsize=(3.5 * len(tasks), 3.3), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        rows = conventions[conventions["task"] == task]
        limits = [rows[["folded", "raw"]].min().min(), rows[["folded", "raw"]].max().max()]
        axis.plot(limits, limits, color="black", lw=0.8, ls=":")
        axis.scatter(rows["folded"], rows["raw"], s=12, color=COLOURS["policy, k=5"], alpha=0.7)
        axis.set(title=task, xlabel="damage, folded (logits)")
    axes[0][0].set_ylabel("damage, raw (logits)")
    return figure


def detector_scatter(
    detections: pd.DataFrame,
    heads: pd.DataFrame,
    panels: Sequence[tuple[str, str]],
    names: Sequence[str],
) -> Figure:
    """For each (detector, task): reward of a head against its attention score, the extremes named."""
    columns = 3
    rows_of_panels = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows_of_panels, columns, figsize=(11, 3.2 * rows_of_panels), squeeze=False
    )
    for axis, (detector, task) in zip(axes.flat, panels, strict=False):
        merged = detections[detections["detector"] == detector].merge(
            heads[heads["task"] == task], on="head"
        )
        axis.scatter(
            merged["score"], merged["reward"], s=12, alpha=0.7, color=COLOURS["policy, k=5"]
        )
        notable = merged.nlargest(3, "score").index.union(merged.nlargest(3, "reward").index)
        (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
        named: list[tuple[float, float]] = []  # where, in parts of the axes, highest first
        for _, row in merged.loc[notable].sort_values("reward", ascending=False).iterrows():
            x = (row["score"] - left) / (right - left) + 0.01
            y = (row["reward"] - low) / (high - low) + 0.01
            for other_x, other_y in named:
                if abs(x - other_x) < 0.2:
                    y = min(y, other_y - 0.06)
            named.append((x, y))
            axis.text(x, y, names[int(row["head"])], fontsize=7, transform=axis.transAxes)
        axis.set(title=f"{detector} on {task}", xlabel="attention score", ylabel="mean reward")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return figure


def pair_maps(pairs: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Interaction of each pair of leading heads: red where losing both hurts more than the two alone."""
    tasks = list(dict.fromkeys(pairs["task"]))
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.6 * len(tasks), 4.1), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        rows = pairs[pairs["task"] == task]
        order = list(dict.fromkeys([*rows["first"], *rows["second"]]))
        grid = np.full((len(order), len(order)), np.nan)
        for row in rows.itertuples():
            i, j = order.index(row.first), order.index(row.second)
            grid[i, j] = grid[j, i] = row.interaction
        limit = float(np.nanmax(np.abs(grid)))
        labels = [names[head] for head in order]
        sns.heatmap(
            grid,
            ax=axis,
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            square=True,
            xticklabels=labels,
            yticklabels=labels,
            cbar_kws={"label": "interaction (logits)", "shrink": 0.75},
        )
        axis.set(title=task)
        axis.tick_params(labelsize=7)
    return figure


def claims_chart(claims: pd.DataFrame) -> Figure:
    """Claims that are fractions of an oracle: the paper's number and ours, with its interval."""
    rows = claims[claims["unit"] == "fraction of oracle"].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(8.6, 0.42 * len(rows) + 1.2))
    y = np.arange(len(rows))[::-1]
    errors = np.stack([rows["ours"] - rows["low"], rows["high"] - rows["ours"]]).clip(min=0)
    axis.errorbar(
        rows["ours"],
        y,
        xerr=errors,
        fmt="o",
        color=COLOURS["policy, k=5"],
        capsize=3,
        label="here (gpt2-mini)",
    )
    axis.scatter(
        rows["paper"], y, marker="D", color=COLOURS["paper"], label="paper (GPT-2 small)", zorder=3
    )
    axis.axvline(1, color="black", ls=":", lw=1)
    axis.set_yticks(y, rows["claim"])
    axis.set(xlabel="fraction of the oracle", ylim=(-0.6, len(rows) - 0.4))
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return figure


def speed_bars(sweeps: pd.DataFrame) -> Figure:
    """Speed of each way to measure all heads, over the hooked one; one panel a subject."""
    subjects = list(dict.fromkeys(sweeps["subject"]))
    colours = {
        "sweep": COLOURS["policy, k=5"],
        "sweep, bfloat16": COLOURS["policy, k=1"],
        "hooks": COLOURS["random"],
        "transformers": COLOURS["static prior"],
    }
    figure, axes = plt.subplots(1, len(subjects), figsize=(5.2 * len(subjects), 3.3), squeeze=False)
    for axis, subject in zip(axes[0], subjects, strict=True):
        rows = sweeps[sweeps["subject"] == subject]
        sns.barplot(
            rows, x="workload", y="speedup", hue="method", palette=colours, ax=axis, legend=axis is axes[0][-1]
        )  # fmt: skip
        for bars in axis.containers:
            axis.bar_label(bars, fmt="%.1f", fontsize=7)
        axis.axhline(1, color="black", lw=0.8, ls=":")
        axis.set(title=subject, xlabel="", ylabel="times as fast as hooks")
    axes[0][-1].legend(title=None, fontsize="small")
    return figure


def growth_curves(growth: pd.DataFrame) -> Figure:
    """Seconds and memory of one sweep as one size grows, doubly logarithmic, with a line of slope 1."""
    sizes = list(dict.fromkeys(growth["grows"]))
    figure, axes = plt.subplots(2, len(sizes), figsize=(2.9 * len(sizes), 5.0), sharey="row")
    for (time_axis, memory_axis), size in zip(axes.T, sizes, strict=True):
        rows = growth[growth["grows"] == size].sort_values("size")
        x, seconds = rows["size"].to_numpy(float), rows["seconds"].to_numpy(float)
        time_axis.plot(
            x, seconds[0] * x / x[0], color="black", lw=0.8, ls=":", label="in proportion"
        )
        time_axis.plot(x, seconds, marker="o", color=COLOURS["policy, k=5"], label="measured")
        memory_axis.plot(
            x, rows["resident"], marker="o", color=COLOURS["policy, k=5"], label="at most"
        )
        memory_axis.plot(
            x, rows["loaded"], marker="s", color=COLOURS["random"], label="model loaded"
        )
        for axis in (time_axis, memory_axis):
            axis.set_xscale("log", base=2)
            axis.set_xticks(x, [f"{value:.0f}" for value in x])
        time_axis.set_yscale("log")
        time_axis.set_title(f"growing {size}")
        memory_axis.set_xlabel(size)
    axes[1][0].set_ylim(0, 1.1 * growth["resident"].max())
    axes[0][0].set_ylabel("seconds, all heads")
    axes[1][0].set_ylabel("resident memory (GiB)")
    axes[0][-1].legend(fontsize="small")
    axes[1][-1].legend(fontsize="small")
    return figure
