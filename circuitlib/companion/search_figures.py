"""Figures and tables of "does it search?": what seeing its rewards gains a policy, and where it begins."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from scipy.special import entr

from circuitlib.companion.figures import errors, found_by_heads, heat_map, legend_above, reach
from circuitlib.companion.frames import evaluation_episodes, heads
from circuitlib.companion.legend import AFTER, HIDDEN, kind_of, task_title
from circuitlib.companion.line_ends import name_ends
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import PAGE, described, with_intervals
from circuitlib.companion.verdicts import POINT, beats, gains
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.studies.evaluate import MEASURED
from circuitlib.studies.reading import Shown, play

LINES = (
    ("policy", "seeing"),
    ("policy", "blind"),
    ("policy", "flipped"),
    ("induction's ten and IOI's, in turns", NOTHING),
    ("IOI's ten and induction's, in turns", NOTHING),
    ("list", NOTHING),
    ("layers in order", NOTHING),
    ("random", NOTHING),
)
"""The searchers that :func:`replay_curves` draws, each with what it is shown."""

COUNTS = (10, 20, 50)
"""Heads measured after which effects are shown."""

VARIANTS = {"policy k=1", "policy k=1, greedy", "policy k=5, greedy"}
"""Policies other than the headline's, which draws its picks."""

SHARED_SHOWN: tuple[Shown, ...] = ("seeing", "blind")
SHARED_PICKS = (10, BUDGET)
"""What policies are shown, and the heads measured after which it is told which was the best of them."""

BESIDE: tuple[Shown, ...] = ("blind", "flipped")
"""What stands in the place of rewards in :func:`effects`."""

GAINS, REPLAYED_GAINS = (-4.5, 6), (-8, 8)
"""What effects reach on both subjects, and in the replay, in points."""


def drawn_lines(replay: pd.DataFrame, trained_k: int = HEADLINE_K) -> pd.DataFrame:
    """What :func:`replay_curves` draws: columns task, searcher, shown, measured, ratio, low, high, in the order of :data:`LINES`."""
    told_nothing = replay.query("told == @NOTHING and trained_k in (0, @trained_k)")
    by = told_nothing.groupby(["searcher", "shown"])
    rows = pd.concat([by.get_group(line) for line in LINES if line in by.groups])
    return rows[["task", "searcher", "shown", "measured", "ratio", "low", "high"]]


@described
def replay_curves(replay: pd.DataFrame, trained_k: int = HEADLINE_K) -> Figure:
    """Best reward as a fraction of the oracle after each head measured, told nothing, one panel a task: of a policy that sees its rewards, of the
    same one blind (zeros in their place) and lied to (their signs turned), and of what needs no policy: lists of the heads that are best on the training
    tasks, layers in order, and random search; with bands of 95% intervals, but for the blind and lied to, whose differences are in a chart of their own."""
    tasks, drawn = replay["task"].unique(), drawn_lines(replay, trained_k)
    figure, axes = plt.subplots(1, len(tasks), figsize=(PAGE, 3.2), sharey=True, squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        lines = []
        for (searcher, shown), rows in drawn[drawn["task"] == task].groupby(["searcher", "shown"], sort=False):
            kind = kind_of(str(searcher), shown=str(shown))
            lines.append((rows, kind.short, kind.colour, kind.line, 0.15 * (shown not in HIDDEN)))
        found_by_heads(axis, lines)
        axis.set(title=f"{task_title(task)}\n(told nothing)", ylim=(min(0, replay["low"].min() - 0.02), 1.05))
    axes[0][0].set_ylabel("best reward / oracle")
    name_ends(figure)
    return figure


def drawn_effects(rows: pd.DataFrame) -> pd.DataFrame:
    """What :func:`effects` draws: columns task, told, shown, measured, and effect, effect_low and effect_high as fractions of the oracle."""
    chosen = rows.query(
        "searcher == 'policy' and trained_k == @HEADLINE_K and measured in @COUNTS and shown in @BESIDE"
    )
    return chosen[["task", "told", "shown", "measured", "effect", "effect_low", "effect_high"]]


@described
def effects(rows: pd.DataFrame, span: tuple[float, float] = GAINS) -> Figure:
    """What seeing its rewards gains the headline's policy over zeros in their place, left, and over turned signs, right, in points of the oracle, paired, with 95%
    intervals, after 10, 20 and 50 heads measured. Grey: within a point of nothing.

    rows: columns task, told, trained_k, shown, measured, effect, effect_low, effect_high. span: what its axes reach at least.
    """
    rows = drawn_effects(rows)
    labels = [
        f"{task_title(task)}, told {'nothing' if told == 'none' else task_title(told)}"
        for task, told in zip(rows["task"], rows["told"], strict=True)
    ]
    rows = rows.assign(label=labels)
    places = {label: -i for i, label in enumerate(dict.fromkeys(labels))}
    size = (PAGE, 0.42 * len(places) + 1.6)
    figure, axes = plt.subplots(1, len(BESIDE), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, shown in zip(axes[0], BESIDE, strict=True):
        axis.axvspan(-100 * POINT, 100 * POINT, color="0.9", lw=0)
        axis.axvline(0, color="black", lw=0.8, ls=":")
        for i, count in enumerate(COUNTS):
            colour, marker, filling = AFTER[count]
            some = rows[(rows["shown"] == shown) & (rows["measured"] == count)]
            x = 100 * some[["effect", "effect_low", "effect_high"]].to_numpy()
            y = some["label"].map(places) + 0.22 * (1 - i)
            axis.errorbar(
                x[:, 0],
                y,
                xerr=np.abs(x[:, 1:].T - x[:, 0]),
                fmt=marker,
                ms=4,
                lw=1.2,
                capsize=2,
                color=colour,
                mfc=filling,
                label=str(count),
            )
        axis.set(title=f"over {HIDDEN[shown]}", xlabel="gain of seeing\n(points of the oracle; grey: within one)")
    reach(axes[0][0], *span)
    axes[0][0].set_yticks(list(places.values()), list(places))
    handles, labels = axes[0][-1].get_legend_handles_labels()
    legend_above(figure, handles, [f"after {label} heads measured" for label in labels], across=len(labels))
    return figure


def played_table(rows: pd.DataFrame, task: str, what: str = "ratio", everyone: bool = False) -> pd.DataFrame:
    """Of a task, told nothing, in percent: a row per searcher and what it is shown, a column per number of heads measured. what: ``ratio``, what is found of the oracle, or
    ``best_head``, in how many plays the episode's best head has been measured. everyone: :data:`VARIANTS`, too."""
    some = rows[(rows["task"] == task) & (rows["told"] == NOTHING) & rows["measured"].isin(MEASURED)]
    names = [
        searcher.replace("policy", f"policy k={k}", 1)
        for searcher, k in zip(some["searcher"], some["trained_k"], strict=True)
    ]
    cells = some.assign(searcher=names, cell=100 * some[what])
    shown = cells if everyone else cells[~cells["searcher"].isin(VARIANTS)]
    return shown.pivot_table("cell", ["searcher", "shown"], "measured", sort=False)


def shared_heads(run: Run, task: str, count: int = 5, plays: int = 5) -> pd.DataFrame:
    """A row per head of the few that pay most on a task: what it pays, in percent of the best head, and its rank on each training task. Beside them, and for all other heads together, in percent
    of the episodes: where it is the best head, and where it is the best that the headline's policy has measured, told nothing, after ten heads and after fifty, seeing and blind (of the seeds that are
    kept, with the same random numbers, so many ``plays`` an episode)."""
    of_all = heads(run)
    best = of_all[of_all["task"] == task].set_index("head")["reward"].nlargest(count)
    ranks = of_all.pivot(index="head", columns="task", values="rank").reindex(best.index)[[*run.training_tasks]]
    ranks.columns = [f"rank on {task_title(str(name))}" for name in ranks]
    ranks.insert(0, "pays, % of the best", 100 * best / best.max())
    rewards, told = evaluation_episodes(run, task).mean(1), torch.from_numpy(signal_of(run.training_tasks))
    found = {"is the best": rewards.argmax(1)}
    for shown in SHARED_SHOWN:
        policies = run.kept_policies()[HEADLINE_K].items()
        measured = torch.cat([play(network, told, rewards, seed, shown, plays).head for seed, network in policies])
        paid = rewards.expand(len(measured), -1, -1).gather(2, measured)
        for picks in SHARED_PICKS:
            at = paid[..., :picks].argmax(2, keepdim=True)
            found[f"found in {picks}, {shown}"] = measured.gather(2, at)
    shares = pd.DataFrame(
        {name: [100 * (some == head).double().mean().item() for head in best.index] for name, some in found.items()}
    )
    shares.loc[count] = 100 - shares.sum()
    table = pd.concat([ranks.reset_index(drop=True), shares], axis=1)
    return table.set_axis(pd.Index([*map(run.card.head_name, best.index), "any other"], name="head"))


def gain_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What seeing its rewards gains the headline's policy over zeros, as in :func:`effects`, in points of the oracle with the interval and its word, a column for each number of heads
    measured."""
    chosen = _gains(rows[_is_main(rows) & rows["measured"].isin(COUNTS)])
    return chosen.pivot_table("cell", ["task", "told"], "measured", aggfunc="first", sort=False).sort_index(axis=1)


def _is_main(rows: pd.DataFrame) -> pd.Series:
    return (rows["searcher"] == "policy") & (rows["trained_k"] == HEADLINE_K) & (rows["shown"] == "blind")


def other_gains(rows: pd.DataFrame) -> pd.DataFrame:
    """What :func:`gain_table` leaves out: of policies trained otherwise and of greedy ones, and over what else is shown in the place of rewards (over). Rows trained_k, searcher, over, task, told."""
    chosen = _gains(rows[rows["effect"].notna() & rows["measured"].isin(COUNTS) & ~_is_main(rows)])
    chosen = chosen.assign(over=chosen["shown"].map(HIDDEN))
    by = ["trained_k", "searcher", "over", "task", "told"]
    table = chosen.pivot_table("cell", by, "measured", aggfunc="first", sort=False).sort_index(axis=1)
    return table.sort_index(level="trained_k", ascending=False, sort_remaining=False)


def ways_table(rows: pd.DataFrame, measured: int) -> pd.DataFrame:
    """What seeing gains policies by how they were trained (rows) and task, as in :func:`gain_table`, after so many heads; a star where the task
    was trained on."""
    chosen = _gains(rows[(rows["shown"] == "blind") & (rows["measured"] == measured)])
    starred = chosen["cell"] + chosen["trained_on"].map({True: " *", False: ""})
    return chosen.assign(cell=starred).pivot_table("cell", "way", "task", aggfunc="first", sort=False)


def found_by_way(rows: pd.DataFrame, measured: int) -> pd.DataFrame:
    """What policies that see their rewards find after so many heads, in percent of the oracle with its interval: rows how they were trained, columns tasks, as in :func:`ways_table`."""
    seen = rows[(rows["shown"] == "seeing") & (rows["measured"] == measured)]
    cells = with_intervals(100 * seen[["ratio", "low", "high"]], 0)
    return seen.assign(cell=cells).pivot_table("cell", "way", "task", aggfunc="first", sort=False)


def more_by_way(rows: pd.DataFrame, measured: int) -> pd.DataFrame:
    """How many points more policies trained otherwise find than those trained in the paper's way, which see their rewards, after so many heads, with the interval and whether they do: those that
    were trained blind blind, others seeing. Rows and columns as in :func:`ways_table`."""
    chosen = rows[rows["more"].notna() & (rows["measured"] == measured)]
    ends = chosen[["more", "more_low", "more_high"]].itertuples(index=False)
    cells = [f"{_points(*more)} {beats(*more[1:])}" for more in ends]
    return chosen.assign(cell=cells).pivot_table("cell", "way", "task", aggfunc="first", sort=False)


def readable_table(rows: pd.DataFrame, seeing: pd.DataFrame) -> pd.DataFrame:
    """What seeing gains the reader of :func:`circuitlib.companion.frames.readable`, and the headline's policy, told nothing, on the same tasks after as many heads measured, as in
    :func:`gain_table`: rows tasks and who sees, columns numbers of heads.

    seeing: :func:`circuitlib.companion.seeing.seeing`.
    """
    reader = rows.assign(ratio=rows["blind"], searcher="a reader of the training tasks")
    policy = seeing[_is_main(seeing) & (seeing["told"] == NOTHING)].merge(rows[["task", "measured"]])
    both = _gains(pd.concat([reader, policy.assign(searcher=f"policy k={HEADLINE_K}")]))
    table = both.pivot_table("cell", ["task", "searcher"], "measured", aggfunc="first", sort=False)
    return table.sort_index(axis=1).loc[rows["task"].unique()]


def _gains(chosen: pd.DataFrame) -> pd.DataFrame:
    """With a ``cell``: the gain in points of the oracle, its interval, its word."""
    ends = chosen[["effect", "effect_low", "effect_high", "ratio"]].to_numpy()
    return chosen.assign(cell=[f"{_points(x, a, b)} {gains(a, b, blind)}" for x, a, b, blind in ends])


def _points(*gain: float) -> str:
    """A gain and its interval, in points; ``equal,`` where all of it rounds to nothing."""
    value, low, high = (f"{100 * x:z.1f}" for x in gain)
    return "equal," if {value, low, high} == {"0.0"} else f"{value} ({low} to {high})"


def first_probabilities(run: Run, trained_k: int = HEADLINE_K) -> dict[str, Float[np.ndarray, " heads"]]:
    """How probable each head is as the first pick of a policy that is told nothing, of each seed that is kept, by its title."""
    nothing = torch.zeros(1, len(run.training_tasks) + 2 * run.card.heads)
    policies = run.kept_policies()[trained_k]
    return {f"seed {seed}": network(nothing)[0].exp().detach().numpy()[0] for seed, network in policies.items()}


def spread(probabilities: Float[np.ndarray, "seeds heads"]) -> float:
    """Over how many equally probable heads first picks would be as spread: the exponential of the entropy, mean over seeds."""
    return float(np.exp(entr(probabilities).sum(1)).mean())


def drawn_picks(
    probabilities: Float[np.ndarray, "seeds heads"], names: Sequence[str], titles: Sequence[str]
) -> pd.DataFrame:
    """What :func:`first_picks` draws: a row per head, by its name, and a column per seed."""
    return pd.DataFrame(probabilities.T, pd.Index(names, name="head"), [*titles]).reset_index()


@described
def first_picks(probabilities: Float[np.ndarray, "seeds heads"], heads_per_layer: int, titles: Sequence[str]) -> Figure:
    """How probable each head is as the first pick, one map a seed, on one scale."""
    seeds, heads = probabilities.shape
    layers = heads // heads_per_layer
    height = 1.1 + (0.15 if layers > heads_per_layer else 0.11) * layers
    figure, axes = plt.subplots(1, seeds, figsize=(PAGE, height), sharey=True, squeeze=False)
    # By the square root, so that small probabilities are seen beside a large one.
    norm = PowerNorm(0.5, 0, probabilities.max())
    for axis, values, title in zip(axes[0], probabilities, titles, strict=True):
        heat_map(axis, values.reshape(layers, heads_per_layer), cmap="Blues", norm=norm)
        axis.set(title=title, xlabel="head")
        axis.tick_params(axis="y", rotation=0, left=axis is axes[0][0])
    axes[0][0].set_ylabel("layer")
    figure.colorbar(
        axes[0][-1].collections[0], ax=axes[0].tolist(), label="probability (square-root scale)", shrink=0.8
    )
    return figure


@described
def planted_curves(planted: pd.DataFrame, learned: float, blinded: float) -> Figure:
    """The positive control after 50 heads: found by what the policy is shown, against the reward's scale, and against noise
    between episodes. Dashed: what a policy that has learned to read finds at least, seeing, and at most, blind."""
    last = planted[planted["measured"] == planted["measured"].max()]
    middle = last.loc[last["noise"] > 0, "scale"].iloc[0]
    panels = [
        ("scale", last[last["noise"] == 0], "reward of the best head (logits)"),
        (
            "noise",
            last[last["scale"] == middle],
            f"noise between episodes, as a share\nof the best head (at {middle:g} logits)",
        ),
    ]
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 3.4), sharey=True)
    for axis, (column, rows, across) in zip(axes, panels, strict=True):
        for shown, marker in {"seeing": "o", "blind": "s", "flipped": "v"}.items():
            kind = kind_of("policy", shown=shown)
            line = rows[rows["shown"] == shown].sort_values(column)
            look = {"color": kind.colour, "ls": kind.line, "marker": marker, "label": kind.short}
            axis.errorbar(line[column], line["ratio"], yerr=errors(line, "ratio"), ms=4, capsize=2, **look)
        for bar in (learned, blinded):
            axis.axhline(bar, color="black", lw=0.8, ls="--")
            axis.annotate(
                f"{bar:.2f}", (1, bar), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="small"
            )
        axis.set(xlabel=across, ylim=(0, 1.05))
    axes[0].set(xscale="log", ylabel="found / oracle, 50 heads")
    scales = sorted(panels[0][1]["scale"].unique())
    axes[0].set_xticks(scales, [f"{scale:g}" for scale in scales])
    axes[0].minorticks_off()
    axes[1].legend(fontsize="small")
    return figure
