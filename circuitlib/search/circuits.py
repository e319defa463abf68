"""What circuits keep of a task's score, and what a model is short of without them, with intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from circuitlib.ablation.circuits import Rankings, measure_circuits
from circuitlib.ablation.engine import AblationKind
from circuitlib.search.intervals import fraction
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.load import Subject


def measure_shares(
    subject: Subject,
    rankings: Mapping[str, Rankings],
    sizes: Sequence[int],
    count: int,
    seed: int,
    kind: AblationKind,
    text: Text,
) -> pd.DataFrame:
    """:func:`shares` of what :func:`circuitlib.ablation.circuits.measure_circuits` measures."""
    return shares(measure_circuits(subject, rankings, sizes, count, seed, kind, text))


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each task, ranking and size: kept, the share of the task's score that the circuit alone keeps, (kept - empty) / (clean - empty)
    of mean scores, and lost, the share that the model without it is short of, (clean - ablated) / (clean - empty); each with its 95%
    interval over prompts (and random orders; :func:`circuitlib.search.intervals.fraction`). Columns: task, ranking, heads, what (``kept`` or
    ``lost``), share, low, high."""
    rows = []
    for (task, ranking, heads), group in frame.groupby(["task", "ranking", "heads"], sort=False):
        score = {
            name: group.pivot(index="order", columns="prompt", values=name).to_numpy()
            for name in ("kept", "ablated", "clean", "empty")
        }
        whole = (score["clean"] - score["empty"])[0]
        for what, gain in (("kept", score["kept"] - score["empty"]), ("lost", score["clean"] - score["ablated"])):
            # Against nothing, since a share may be above one.
            share = fraction(gain, whole, None, against=np.zeros_like(gain))
            names = {"task": task, "ranking": ranking, "heads": heads, "what": what}
            rows.append(names | dict(zip(("share", "low", "high"), share, strict=True)))
    return pd.DataFrame(rows)
