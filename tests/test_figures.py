"""What a figure draws is what its table says, for subjects of any shape and tasks of any number."""

import re
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

mpl.use("Agg")

from circuitlib import plot_head_damage
from circuitlib.companion import figures, show
from circuitlib.companion.legend import AFTER, task_title
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED, Settings
from circuitlib.companion.verdicts import MARGIN, POINT
from circuitlib.manifest import load_frame
from circuitlib.paths import FIGURES
from circuitlib.studies.intervals import Interval

SHAPES = pytest.mark.parametrize(("layers", "across"), [(7, 5), (30, 9)])
TASKS = ["induction", "ioi", "docstring"]
TOLD = {"induction": "induction", "ioi": "ioi", "docstring": "none"}


@pytest.fixture(autouse=True)
def _small_subject() -> Iterator[None]:
    show.set_style("/somewhere/my-subject")
    yield
    plt.close("all")


def curves_of(heads: int, tasks: list[str] = TASKS) -> pd.DataFrame:
    """Curves of random numbers, in no order, with the rows that a run's have, and rows of signals that are not drawn."""
    rng, rows = np.random.default_rng(heads), []
    for task in tasks:
        told = [task] if task != "docstring" else ["none", "induction", "ioi"]
        conditions = [("none", "random", 0, 0)]
        for signal in told:
            conditions.append((signal, "static prior", 0, 0))
            conditions += [(signal, "policy", *k) for k in ((1, 1), (5, 1), (5, 5))]
        for condition in conditions:
            best = np.sort(rng.random((3, min(50, heads))), axis=None).reshape(3, -1)
            for count, (low, ratio, high) in enumerate(best.T, 1):
                rows.append((task, *condition, count, ratio, low, high))
    names = ["task", "signal", "searcher", "trained_k", "planned_k", "measured"]
    return pd.DataFrame(rows, columns=[*names, "ratio", "low", "high"]).sample(frac=1, random_state=0)


def summary_of(heads: int) -> pd.DataFrame:
    """A summary of docstring, of random numbers after all picks."""
    curves = curves_of(heads, ["docstring"])
    return curves[(curves["measured"] == curves["measured"].max()) & (curves["planned_k"] <= 1)].sort_index()


def heads_of(layers: int, across: int, tasks: list[str] = TASKS) -> pd.DataFrame:
    """Random rewards of every head, in no order."""
    rng = np.random.default_rng(layers)
    heads = pd.MultiIndex.from_product([tasks, range(layers * across)], names=["task", "head"])
    frame = heads.to_frame(index=False).assign(reward=rng.normal(size=len(heads)))
    return frame.sample(frac=1, random_state=0)


def lines_of(axis: Axes) -> dict[str, np.ndarray]:
    """Points of each named line."""
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axis.lines}


def grid_of(axis: Axes) -> np.ndarray:
    """The numbers of a heat map; missing ones are NaN."""
    mesh = axis.collections[0].get_array()
    assert mesh is not None
    return np.ma.filled(mesh, np.nan)


def bars_of(axis: Axes) -> dict[str, np.ndarray]:
    """Heights of each named series of bars."""
    series = [some for some in axis.containers if isinstance(some, BarContainer)]
    return {str(some.get_label()): np.array([bar.get_height() for bar in some]) for some in series}


def text_of(figure: Figure) -> str:
    """All words of a figure."""
    figure.canvas.draw()
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


@SHAPES
def test_search_curves(layers: int, across: int) -> None:
    """A step at every head measured, each with its interval, of what was told the panel's signal."""
    curves = curves_of(layers * across)
    last = min(50, layers * across)
    for axis, (task, signal) in zip(figures.search_curves(curves, [*TOLD]).axes, TOLD.items(), strict=True):
        lines, bands = lines_of(axis), iter(axis.collections)
        by = curves[curves["signal"].isin([signal, "none"])].sort_values("measured")
        for searcher, k, planned, name in (
            ("policy", 5, 1, "policy k=5"),
            ("static prior", 0, 0, "list" if signal == "none" else "own list"),
            ("random", 0, 0, "random"),
        ):
            rows = by[(by["task"] == task) & (by["searcher"] == searcher)]
            rows = rows[(rows["trained_k"] == k) & (rows["planned_k"] == planned)]
            assert lines[name][:, 0].tolist() == list(range(1, last + 1))
            assert np.allclose(lines[name], rows[["measured", "ratio"]]), name
            corners = np.asarray(next(bands).get_paths()[0].vertices)[:, 1]
            assert (corners.min(), corners.max()) == pytest.approx((rows["low"].min(), rows["high"].max()))
        named = [line for line in axis.lines if not str(line.get_label()).startswith("_")]
        assert {line.get_drawstyle() for line in named} == {"steps-post"}
        assert axis.get_xlim()[1] == last
        assert ("never" in axis.get_title()) == (task == "docstring")


def test_a_searcher_that_was_not_measured_is_not_drawn() -> None:
    curves = curves_of(35, ["ioi"]).query("searcher != 'static prior'")
    (axis,) = figures.search_curves(curves, ["ioi"]).axes
    assert "random" in lines_of(axis)
    assert "list" not in lines_of(axis)


@SHAPES
def test_head_maps(layers: int, across: int) -> None:
    heads = heads_of(layers, across)
    figure = figures.head_maps(heads, ["ioi", "docstring"], across)
    for axis, task in zip(figure.axes[:2], ["ioi", "docstring"], strict=True):
        grid = grid_of(axis)
        assert grid.shape == (layers, across)
        for row in heads[heads["task"] == task].itertuples():
            assert grid[divmod(int(str(row.head)), across)] == row.reward
    assert "red" in text_of(figure)
    boxes = [box for axis in figure.axes if (box := axis.get_tightbbox())]
    assert len(boxes) == 4, "two maps with their colour bars"
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2)), (
        "no colour bar runs into its neighbour"
    )
    width, height = figure.get_size_inches()
    assert (height > width / 2) == (layers == 30), "cells are square"


@SHAPES
def test_sorted_rewards(layers: int, across: int) -> None:
    """Heads by name in order of their mean, as fractions of the best one's."""
    rewards = np.random.default_rng(0).normal(size=(4, layers * across))
    names = [f"head {i}" for i in range(layers * across)]
    (axis,) = figures.sorted_rewards({"ioi": rewards[:, :9]}, names).axes
    assert np.allclose(
        lines_of(axis)["mean"][:, 1] * rewards[:, :9].mean(0).max(), np.sort(rewards[:, :9].mean(0))[::-1]
    )
    (axis,) = figures.sorted_rewards({"ioi": rewards}, names, top=20).axes
    order = np.argsort(-rewards.mean(0))[:20]
    dots = np.asarray(axis.collections[0].get_offsets())
    assert np.allclose(dots[:, 1].reshape(4, 20), rewards[:, order] / rewards.mean(0).max())
    assert np.allclose(dots[:, 0].reshape(4, 20), range(20))
    assert [text.get_text() for text in axis.get_xticklabels()] == [f"head {i}" for i in order]


def test_pretraining_curves() -> None:
    log = pd.DataFrame({"step": [100, 200], "ioi": [0.0, 9.0], "ioi_right": [0.5, 1.0]})
    log = log.assign(prose_loss=[6.0, 3.0], bigram_loss=4.0)
    left, right = figures.pretraining_curves(log).axes
    assert np.allclose(lines_of(left)["IOI"], [(100, 50), (200, 100)])
    assert np.allclose(lines_of(right)["my-subject"], [(100, 6), (200, 3)])
    assert np.allclose(lines_of(right)["interpolated bigram"][:, 1], 4)


def test_training_curves() -> None:
    """The mean over seeds, and from the least to the most of them, of means of two updates, as fractions of the oracle."""
    index = pd.MultiIndex.from_product([(1, 5), (3, 4, 7), range(1, 7), ("a", "b")])
    history = index.set_names(["trained_k", "seed", "update", "task"]).to_frame(index=False)
    history["best"] = np.random.default_rng(0).random(len(history))
    figure = figures.training_curves(history, {"b": 0.9, "a": 0.8}, window=2)
    for axis, task, ceiling in zip(figure.axes, "ba", (0.9, 0.8), strict=True):
        for (k, rows), band in zip(
            history[history["task"] == task].groupby("trained_k"), axis.collections, strict=True
        ):
            best = np.stack([some["best"].to_numpy() for _, some in rows.groupby("seed")])
            smooth = np.concatenate([best[:, :1], (best[:, 1:] + best[:, :-1]) / 2], axis=1) / ceiling
            assert np.allclose(lines_of(axis)[f"policy, trained with k={k}"][:, 1], smooth.mean(0))
            corners = np.asarray(band.get_paths()[0].vertices)
            assert {round(y, 6) for y in corners[:, 1]} == {round(y, 6) for y in (*smooth.min(0), *smooth.max(0))}
        assert np.allclose(lines_of(axis)["oracle, mean"][:, 1], 1)


@SHAPES
def test_signal_bars(layers: int, across: int) -> None:
    summary, most = summary_of(layers * across), min(50, layers * across)
    paper = {
        ("docstring", 1, "none"): Interval(0.6, 0.5, 0.65),
        ("docstring", 5, "ioi"): Interval(0.8, 0.75, 0.9),
        ("docstring", 0, "none"): Interval(0.64, 0.6, 0.7),
    }
    figure = figures.signal_bars(summary, "docstring", paper)
    expected = {1: [0.6, np.nan, np.nan, 0.64], 5: [np.nan, np.nan, 0.8, 0.64]}
    for axis, k in zip(figure.axes, (1, 5), strict=True):
        rows = summary.query("task == 'docstring' and measured == @most and trained_k == @k and planned_k == 1")
        rows = pd.concat([rows, summary.query("searcher == 'random' and measured == @most")])
        bars = bars_of(axis)
        assert np.allclose(bars["here (my-subject)"], rows["ratio"])
        assert np.allclose(bars["paper (GPT-2 small)"], expected[k], equal_nan=True)
        ours, theirs = (
            np.array([segment[:, 1] for segment in some[2][0].get_segments() if len(segment)])
            for some in axis.containers
            if isinstance(some, ErrorbarContainer)
        )
        assert np.allclose(ours, rows[["low", "high"]])
        keys = [("docstring", k, signal) for signal in rows["signal"][:-1]]
        shown = [paper[key][1:] for key in (*keys, ("docstring", 0, "none")) if key in paper]
        assert np.allclose(theirs, shown)
    assert f"after {most} heads" in text_of(figure)


def test_signal_bars_of_the_signals_that_there_are() -> None:
    summary = summary_of(35).query("signal != 'induction'")
    axis = figures.signal_bars(summary, "docstring", {}).axes[0]
    names = [text.get_text() for text in axis.get_xticklabels()]
    assert names == ["told\nnothing", "told\nIOI", "random\nsearch"]


@SHAPES
def test_convention_scatter(layers: int, across: int) -> None:
    rng = np.random.default_rng(0)
    frame = heads_of(layers, across, ["ioi", "docstring"]).sort_values(["task", "head"])
    frame = frame.assign(folded=rng.random(len(frame)), raw=rng.random(len(frame)))
    figure = figures.convention_scatter(frame, [f"head {i}" for i in range(layers * across)])
    for axis, (task, rows) in zip(figure.axes, frame.groupby("task", sort=False), strict=True):
        assert axis.get_title() == task_title(str(task))
        assert np.allclose(axis.collections[0].get_offsets(), rows[["folded", "raw"]])
        differs = rows.assign(differs=(rows["folded"] - rows["raw"]).abs())
        named = pd.concat([rows.nlargest(3, "folded"), differs.nlargest(3, "differs")])["head"]
        assert {text.get_text() for text in axis.texts} == {f"head {head}" for head in named}
        assert axis.get_xlim() == axis.get_ylim(), "the line of equality is a diagonal"
    alike = figures.convention_scatter(frame.assign(raw=frame["folded"] + 1e-3), [f"head {i}" for i in range(300)])
    assert all(len(axis.texts) == 3 for axis in alike.axes), "no name for a difference that nobody sees"


@SHAPES
@pytest.mark.parametrize("panels", [1, 4])
def test_detector_scatter(layers: int, across: int, panels: int) -> None:
    names = [f"head {i}" for i in range(layers * across)]
    heads = heads_of(layers, across, ["ioi"])
    heads["name"] = heads["head"].map(names.__getitem__)
    frames = [heads.assign(detector=f"class {i}") for i in range(panels)]
    scores = pd.concat(frames, ignore_index=True)
    scores["score"] = np.random.default_rng(1).random(len(scores))
    figure = figures.detector_scatter(scores)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    for axis, (detector, rows) in zip(shown, scores.groupby("detector"), strict=True):
        assert axis.get_title() == f"{detector} on IOI"
        assert np.allclose(axis.collections[0].get_offsets(), rows[["score", "reward"]])
        highest = {*rows.nlargest(3, "score")["head"], *rows.nlargest(3, "reward")["head"]}
        assert {text.get_text() for text in axis.texts} == {names[head] for head in highest}
        at = rows.set_index("head")
        for text in axis.texts:
            point = at.loc[names.index(text.get_text()), ["score", "reward"]].astype(float)
            place = (axis.transData + axis.transAxes.inverted()).transform(point)
            assert isinstance(text, Annotation)
            assert text.arrow_patch, "a line leads to the point"
            assert text.xy == pytest.approx(place)
            assert abs(text.get_position()[0] - place[0]) > 0.029
            assert abs(text.get_position()[1] - place[1]) < 0.4
        assert axis.get_xlim() == shown[0].get_xlim()
    nothing = figures.detector_scatter(scores.assign(score=0.0)).axes[0]
    assert len(nothing.texts) == 3, "no head scores"


def test_names_of_points_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(0)
    scores = pd.DataFrame({"detector": "d", "task": "ioi", "score": rng.random(40), "reward": rng.random(40)})
    scores["name"] = [f"L{i}.H{i}" for i in range(40)]
    scores.loc[:5, ["score", "reward"]] = 0.9, 1.0
    figure = figures.detector_scatter(scores)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]  # without the line to the point
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@SHAPES
def test_pair_maps(layers: int, across: int) -> None:
    top, rng = list(range(layers * across))[-6:][::-1], np.random.default_rng(0)
    pairs = pd.DataFrame(
        [(task, a, b, rng.normal()) for task in ("x", "y") for a, b in combinations(top, 2)],
        columns=["task", "first", "second", "interaction"],
    )
    figure = figures.pair_maps(pairs, [f"h{i}" for i in range(layers * across)])
    for axis, (_, rows) in zip(figure.axes[:2], pairs.groupby("task"), strict=True):
        grid = grid_of(axis)
        assert np.isnan(grid.diagonal()).all()
        for row in rows.itertuples():
            i, j = top.index(int(str(row.first))), top.index(int(str(row.second)))
            assert grid[i, j] == grid[j, i] == row.interaction
        assert [text.get_text() for text in axis.get_xticklabels()] == [f"h{i}" for i in top]


LEDGER = pd.DataFrame(
    {
        "claim": ["first", "what seeing gains", "pairs", "second", "third", "share", "loss"],
        "unit": ["fraction of oracle", "fraction of oracle, paired", "share of pairs"]
        + ["fraction of oracle"] * 2
        + ["share of episodes", "fraction of oracle, paired"],
        "paper": [0.9, np.nan, np.nan, 0.7, 0.3, 1.0, np.nan],
        "paper_low": [0.8, np.nan, np.nan, 0.7, 0.2, 0.8, np.nan],
        "paper_high": [0.95, np.nan, np.nan, 0.7, 0.35, 1.0, np.nan],
        "ours": [0.88, 0.2, 0.3, 0.6, 0.6, 0.9, -0.4],
        "low": [0.87, 0.1, np.nan, 0.5, 0.5, 0.4, -0.5],
        "high": [0.94, 0.3, np.nan, 0.9, 0.7, 1.0, -0.1],
        "verdict": [
            "consistent",
            "holds",
            "undecided",
            "undecided",
            "inconsistent",
            "undecided",
            "the other way round",
        ],
    }
)


def drawn_intervals(axis: Axes) -> dict[float, tuple[str, float, float, float]]:
    """By height: the verdict of each interval, and its middle and ends."""
    found = {}
    for some in axis.containers:
        if isinstance(some, ErrorbarContainer):
            segments = some[2][0].get_segments()
            for (x, y), segment in zip(np.asarray(some[0].get_xydata()), segments, strict=True):
                low, high = segment[:, 0]
                found[float(y)] = (str(some.get_label()), float(x), float(low), float(high))
    return found


def test_claims_chart() -> None:
    figure = figures.claims_chart(LEDGER)
    beside, gained, ahead = figure.axes
    paired, seeing = LEDGER["unit"].str.endswith("paired"), LEDGER["claim"].str.contains("seeing gains")
    rows = {beside: LEDGER[LEDGER["paper"].notna()], gained: LEDGER[paired & seeing], ahead: LEDGER[paired & ~seeing]}
    for axis, some in rows.items():
        names = [text.get_text() for text in axis.get_yticklabels()]
        drawn = {name: drawn_intervals(axis)[y] for y, name in zip(axis.get_yticks(), names, strict=True)}
        assert list(drawn) == some["claim"].tolist()
        scale = 1 if axis is beside else 100
        for (label, *ends), row in zip(drawn.values(), some.to_dict("records"), strict=True):
            assert row["verdict"] in label.split(", ")
            assert ends == pytest.approx([scale * row["ours"], scale * row["low"], scale * row["high"]])
    (margin,) = gained.patches
    reach = margin.get_extents().transformed(gained.transData.inverted()).intervalx
    assert reach.tolist() == pytest.approx([-100 * POINT, 100 * POINT])
    (bands,) = (some for some in beside.containers if isinstance(some, BarContainer))
    paper = rows[beside]["paper"]
    edges = [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in bands]
    assert np.allclose(edges, np.stack([paper - MARGIN, paper + MARGIN, beside.get_yticks()], axis=1))
    (theirs,) = (some for some in beside.containers if some.get_label() == figures.THEIRS)
    assert np.asarray(theirs[0].get_xdata()).tolist() == paper.tolist()
    reaches = np.stack([segment[:, 0] for segment in theirs[2][0].get_segments()])
    assert np.allclose(reaches, rows[beside][["paper_low", "paper_high"]]), "the paper's interval, where it is counted"
    words = text_of(figure)
    assert "here (my-subject)" in words
    assert f"{100 * MARGIN:.0f} points about the paper" in words


@pytest.mark.parametrize("settings", PUBLISHED.values(), ids=PUBLISHED)
def test_every_row_of_the_ledger_is_drawn(settings: Settings) -> None:
    """But for the one about pairs of heads, which is neither beside a number of the paper nor a difference."""
    ledger = load_frame(Run(settings).frame_path("claims"))
    axes = figures.claims_chart(ledger).axes
    drawn = [label for axis in axes for label, *_ in drawn_intervals(axis).values() if label != figures.THEIRS]
    assert len(drawn) == len(ledger) - 1 == 24
    assert [axis.get_xlim() for axis in axes] == [*figures.SPANS], "both subjects on the same axes"


def test_an_axis_reaches_what_lies_outside() -> None:
    _, (axis, other) = plt.subplots(2, sharex=True)
    other.plot([-3, 5], [0, 1])
    figures.reach(axis, -4, 4)
    low, high = axis.get_xlim()
    assert low == -4
    assert high > 5


def test_verdicts_and_counts_differ_in_grey() -> None:
    """By shape, and by lightness."""
    assert sorted(word for words in figures.VERDICTS for word in words) == sorted(
        [
            "consistent",
            "inconsistent",
            "undecided",
            "holds",
            "the other way round",
            "gains",
            "gains nothing",
            "loses",
            "at the ceiling",
        ]
    ), "every word of circuitlib.companion.verdicts"
    for looks in (figures.VERDICTS, AFTER):
        for (one, shape, _), (other, another, _) in combinations(looks.values(), 2):
            assert shape != another
            assert abs(lightness(one) - lightness(other)) > 0.12


def test_what_lies_below_zero_in_a_map_is_dashed() -> None:
    """In grey its colour is that of a cell as far above."""
    colours = [mpl.colors.to_hex(mpl.colormaps["RdBu_r"](0.5 + share)) for share in (0.3, -0.3)]
    assert abs(lightness(colours[0]) - lightness(colours[1])) < 0.12, "so that a dash is needed"
    frame = pd.DataFrame({"subject": "any", "layer": [0, 0, 1, 1], "head": [0, 1, 0, 1]})
    figure = plot_head_damage(frame.assign(damage=[1.0, -0.5, -0.9, -0.01]))
    dashes = {tuple(xy): line.get_color() for line in figure.axes[0].lines for xy in np.asarray(line.get_xydata())}
    assert dashes == {(1.5, 0.5): "black", (0.5, 1.5): "white"}


def lightness(colour: str) -> float:
    """Of a colour printed in grey, from black, 0, to white, 1."""
    return float(np.dot(mpl.colors.to_rgb(colour), (0.299, 0.587, 0.114)))


@pytest.mark.parametrize(
    "figure",
    [
        lambda: figures.search_curves(curves_of(270), [*TOLD]),
        lambda: figures.head_maps(heads_of(30, 9), TASKS, 9),
        lambda: figures.sorted_rewards(
            {"ioi": np.random.default_rng(0).random((4, 20))}, [f"L{i}.H0" for i in range(20)]
        ),
        lambda: figures.signal_bars(summary_of(144), "docstring", {}),
        lambda: figures.claims_chart(LEDGER),
    ],
    ids=["search_curves", "head_maps", "sorted_rewards", "signal_bars", "claims_chart"],
)
def test_no_letter_is_smaller_than_eight_points_on_a_page(figure: Callable[[], Figure]) -> None:
    drawn = figure()
    assert drawn.get_figwidth() <= show.PAGE
    text_of(drawn)
    letters = [text for text in drawn.findobj(mpl.text.Text) if text.get_visible() and text.get_text().strip()]
    assert min(float(text.get_fontsize()) for text in letters) >= 8


def test_long_claims_and_names_leave_room_for_the_chart() -> None:
    show.set_style("a-subject-with-a-name-of-some-length-q4_1")
    figure = figures.claims_chart(LEDGER.assign(claim="many words of a claim " * 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    for axis in figure.axes:
        assert axis.get_window_extent().width > figure.get_window_extent().width / 3


def test_claims_chart_without_any() -> None:
    text_of(figures.claims_chart(LEDGER.iloc[:0]))


def test_speed_bars() -> None:
    """One row per subject and one column per processor, also where one has not measured every subject and method."""
    index = pd.MultiIndex.from_product([("big", "small"), ("ioi", "control"), ("sweep", "hooks")])
    sweeps = index.set_names(["subject", "workload", "method"]).to_frame(index=False).assign(processor="one")
    sweeps["speedup"] = [8.0, 1.0, 5.0, 1.0, 13.0, 1.0, 6.0, 1.0]
    other = sweeps.query("subject == 'big' and method == 'hooks'").assign(processor="other", method="third", speedup=3)
    figure = figures.speed_bars(pd.concat([sweeps, other]))
    big, third, small, nothing = figure.axes
    assert [[bar.get_height() for bar in bars] for bars in big.containers] == [[8, 5], [1, 1]]
    assert [[bar.get_height() for bar in bars] for bars in small.containers] == [[13, 6], [1, 1]]
    assert [[bar.get_height() for bar in bars] for bars in third.containers] == [[3, 3]]
    assert third.get_title() == "big\nother"
    assert not nothing.get_visible()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["sweep", "hooks", "third"]


@pytest.mark.parametrize("sizes", [1, 3])
def test_growth_curves(sizes: int) -> None:
    rows = [(f"size {i}", 2**j, 3.0**j, 0.1, j + i) for i in range(sizes) for j in (2, 1, 3)]
    columns = ["grows", "size", "seconds", "loaded", "resident"]
    figure = figures.growth_curves(pd.DataFrame(rows, columns=columns))
    for i in range(sizes):
        time, memory = lines_of(figure.axes[i]), lines_of(figure.axes[sizes + i])
        assert np.allclose(time["measured"], [(2, 3), (4, 9), (8, 27)])
        assert np.allclose(time["in proportion"], [(2, 3), (4, 6), (8, 12)])
        assert np.allclose(memory["at most"], [(2, i + 1), (4, i + 2), (8, i + 3)])
        assert np.allclose(memory["model loaded"][:, 1], 0.1)


def test_saved_twice_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figure = figures.search_curves(curves_of(35), [*TOLD])
        show.save_figure(figure, "same", tmp_path / name)
        assert "my-subject" in text_of(figure)
        assert "/somewhere" not in text_of(figure)
    for suffix in (".png", ".pdf"):
        assert (tmp_path / "a" / f"same{suffix}").read_bytes() == (tmp_path / "b" / f"same{suffix}").read_bytes()


def test_tables_name_the_subject_and_round() -> None:
    frame = pd.DataFrame({"x": [0.123, np.nan, -0.001]}, index=pd.Index(["a", "b", "c"], name="y"))
    text = show.html_table(frame).data
    assert "<caption>my-subject</caption>" in text
    assert "<td>0.12</td>" in text
    assert "<td></td>" in text
    assert "<td>0.00</td>" in text
    assert "<caption>&lt;GPT-2&gt;</caption>" in show.html_table(frame, subject="<GPT-2>").data
    show.set_style("my-subject", "my-subject; prompts begin with <s>")
    assert "<caption>my-subject; prompts begin with &lt;s&gt;</caption>" in show.html_table(frame).data
    assert show.subject_name() == "my-subject"


def test_a_table_does_not_lose_the_labels_of_its_rows() -> None:
    frame = pd.DataFrame({"x": [1, 2]}, index=["a", "b"])
    with pytest.raises(ValueError, match=r"index no name, so that they would be left out: \['a', 'b'\]"):
        show.html_table(frame)
    assert "<td>a</td>" in show.html_table(frame.rename_axis("y")).data
    assert "<td>2</td>" in show.html_table(pd.DataFrame({"x": [1, 2]})).data
    nothing = show.html_table(pd.DataFrame({"told": ["none"], "shown": ["none"], "x": ["none"]})).data
    assert re.findall("<td>(.*)</td>", nothing) == ["nothing", "", "none"]


def test_tables_name_tasks_as_prose_does_and_fold_rows() -> None:
    index = pd.Index(["ioi", "random", "agreement"], name="trained_k")
    frame = pd.DataFrame({"greater_than": [1, 2, 3]}, index=index)
    for form in ("<th>trained with k</th>", "<th>greater-than</th>", "<td>IOI</td>", "<td>agreement</td>"):
        assert form in show.html_table(frame).data
    shown, folded = show.html_table(frame, first=["agreement", "ioi", "nobody"]).data.split("<details>")
    assert "<summary>and 1 more</summary>" in folded
    for row, place, other in (("IOI", shown, folded), ("agreement", shown, folded), ("random", folded, shown)):
        assert f"<td>{row}</td>" in place
        assert f"<td>{row}</td>" not in other
    assert shown.count("<caption>") == folded.count("<caption>") == 1
    assert "<details>" not in show.html_table(frame, first=frame.index).data
    whole = show.html_table(frame, subject="all <of> it", first=()).data
    assert whole.startswith("<details><summary>all &lt;of&gt; it</summary>")
    assert all(cell in whole for cell in ("agreement", "IOI"))


def test_what_a_table_misses_is_empty() -> None:
    frame = pd.DataFrame({"a": [1.5, np.nan], "n": pd.array([3, None], dtype="Int64"), "w": ["x", None]})
    cells = re.findall(r"<td>(.*?)</td>", str(show.html_table(frame).data))
    assert cells == ["1.50", "3", "x", "", "", ""]


def test_tables_name_columns_as_prose_does() -> None:
    frame = pd.DataFrame({"rank_correlation": [1.0], "over static prior, %": [2.0], 50: ["static prior"]})
    text = show.html_table(frame, subject="any").data
    for heading in ("rank correlation", "over the list, %", "50"):
        assert f"<th>{heading}</th>" in text
    assert "<td>list by mean reward</td>" in text
    machines = pd.DataFrame({"amd-epyc-avx512": [2]}, index=pd.Index(["gpt2-shape"], name="what"))
    assert "<th>AMD EPYC, AVX-512</th>" in show.html_table(machines).data
    assert "<td>GPT-2 small's sizes</td>" in show.html_table(machines).data


@pytest.mark.parametrize("path", sorted(FIGURES.rglob("*.png")), ids=lambda path: str(path.relative_to(FIGURES)))
def test_no_committed_figure_is_wider_than_a_page(path: Path) -> None:
    """At the resolution that it names, with the margin of a tight bounding box: on a page its letters have their size."""
    with Image.open(path) as image:
        (across, _), (dots, _) = image.size, image.info["dpi"]
    assert across / dots <= show.PAGE + 0.3


def test_committed_figures_come_in_pairs() -> None:
    pngs, pdfs = ({path.with_suffix("") for path in FIGURES.rglob(f"*.{kind}")} for kind in ("png", "pdf"))
    assert pngs == pdfs
