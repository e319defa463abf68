"""What a figure draws is what its table says."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

from circuitlib.companion import claims as ledger
from circuitlib.companion import figures
from circuitlib.companion import frames as studies
from circuitlib.companion.run import RESULTS
from circuitlib.manifest import load_frame
from circuitlib.paths import FIGURES
from circuitlib.search.evaluate import summarise

COMMITTED = RESULTS / "gpt2-mini"


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return summarise(load_frame(COMMITTED / "evaluation.csv"))


def test_search_curves_draw_the_ratios(summary: pd.DataFrame) -> None:
    figure = figures.search_curves(summary, studies.MAIN_TASKS, ["induction", "ioi", "none"])
    for axis, task, signal in zip(
        figure.axes, studies.MAIN_TASKS, ["induction", "ioi", "none"], strict=True
    ):
        for line in axis.lines[:-1]:
            label = str(line.get_label())
            rows = summary[(summary["task"] == task) & (summary["measured"] <= 50)]
            if label.startswith("policy"):
                k = int(label[-1])
                rows = rows[
                    (rows["trained_k"] == k) & (rows["planned_k"] == k) & (rows["signal"] == signal)
                ]
            else:
                rows = rows[
                    (rows["searcher"] == label)
                    & (rows["signal"] == ("none" if label == "random" else signal))
                ]
            rows = rows.sort_values("measured")
            assert np.array_equal(line.get_xdata(), [1, 5, 10, 20, 50])
            assert np.allclose(np.asarray(line.get_ydata()), rows["ratio"])


def test_head_maps_put_heads_where_they_are() -> None:
    heads = load_frame(COMMITTED / "heads.csv")
    figure = figures.head_maps(heads, ["ioi"], 12)
    drawn = figure.axes[0].collections[0].get_array()
    assert drawn is not None
    best = heads[(heads["task"] == "ioi") & (heads["rank"] == 1)].iloc[0]
    grid = np.asarray(drawn).reshape(12, 12)
    assert np.unravel_index(grid.argmax(), grid.shape) == divmod(int(best["head"]), 12)
    assert grid.max() == pytest.approx(best["reward"])


def test_pair_maps_are_symmetric() -> None:
    pairs = load_frame(COMMITTED / "pairs.csv")
    names = [str(i) for i in range(144)]
    figure = figures.pair_maps(pairs, names)
    mesh = figure.axes[0].collections[0].get_array()
    assert mesh is not None
    grid = np.asarray(mesh).reshape(studies.PAIR_HEADS, studies.PAIR_HEADS)
    off = ~np.eye(studies.PAIR_HEADS, dtype=bool)
    assert np.allclose(grid[off], grid.T[off])
    rows = pairs[pairs["task"] == "induction"]
    assert len(rows) == 66
    assert np.allclose(
        rows["interaction"],
        rows["damage_both"] - rows["damage_first"] - rows["damage_second"],
        atol=1e-4,
    )


def test_saved_twice_is_the_same_file(tmp_path: Path, summary: pd.DataFrame) -> None:
    for name in ("a", "b"):
        figure = figures.search_curves(summary, ["ioi"], ["ioi"])
        figures.save_figure(figure, name, tmp_path)
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_committed_figures_come_in_pairs() -> None:
    names = {path.stem for path in FIGURES.glob("*.png")}
    assert names == {path.stem for path in FIGURES.glob("*.pdf")}
    assert {"search_curves", "head_maps", "sorted_rewards", "signals", "pairs", "claims"} <= names


def test_paper_fractions_are_the_published_ratios() -> None:
    fractions = ledger.paper_fractions()
    assert fractions["docstring", 5, "none"] == pytest.approx(2.1031 / 2.1745)
    assert fractions["docstring", 1, "none"] == pytest.approx(1.4672 / 2.1745)
    assert fractions["docstring", 0, "random"] == pytest.approx(1.3954 / 2.1745)
    assert fractions["induction", 5, "induction"] == pytest.approx(3.4079 / 3.4021)


def test_ledger_is_computed_from_the_tables(summary: pd.DataFrame) -> None:
    claims = load_frame(COMMITTED / "claims.csv").set_index("claim")
    headline = claims.loc["docstring, told nothing, policy trained with k=5 (the 96% headline)"]
    row = summary[
        (summary["task"] == "docstring") & (summary["signal"] == "none") & (summary["searcher"] == "policy")
        & (summary["trained_k"] == 5) & (summary["planned_k"] == 1) & (summary["measured"] == 50)
    ].iloc[0]  # fmt: skip
    assert headline["ours"] == pytest.approx(row["ratio"], abs=1e-5)
    within = row["low"] - ledger.TOLERANCE <= headline["paper"] <= row["high"] + ledger.TOLERANCE
    assert (headline["verdict"] == ledger.REPRODUCED) == within
