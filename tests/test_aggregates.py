"""Aggregates of scores against brute force."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from circuitlib.studies.aggregates import aggregates, interquartile_mean, probability_of_improvement


def test_interquartile_mean() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 6))
    middle = sorted(scores.ravel())[6:18]
    assert interquartile_mean(scores) == pytest.approx(sum(middle) / 12)
    scores[0, 0] = 1e9
    assert interquartile_mean(scores) < 1, "a single episode moves it little"


def test_probability_of_improvement() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 4, (3, 7)).astype(float), rng.integers(0, 4, (5, 7)).astype(float)
    wins = [
        (ours[i, e] > theirs[j, e]) + (ours[i, e] == theirs[j, e]) / 2
        for i, j, e in product(range(3), range(5), range(7))
    ]
    found = probability_of_improvement(ours, theirs)
    assert found == pytest.approx(np.mean(wins))
    assert probability_of_improvement(theirs, ours) == pytest.approx(1 - found)
    ranks = [mannwhitneyu(ours[:, e], theirs[:, e]).statistic / 15 for e in range(7)]
    assert found == pytest.approx(np.mean(ranks)), "the statistic of Mann and Whitney, episode by episode"
    assert probability_of_improvement(ours, ours[:1] + 4) == 0


@pytest.fixture
def evaluation() -> pd.DataFrame:
    """A policy of two seeds, random search of two, and a list, after 10 and 50 heads."""
    rng = np.random.default_rng(0)
    oracle = np.array([2.0, 4.0, 1.0])
    searchers = {("policy", 5, 1): 2, ("random", 0, 0): 2, ("static prior", 0, 0): 1}
    rows = [
        (*searcher, measured, seed, episode, rng.random() * oracle[episode], oracle[episode])
        for searcher, seeds in searchers.items()
        for measured, seed, episode in product((10, 50), range(seeds), range(3))
    ]
    names = ["searcher", "trained_k", "planned_k", "measured", "seed", "episode", "best", "oracle"]
    return pd.DataFrame(rows, columns=names)


def test_aggregates_of_an_evaluation(evaluation: pd.DataFrame) -> None:
    table: Any = aggregates(evaluation.sample(frac=1, random_state=0))
    assert len(table) == 6
    of = {key: rows for key, rows in evaluation.groupby(["searcher", "measured"])}
    for measured in (10, 50):
        row = table.loc["policy", 5, 1, measured]
        ours, random, prior = (
            of[name, measured].pivot(index="seed", columns="episode", values="best").to_numpy()
            for name in ("policy", "random", "static prior")
        )
        scores = ours / np.array([2.0, 4.0, 1.0])
        assert row["mean"] == pytest.approx(scores.mean())
        assert row["interquartile mean"] == pytest.approx(np.mean(sorted(scores.ravel())[1:5]))
        assert row["over random"] == pytest.approx(np.mean([a > b for a in ours for b in random]))
        assert row["over static prior"] == pytest.approx((ours > prior).mean())
    assert table.loc["random", 0, 0, 10]["over random"] == 0.5


def test_aggregates_of_what_is_not_one_condition(evaluation: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="12 rows are not one for each of 2 seeds and 3 episodes"):
        aggregates(pd.concat([evaluation, evaluation]))
    with pytest.raises(KeyError, match="static prior"):
        aggregates(evaluation.query("searcher != 'static prior'"))
