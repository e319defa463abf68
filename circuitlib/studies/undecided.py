"""What would decide what is undecided: more prompts, or more seeds?

An interval's two parts (:mod:`circuitlib.studies.intervals`) shrink apart: that of prompts as prompts are added, that of seeds as seeds are. So the
same rows are judged anew as if the same were found on several times as many prompts and episodes, or by boundlessly many seeds. That the
estimate itself stays where it is, is taken for granted: what comes of it is a plan, not a result.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

TIMES = tuple(2**i for i in range(1, 7))
"""Tried multiples of the prompts."""

Verdicts = Callable[[int, bool], pd.Series]
"""The verdicts of all claims, given how many times as many prompts there are, and whether seeds count."""


def repeated(frame: pd.DataFrame, times: int) -> pd.DataFrame:
    """Rows by episode, as they would be of so many ``times`` as many episodes, in which the same is found."""
    step = frame["episode"].max() + 1
    return pd.concat([frame.assign(episode=frame["episode"] + i * step) for i in range(times)], ignore_index=True)


def seeds_as_one(frame: pd.DataFrame, condition: Sequence[str]) -> pd.DataFrame:
    """Rows by condition, seed and episode, with the mean over seeds in their place: a single seed, of which no other one is expected to
    find anything else."""
    means = frame.groupby([*condition, "episode"], sort=False, as_index=False).mean(numeric_only=True)
    return means.assign(seed=0)


def what_decides(verdicts: Verdicts, prompts: int) -> pd.DataFrame:
    """One row per claim: prompts (how many per task would decide it, of :data:`TIMES` as many as the ``prompts`` that there are; missing where
    none of them does), and prompts_alone (the same with boundlessly many seeds; as many as there are where seeds alone decide it)."""
    found = {}
    for name, seeds in (("prompts", True), ("prompts_alone", False)):
        enough = pd.Series(np.nan, verdicts(1, True).index)
        for times in (1, *TIMES)[::-1]:
            enough = enough.mask(verdicts(times, seeds) != "undecided", times * prompts)
        found[name] = enough
    return pd.DataFrame(found)
