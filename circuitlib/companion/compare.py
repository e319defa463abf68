"""A run's results beside the committed ones."""

import pandas as pd

from circuitlib.ablation.tables import load_table
from circuitlib.companion.run import Run
from circuitlib.manifest import load_frame

TABLE_TOLERANCE = 1e-4
"""Largest difference of a damage (logits, probability or nats) from the committed one: float rounding."""


RATIO_TOLERANCE = {"policy": 0.10, "random": 0.02, "static prior": 0.02}
"""Largest difference of a mean fraction of the oracle. A policy's training amplifies rounding, so on
another processor it is another draw of the same distribution."""


FRAME_TOLERANCE = 1e-3
"""Largest difference of a measured number in the other tables."""


NOT_COMPARED = ("claims", "evaluation", "training_k1", "training_k5")
"""Tables that are compared in a way of their own, or that record a policy's training step by step."""


def _frame_difference(here: pd.DataFrame, there: pd.DataFrame) -> float:
    """The largest difference of two tables' measured numbers, which are those that are not whole: ranks
    and counts turn on rounding. Infinite when the tables have other rows or columns, or miss other
    numbers."""
    if list(here.columns) != list(there.columns) or len(here) != len(there):
        return float("inf")
    kinds = {name: here[name].dtype.kind + there[name].dtype.kind for name in here.columns}
    numbers = [name for name, kind in kinds.items() if kind in ("ff", "fi", "if")]
    if not here[numbers].isna().equals(there[numbers].isna()):
        return float("inf")
    difference = (here[numbers] - there[numbers]).abs().max().max()
    return 0.0 if pd.isna(difference) else float(difference)


def compare(run: Run) -> pd.DataFrame:
    """The run's results beside the committed ones: result, difference, tolerance, agrees. The difference
    is infinite where the committed results have no such table, or one of another form."""
    committed = Run().folder
    rows: list[tuple[str, float, float]] = []
    for path in sorted(run.folder.glob("damage_*.safetensors")):
        difference = float("inf")
        if (committed / path.name).exists():
            ours, theirs = load_table(path), load_table(committed / path.name)
            if ours.damage.shape == theirs.damage.shape:
                difference = (ours.damage - theirs.damage).abs().max().item()
        rows.append((path.stem, difference, TABLE_TOLERANCE))
    evaluation = run.folder / "evaluation.csv"
    if evaluation.exists():
        key = ["task", "signal", "searcher", "trained_k", "planned_k", "measured"]
        both = [
            load_frame(p).groupby(key)[["best", "oracle"]].mean()
            for p in (evaluation, committed / "evaluation.csv")
        ]
        ratios = [means["best"] / means["oracle"] for means in both]
        same = ratios[0].index.equals(ratios[1].index)
        differences = (ratios[0] - ratios[1]).abs()
        for searcher, tolerance in RATIO_TOLERANCE.items():
            these = differences[differences.index.get_level_values("searcher") == searcher]
            largest = float(these.max()) if same else float("inf")
            rows.append((f"evaluation, {searcher}, fraction of oracle", largest, tolerance))
    for path in sorted(run.folder.glob("*.csv")):
        if path.stem in NOT_COMPARED:
            continue
        difference = float("inf")
        if (committed / path.name).exists():
            difference = _frame_difference(load_frame(path), load_frame(committed / path.name))
        rows.append((path.name, difference, FRAME_TOLERANCE))
    claims = run.folder / "claims.csv"
    if claims.exists():
        verdicts = [
            load_frame(p).set_index("claim")["verdict"] for p in (claims, committed / "claims.csv")
        ]
        here, there = verdicts[0].align(verdicts[1])
        rows.append(("claims.csv, verdicts that differ", float((here != there).sum()), 0.0))
    frame = pd.DataFrame(rows, columns=["result", "difference", "tolerance"])
    return frame.assign(agrees=frame["difference"] <= frame["tolerance"])
