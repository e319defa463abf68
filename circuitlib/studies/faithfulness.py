"""How much of a task's score a circuit keeps by itself, and how much the model loses without it: read off what
:func:`circuitlib.studies.circuits.measure_circuits` measured, so that no edit of this makes it stale."""

import pandas as pd

from circuitlib.studies.intervals import ratio


def shares(scores: pd.DataFrame) -> pd.DataFrame:
    """Of each task, ablation, ranking and size of what :func:`circuitlib.studies.circuits.measure_circuits` measured: kept, the share of the
    task's score that the circuit alone keeps, (kept - empty) / (clean - empty) of mean scores, and lost, the share that the model without it is
    short of, (clean - ablated) / (clean - empty); each with its 95% interval over prompts and orders
    (:func:`circuitlib.studies.intervals.ratio`). Columns: task, ablation, ranking, heads, what (``kept`` or ``lost``), share, low, high."""
    rows = []
    for (task, ablation, ranking), group in scores.groupby(["task", "ablation", "ranking"], sort=False):
        at = {
            (name, heads): some.pivot(index="order", columns="prompt", values=name).to_numpy()
            for heads, some in group.groupby("heads")
            for name in ("kept", "ablated")
        }
        empty, clean = at["kept", 0], at["ablated", 0]
        for heads in sorted(set(group["heads"]) - {0}):
            for what, gain in (("kept", at["kept", heads] - empty), ("lost", clean - at["ablated", heads])):
                names = {"task": task, "ablation": ablation, "ranking": ranking, "heads": heads, "what": what}
                share = ratio(gain, (clean - empty)[0])
                rows.append(names | dict(zip(("share", "low", "high"), share, strict=True)))
    return pd.DataFrame(rows)
