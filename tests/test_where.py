"""Where a searcher wins: classes of episodes by hand, what is named in each against brute force, and the figure's numbers."""

from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.container import ErrorbarContainer

mpl.use("Agg")

from circuitlib.companion.legend import ATTRIBUTION, MAIN, SEARCHERS
from circuitlib.companion.rival_figures import where_chart, where_table
from circuitlib.companion.verdicts import beats
from circuitlib.studies.intervals import fraction
from circuitlib.studies.priced import mean_of
from circuitlib.studies.where import CLASSES, measure_where, traits

POOL = 160


def test_classes_by_hand() -> None:
    """Of six layers of two heads: only the first is in the first sixth."""
    rewards = torch.full((4, 12), -1.0)
    rewards[0, 1] = 9.0  # alone, in the first layer
    rewards[1, 2:8] = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0, 5.0])  # 10 of 11 with the five best
    rewards[2] = 1.0
    rewards[2, 11] = 1.5  # 5.5 of 12.5
    rewards[3, :] = 0.0
    rewards[3, 6:12] = torch.tensor([3.0, 3.0, 3.0, 3.0, 3.0, 3.1])
    estimated = torch.zeros(4, 12)
    estimated[0, 1], estimated[1, 7], estimated[2, 11], estimated[3, 11] = 8.0, 2.5, -1.5, 4.2
    classes = traits(rewards, estimated, layers=6)
    assert classes["estimate"].tolist() == [
        "off by less than a third",
        "off by one to two thirds",
        "off by more",
        "off by one to two thirds",
    ]
    assert classes["depth"].tolist() == ["first sixth of the layers", *["later layers"] * 3]
    assert classes["spread"].tolist() == [
        "more than two thirds",
        "more than two thirds",
        "one to two thirds",
        "more than two thirds",
    ]
    spread = torch.ones(1, 60)
    assert traits(spread, spread, layers=6)["spread"].tolist() == ["less than a third"]


@pytest.fixture
def played() -> pd.DataFrame:
    """Two tasks of twelve episodes; a policy of two seeds, attribution, and random search of two."""
    rng = np.random.default_rng(0)
    oracle = {task: scale * (1 + rng.random(12)) for task, scale in (("ioi", 1.0), ("docstring", 5.0))}
    rows = [
        (task, searcher, seed, episode, rng.random() * oracle[task][episode], oracle[task][episode])
        for task, (searcher, seeds) in product(oracle, {"headwise": 2, ATTRIBUTION: 1, "random": 2}.items())
        for seed, episode in product(range(seeds), range(12))
    ]
    names = ["task", "searcher", "seed", "episode", "named", "oracle"]
    return pd.DataFrame(rows, columns=names).sample(frac=1, random_state=0)


@pytest.fixture
def classes() -> dict[str, pd.DataFrame]:
    """Of ioi half of the episodes are early, of docstring one, which is left out; no answer is diffuse."""
    near, _, far = CLASSES["estimate"]
    early, late = CLASSES["depth"]
    few, some, _ = CLASSES["spread"]
    return {
        "ioi": pd.DataFrame({"estimate": [near, far] * 6, "depth": [early] * 6 + [late] * 6, "spread": few}),
        "docstring": pd.DataFrame({"estimate": far, "depth": [early] + [late] * 11, "spread": [some] * 12}),
    }


SHOWN = ["headwise", ATTRIBUTION, "random"]


def test_what_is_named_in_each_class(played: pd.DataFrame, classes: dict[str, pd.DataFrame]) -> None:
    where = measure_where(played, classes, SHOWN, ATTRIBUTION, POOL)
    assert len(where) == len(SHOWN) * (2 + 2 + 2), "no row of a class without episodes"
    rows: Any = where.set_index(["trait", "part", "searcher"])
    early, late = CLASSES["depth"]

    def scores(task: str, searcher: str, episodes: range) -> np.ndarray:
        some = played[(played["task"] == task) & (played["searcher"] == searcher)]
        return some.pivot(index="seed", columns="episode", values="named").to_numpy()[:, list(episodes)]

    def oracle(task: str, episodes: range) -> np.ndarray:
        some = played[(played["task"] == task) & (played["searcher"] == ATTRIBUTION)].sort_values("episode")
        return some["oracle"].to_numpy()[list(episodes)]

    first = rows.loc[("depth", early, "headwise")]
    assert first[["tasks", "episodes"]].tolist() == [1, 6]
    expected = fraction(scores("ioi", "headwise", range(6)), oracle("ioi", range(6)), POOL)
    assert first[["ratio", "low", "high"]].tolist() == pytest.approx(list(expected))
    then = rows.loc[("depth", late, "headwise")]
    assert then[["tasks", "episodes"]].tolist() == [2, 17]
    parts = {"ioi": range(6, 12), "docstring": range(1, 12)}
    shares = [scores(task, "headwise", some).mean() / oracle(task, some).mean() for task, some in parts.items()]
    assert then["ratio"] == pytest.approx((6 * shares[0] + 11 * shares[1]) / 17)
    gains = [
        fraction(scores(task, "headwise", some), oracle(task, some), POOL, scores(task, ATTRIBUTION, some))
        for task, some in parts.items()
    ]
    expected = mean_of(gains, [6, 11])
    assert then[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx(list(expected))
    itself = where[where["searcher"] == ATTRIBUTION]
    assert not itself[["gain", "gain_low", "gain_high"]].any(axis=None)
    assert set(where["rests_on"]) == {"policies"}


def test_the_chart_draws_them(played: pd.DataFrame, classes: dict[str, pd.DataFrame]) -> None:
    where = measure_where(played, classes, SHOWN, ATTRIBUTION, POOL)
    figure = where_chart(where.sample(frac=1, random_state=0))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        kind.title for kind in MAIN if kind.key in SHOWN
    ]
    for axis, (trait, parts) in zip(figure.axes, CLASSES.items(), strict=True):
        series = {str(some.get_label()): some for some in axis.containers if isinstance(some, ErrorbarContainer)}
        labels = [" ".join(text.get_text().split()) for text in axis.get_xticklabels()]
        for searcher in SHOWN:
            rows = where[(where["trait"] == trait) & (where["searcher"] == searcher)].set_index("part").reindex(parts)
            drawn = series[SEARCHERS[searcher].title]
            points = np.asarray(drawn[0].get_xydata())
            np.testing.assert_allclose(points[:, 1], rows["ratio"])
            assert (np.abs(points[:, 0] - np.arange(len(parts))) < 0.5).all(), "each over its own class"
            ends = np.array([segment[:, 1] for segment in drawn[2][0].get_segments() if len(segment)])
            there = rows.dropna()
            np.testing.assert_allclose(ends[np.isfinite(ends).all(1)], there[["low", "high"]])
            counts = [f"{part} ({0 if np.isnan(n) else int(n)})" for part, n in rows["episodes"].items()]
            assert labels == counts


def test_the_table_says_what_is_gained(played: pd.DataFrame, classes: dict[str, pd.DataFrame]) -> None:
    where = measure_where(played, classes, SHOWN, ATTRIBUTION, POOL)
    table: Any = where_table(where, ["headwise", "random"])
    assert list(table.columns) == ["attribution names", "headwise", "random"]
    rival = where[where["searcher"] == ATTRIBUTION].set_index(["trait", "part", "episodes", "tasks"])["ratio"]
    assert table["attribution names"].to_dict() == {where: f"{ratio:.0%}" for where, ratio in rival.items()}
    assert [row[1] for row in table.index] == where["part"].unique().tolist()
    for row in where[where["searcher"] != ATTRIBUTION].itertuples():
        cell = table.loc[(row.trait, row.part, row.episodes, row.tasks), row.searcher]
        low, gain, high = (100 * float(x) for x in (row.gain_low, row.gain, row.gain_high))  # type: ignore[arg-type]
        word = beats(low, high) if any((low, gain, high)) else "equal"
        assert cell == f"{gain:z.0f} ({low:z.0f} to {high:z.0f}) {word}"
