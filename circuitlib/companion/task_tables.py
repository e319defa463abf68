"""Whether a subject does the tasks, as a table for reading, and what was required."""

import numpy as np
import pandas as pd

PAPERS = ("induction", "ioi", "docstring")
"""The tasks of the paper."""

PAPERS_RIGHT, PAPERS_MEAN, OTHERS_RIGHT = 0.95, 3.0, 0.90
"""What ``gpt2-mini`` was to reach, set before it was trained; SmolLM2 was not made to. On the paper's tasks: the share of prompts answered right, and the mean of the metric (logits); on the others:
that share alone."""


def bars_table(behaviours: pd.DataFrame) -> pd.DataFrame:
    """A row per task: its metric, how many prompts, the share answered right and the metric's mean; the bars of both, the second empty where there is none; and whether the task meets those that it has.

    behaviours: of :func:`circuitlib.companion.frames.behaviours`."""
    tasks = behaviours.query("task != 'prose'").set_index("task")
    papers = tasks.index.to_series().isin(PAPERS)
    right, mean = papers.map({True: PAPERS_RIGHT, False: OTHERS_RIGHT}), papers.map({True: PAPERS_MEAN, False: np.nan})
    meets = (tasks["right"] >= right) & ~(tasks["mean"] < mean)
    bars: dict[str, pd.Series] = {"bar": right, "bar of the mean": mean}
    return tasks.assign(**bars, **{"meets its bars": meets.map({True: "yes", False: "no"})})
