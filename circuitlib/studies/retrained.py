"""Policies trained again, as on another processor: does what they find lie where the intervals say?

Both trainings play the same episodes, so that they differ by their seeds alone, and the interval that tests this is Welch's (1947, "The generalization of
'Student's' problem", doi 10.1093/biomet/34.1-2.28), of the difference of two means over seeds: if the two are draws of one distribution, five conditions in a hundred are
told apart by it. A published interval counts other prompts as well; fewer than that leave it.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from circuitlib.studies.evaluate import CONDITION
from circuitlib.studies.intervals import Interval, difference


def beside(published: pd.DataFrame, first: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """One row per condition, those of the index of ``first``. Columns: those of the condition; ratio, low and high, as ``published``; again (the mean over the
    second training's seeds); difference (again - ratio) with its interval by seeds alone (difference_low, difference_high); inside (whether again lies in
    low to high, each widened by the second training's own error over seeds); varies (whether seeds differ in either); correlation (over the
    seeds that both have, which begin with the same weights; missing where they do not vary).

    published: a summary of the first training (:func:`circuitlib.studies.evaluate.summarise`). first, again: fractions of the oracle, rows
    conditions and columns seeds. Raises ``ValueError`` for trainings in other conditions, or of a single seed.
    """
    if not first.index.equals(again.index):
        raise ValueError("the two trainings were not evaluated in the same conditions")
    if min(first.shape[1], again.shape[1]) < 2:
        raise ValueError("of a single seed nothing is known of others: train two at least, both times")
    shown = published.set_index(CONDITION).loc[first.index]
    rows: list[dict[str, Any]] = []
    for condition in first.index:
        one, two = (frame.loc[condition] for frame in (first, again))
        parts = [(x.var() / len(x), len(x) - 1) for x in (one, two)]
        interval = Interval(*shown.loc[condition, ["ratio", "low", "high"]])
        mean, reach = two.mean(), _reach(parts[1:])
        low, high = difference(interval, Interval(mean, mean - reach, mean + reach))[1:]
        row = dict(zip(CONDITION, condition, strict=True)) | interval._asdict() | {"again": mean}
        row |= {"difference": mean - interval.value}
        row |= {
            f"difference_{end}": row["difference"] + sign * _reach(parts) for end, sign in (("low", -1), ("high", 1))
        }
        varies = sum(part for part, _ in parts) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            rows.append(row | {"inside": low <= 0 <= high, "varies": varies, "correlation": one.corr(two)})
    return pd.DataFrame(rows).rename(columns={"value": "ratio"})


def _reach(parts: list[tuple[float, int]]) -> float:
    """Half the 95% interval of a sum, from the variance and the degrees of freedom of each of its parts."""
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    return float(stdtrit(freedom, 0.975) * variance**0.5)


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`beside`, over the conditions in which seeds differ, by what is planned with (planned_k) and in all: how many there are; of them the shares (percent) in the
    published interval as it is (within), in that widened by the second training's error (inside), and told apart by seeds alone
    (told_apart, 5 expected); the largest and the mean difference (points of the oracle, by size) and the mean correlation."""
    varies = table[table["varies"]]
    rows = []
    for name, some in [*varies.groupby("planned_k"), ("all", varies)]:
        apart = (some["difference_low"] > 0) | (some["difference_high"] < 0)
        size = 100 * some["difference"].abs()
        shares = {
            "within": some["again"].between(some["low"], some["high"]),
            "inside": some["inside"],
            "told_apart": apart,
        }
        row: dict[str, Any] = {"planned_k": name, "conditions": len(some)}
        row |= {what: 100 * share.mean() for what, share in shares.items()}
        rows.append(row | {"largest": size.max(), "mean": size.mean(), "correlation": some["correlation"].mean()})
    return pd.DataFrame(rows)
