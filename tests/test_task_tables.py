"""The table of tasks says what was measured and whether it was enough, read in another way."""

import math
from typing import Any

import pandas as pd
import pytest
import torch

from circuitlib.companion import task_tables as tables
from circuitlib.companion.legend import task_title
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS

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


def test_prompts_that_are_in_both(embedded: Subject) -> None:
    table: Any = tables.different_table(["ioi", "agreement"], embedded.tokenizer, 64).set_index("task")
    for name, row in table.iterrows():
        drawn = [TASKS[str(name)].prompts(embedded.tokenizer, 64, seed) for seed in (1, 2)]
        texts = [[text for group in groups for text in group.text] for groups in drawn]
        assert row.tolist() == [*(len(set(some)) for some in texts), len([x for x in set(texts[0]) if x in texts[1]])]


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_beginnings(subject: str) -> None:
    measured = load_frame(Run(PUBLISHED[subject]).frame_path("beginnings"))
    table: Any = tables.beginnings_table(measured)
    for row in measured.to_dict("records"):
        shown = table.loc[(row["bos"], row["task"])]
        assert shown["mean metric"] == row["clean"]
        assert shown["of the five best, shared"] == row["shared_5"] or row["shared_5"] != row["shared_5"]


def test_failed_checks() -> None:
    """What was not measured has not failed."""
    columns = ["check", "value", "bar", "passed", "message", "kind"]
    rows = [
        ("one", 1.0, 2.0, False, "too few", "warns"),
        ("two", 1.0, 2.0, True, "", "warns"),
        ("three", 0, 0, None, "", ""),
    ]
    report = pd.DataFrame(rows, columns=columns).astype({"passed": "boolean"})
    failed = tables.failed_checks({"good": report[1:], "bad": report})
    assert failed.to_dict("records") == [
        {"task": "bad", "check": "one", "value": 1.0, "bar": 2.0, "kind": "warns", "message": "too few"}
    ]
    assert tables.failed_checks({"good": report[1:]}).empty


def test_leading_heads() -> None:
    here, other = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    names = ["a", "b", "c", "d", "e", "f"]
    same, turned, shifted = tables.leading_table(
        {"here": here, "turned": other, "more": here * 2 + 1}, names, 2
    ).to_numpy()
    assert same.tolist() == ["here", "a, b", 2, pytest.approx(1)]
    assert turned.tolist() == ["turned", "f, e", 0, pytest.approx(-1)]
    assert shifted.tolist() == ["more", "a, b", 2, pytest.approx(1)]


def test_heads_are_counted() -> None:
    """The most first; of as many, the one that came first."""
    card = Run().card
    assert tables.counted_heads(card, torch.tensor([4, 16, 4, 0, 16, 4])) == "L0.H4 3, L1.H4 2, L0.H0 1"
    assert tables.counted_heads(card, torch.tensor([], dtype=torch.long)) == ""
