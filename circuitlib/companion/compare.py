"""The results of two runs beside each other: equal to rounding, or, for policies, in distribution.

Tables and whatever follows from them alone agree on every processor to rounding. Training amplifies rounding, so
on another processor policies are another draw of the same distribution over seeds. What is compared then is
that distribution, in one test of all conditions at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from circuitlib.ablation.tables import load_table
from circuitlib.companion.run import Run
from circuitlib.manifest import load_frame
from circuitlib.search.evaluate import CONDITION

TABLE_TOLERANCE = 1e-4
"""Largest difference of a damage (logits, probability or nats) from the committed one: float rounding."""

FRAME_TOLERANCE = 1e-3
"""Largest difference of a measured number in the other tables."""

SIGNIFICANCE = 0.01
"""Probability with which two draws of one distribution are taken for different, all conditions together."""

SPREAD_FLOOR = 0.01
"""The smallest spread over seeds, in fractions of the oracle, that a difference is measured in: where all
seeds agree, a tenth of a point is no difference."""


@dataclass(frozen=True)
class Compared:
    """One result: how it was compared, and what came of it."""

    result: str
    by: str
    value: float
    bar: float
    agrees: bool


def compare(run: Run, other: Run) -> pd.DataFrame:
    """Columns: result, by (``difference`` or ``distribution``), value (the largest difference, or the
    probability), bar, agrees. A result that one run lacks has an infinite difference."""
    names = {path.name for one in (run, other) for path in one.folder.glob("*.*")}
    places = [(run.folder / name, other.folder / name) for name in sorted(names)]
    rows = [_table(*both) for both in places if both[0].name.startswith("damage_") and both[0].suffix != ".json"]
    evaluation = [row for both in places if both[0].name == "evaluation.csv" for row in _evaluation(*both)]
    exact = all(row.by == "difference" and row.value == 0 for row in evaluation)
    for both in places:
        frame = both[0].suffix == ".csv" and not both[0].stem.startswith("training_")
        if frame and both[0].stem != "evaluation":
            rows.append(_frame(*both, exact))
    return pd.DataFrame([*rows, *evaluation])


def _table(ours: Path, theirs: Path) -> Compared:
    difference = float("inf")
    if ours.exists() and theirs.exists():
        here, there = load_table(ours).damage, load_table(theirs).damage
        if here.shape == there.shape:
            difference = (here - there).abs().max().item()
    return Compared(ours.stem, "difference", difference, TABLE_TOLERANCE, difference <= TABLE_TOLERANCE)


def _frame(ours: Path, theirs: Path, exact: bool) -> Compared:
    difference = float("inf")
    if ours.exists() and theirs.exists():
        here, there = load_frame(ours), load_frame(theirs)
        if not exact and "rests_on" in here and "rests_on" in there:
            here, there = (frame[frame["rests_on"] != "policies"] for frame in (here, there))
        difference = frame_difference(here.reset_index(drop=True), there.reset_index(drop=True))
    return Compared(ours.name, "difference", difference, FRAME_TOLERANCE, difference <= FRAME_TOLERANCE)


def frame_difference(here: pd.DataFrame, there: pd.DataFrame) -> float:
    """The largest difference of two tables' measured numbers; infinite when the tables have other rows or
    columns, miss other numbers, or differ in a word or a whole number."""
    if list(here.columns) != list(there.columns) or len(here) != len(there):
        return float("inf")
    largest = 0.0
    for name in here.columns:
        one, other = here[name], there[name]
        if "f" in one.dtype.kind + other.dtype.kind and {one.dtype.kind, other.dtype.kind} <= set("fi"):
            if not one.isna().equals(other.isna()):
                return float("inf")
            difference = (one - other).abs().max()
            largest = max(largest, 0.0 if pd.isna(difference) else float(difference))
        elif not one.equals(other):
            return float("inf")
    return largest


def _evaluation(ours: Path, theirs: Path) -> Iterator[Compared]:
    """Searchers without a policy by their differences, policies by the distribution over seeds unless they are
    the same to the last digit."""
    if not (ours.exists() and theirs.exists()):
        yield Compared(ours.name, "difference", float("inf"), FRAME_TOLERANCE, False)
        return
    here, there = load_frame(ours), load_frame(theirs)
    is_policy = [frame["searcher"] == "policy" for frame in (here, there)]
    plain = [frame[~mask].reset_index(drop=True) for frame, mask in zip((here, there), is_policy, strict=True)]
    # Which head passes 90% first may turn on rounding.
    difference = frame_difference(*(frame.drop(columns="reached_90") for frame in plain))
    yield Compared(
        "evaluation, without policies", "difference", difference, FRAME_TOLERANCE, difference <= FRAME_TOLERANCE
    )
    ratios = [fractions_by_seed(frame[mask]) for frame, mask in zip((here, there), is_policy, strict=True)]
    if not ratios[0].index.equals(ratios[1].index):
        yield Compared("evaluation, policies", "difference", float("inf"), FRAME_TOLERANCE, False)
    elif ratios[0].equals(ratios[1]):
        yield Compared("evaluation, policies", "difference", 0.0, FRAME_TOLERANCE, True)
    else:
        p = same_distribution(ratios[0].to_numpy(), ratios[1].to_numpy())
        yield Compared("evaluation, policies", "distribution", p, SIGNIFICANCE, p > SIGNIFICANCE)


def fractions_by_seed(evaluation: pd.DataFrame) -> pd.DataFrame:
    """Mean fraction of the oracle, one row per condition and one column per seed."""
    means = evaluation.groupby([*CONDITION, "seed"])[["best", "oracle"]].mean()
    return (means["best"] / means["oracle"]).unstack("seed")


def same_distribution(here: np.ndarray, there: np.ndarray, most: int = 20_000) -> float:
    """How probable it is that two sets of seeds, ``[conditions, seeds]`` each, come from one distribution.

    A permutation test: the statistic is the largest over conditions of the difference of means in units of the
    spread within the sets; seeds change sides in all conditions at once, so that conditions may depend on each
    other as they do. All divisions are taken where there are at most ``most``, otherwise that many at random.
    """
    both = np.concatenate([here, there], axis=1)
    seeds, ours = both.shape[1], here.shape[1]

    def statistic(first: np.ndarray) -> float:
        one, other = both[:, first], both[:, np.setdiff1d(np.arange(seeds), first)]
        spread = np.sqrt((one.var(1) + other.var(1)) / 2 + SPREAD_FLOOR**2)
        return float((np.abs(one.mean(1) - other.mean(1)) / spread).max())

    divisions = [np.array(chosen) for chosen in combinations(range(seeds), ours)]
    if len(divisions) > most:
        rng = np.random.default_rng(0)
        divisions = [rng.permutation(seeds)[:ours] for _ in range(most)]
    observed = statistic(np.arange(ours))
    as_large = sum(statistic(chosen) >= observed - 1e-12 for chosen in divisions)
    return as_large / len(divisions)
