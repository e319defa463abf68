"""The table of tasks says what was measured and whether it was enough, read in another way."""

import math
from typing import Any

import pandas as pd
import pytest

from circuitlib.companion import task_tables as tables
from circuitlib.companion.legend import task_title
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2

MEASURED = ["metric", "prompts", "right", "mean"]


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_what_a_subject_does(subject: str) -> None:
    run = Run(PUBLISHED[subject])
    measured = load_frame(run.frame_path("behaviours"))
    table: Any = tables.bars_table(measured)
    assert [*table.index] == [*run.tasks]
    for row in measured.to_dict("records")[:-1]:
        shown = table.loc[row["task"]]
        assert shown[MEASURED].tolist() == [row[name] for name in MEASURED]
        papers = row["task"] in ("induction", "ioi", "docstring")
        enough = row["right"] >= 0.95 and row["mean"] >= 3 if papers else row["right"] >= 0.9
        assert shown["meets its bars"] == ("yes" if enough else "no")


def test_bars_are_those_of_the_model_card() -> None:
    card = (SUBJECTS / EMBEDDED / "README.md").read_text()
    table = tables.bars_table(load_frame(Run().frame_path("behaviours")))
    for task, right, mean in table[["bar", "bar of the mean"]].itertuples():
        bars = f"{right:.0%}" if math.isnan(mean) else f"{right:.0%}, {mean:.0f} logits"
        lines = [line for line in card.splitlines() if line.startswith(f"| {task_title(task)} |")]
        assert any(line.endswith(f"| {bars} |") for line in lines)


@pytest.mark.parametrize(
    ("task", "right", "mean", "word"),
    [
        ("ioi", 0.95, 3.0, "yes"),
        ("ioi", 0.94, 3.0, "no"),
        ("ioi", 1.0, 2.9, "no"),
        ("pronoun", 0.9, 0.1, "yes"),
        ("pronoun", 0.89, 9.0, "no"),
    ],
)
def test_on_either_side_of_the_bars(task: str, right: float, mean: float, word: str) -> None:
    rows = pd.DataFrame([(task, "logit difference", 8, right, mean)], columns=["task", *MEASURED])
    assert tables.bars_table(rows)["meets its bars"].tolist() == [word]
