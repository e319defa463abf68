"""The scores of several seeds and episodes in one number, other than their mean (Agarwal et al. 2021, "Deep reinforcement learning
at the edge of the statistical precipice", arXiv:2108.13264)."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import trim_mean

from circuitlib.studies.evaluate import by_seed

RIVALS = ("random", "static prior")
"""Searchers over which others improve, or not."""


def interquartile_mean(scores: Float[np.ndarray, "seeds episodes"]) -> float:
    """The mean of the middle half: a few episodes move it less than the mean, and it uses more of them than the median."""
    return float(trim_mean(scores, 0.25, axis=None))


def probability_of_improvement(
    ours: Float[np.ndarray, "seeds episodes"], theirs: Float[np.ndarray, "others episodes"]
) -> float:
    """How probable it is that a seed of ours finds more than one of theirs on an episode, equal finds counted half: the share of
    all pairs of seeds, on each of the same episodes."""
    return float((1 + np.sign(ours[:, None] - theirs).mean()) / 2)


def aggregates(evaluation: pd.DataFrame) -> pd.DataFrame:
    """One row per searcher, trained_k, planned_k and number of heads measured (the index), of one task and signal. Columns: mean and
    interquartile mean of best reward over the episode's oracle, and ``over`` each of :data:`RIVALS` the probability of improvement.

    Raises ``KeyError`` for an evaluation without a rival, and ``ValueError`` for one of several tasks or signals.
    """
    by = ["searcher", "trained_k", "planned_k", "measured"]
    scores = {key: by_seed(rows) / by_seed(rows, "oracle") for key, rows in evaluation.groupby(by, sort=False)}
    rows = {}
    for key, some in scores.items():
        means = {"mean": some.mean(), "interquartile mean": interquartile_mean(some)}
        others = {f"over {rival}": scores[rival, 0, 0, key[-1]] for rival in RIVALS}
        rows[key] = means | {name: probability_of_improvement(some, other) for name, other in others.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
