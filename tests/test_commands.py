"""Tables with a command of their own: each is measured by the function of its name, and resumes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_run import small_run

from circuitlib import __main__ as command
from circuitlib.companion import other_ablations as study
from circuitlib.companion import run as runs
from circuitlib.companion import training_ways
from circuitlib.companion.claims import claims
from circuitlib.companion.commands import STUDIES
from circuitlib.companion.legend import task_title
from circuitlib.companion.other_ablations import KINDS, SHOWN, other_ablations, side_by_side
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT, PUBLISHED, Settings
from circuitlib.manifest import StaleResult, load_frame, read_provenance, save_frame
from circuitlib.search.episodes import BATCH
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2

CHANGED = ("train_prompts", "evaluation_prompts", "seeds", "further_tasks")
"""Settings that compared ablations of SmolLM2 have of their own."""


@pytest.mark.parametrize("one", STUDIES, ids=lambda one: one.name)
def test_a_study_has_a_command_and_a_place(one: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the subjects that are published."""
    assert callable(one._of_module(one.name))
    assert callable(one._of_module("in_short"))
    assert set(one.subjects) <= set(PUBLISHED)
    with pytest.raises(SystemExit):
        command.main([one.command, "--help"])
    assert one.output in capsys.readouterr().out
    assert command.main([one.command, "--output", "elsewhere"]) == 2
    assert "--output must be inside runs/" in capsys.readouterr().err


def test_a_command_reads_what_its_folder_holds_and_prints_it_in_short(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a folder with the committed results, where nothing is left to be trained."""
    monkeypatch.setattr(training_ways, "in_processes", lambda *jobs: pytest.fail("what is there is measured again"))
    mine = Run(Settings(), "runs/x")
    shutil.copytree(Run().folder, mine.folder)
    before = {path: path.read_bytes() for path in elsewhere.rglob("*.*")}
    assert command.main(["training-ways", "--output", "runs/x"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    wanted = training_ways.in_short(training_ways.published(EMBEDDED))
    assert [row.split()[-1] for row in rows[1:]] == [
        f"{value:.2f}" if value == value else "NaN" for value in wanted.iloc[:, -1]
    ]
    assert rows[0].split() == list(wanted.columns)
    assert last == f"whole: {mine.folder / 'training_ways.csv'}"
    assert {path: path.read_bytes() for path in before} == before


def test_fewer_prompts_where_tables_take_hours() -> None:
    """With zeros, too; never more than the run has; enough that training episodes differ; and no claim is about what is left out."""
    whole, few = PUBLISHED[SMOLLM2], study.compared(PUBLISHED[SMOLLM2])
    assert (few.train_prompts, few.evaluation_prompts, few.seeds, few.further_tasks) == (64, 48, KEPT, ())
    assert few == replace(whole, **{name: getattr(few, name) for name in CHANGED})
    assert few.train_prompts > BATCH
    assert few.evaluation_prompts > BATCH
    assert study.compared(replace(whole, train_prompts=40)).train_prompts == 40
    assert study.compared(PUBLISHED[EMBEDDED]) == replace(PUBLISHED[EMBEDDED], seeds=KEPT)
    said = load_frame(Run(whole).frame_path("claims"))["claim"].tolist()
    assert [claim for claim in said if task_title(whole.held_out_task) in claim]
    assert not [claim for claim in said for task in whole.further_tasks if task_title(task).lower() in claim.lower()]


@pytest.mark.long
def test_the_ledger_under_every_ablation(checkpoint: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a small run: each ledger is that of a run of its own; what is there is not measured again; a verdict that turns is told."""
    monkeypatch.setattr(study, "KEPT", 2)
    mine = small_run(elsewhere, str(checkpoint), "runs/mine", seeds=2, steps=400)
    table = other_ablations(mine)
    assert table["ablation"].unique().tolist() == [*KINDS]
    own = claims(mine)[SHOWN]
    assert table.query("ablation == 'zero'")[SHOWN].reset_index(drop=True).equals(own), (
        "as many seeds, the same settings"
    )
    by_kind = table.set_index(["ablation", "claim"])["ours"].unstack("ablation")
    assert not by_kind["mean"].equals(by_kind["zero"])
    assert not by_kind["mean"].equals(by_kind["resample"])

    def refuse(*arguments: object) -> None:
        raise AssertionError("what is there is measured again")

    path = mine.frame_path("other_ablations")
    with monkeypatch.context() as patch:
        patch.setattr(runs, "build_table", refuse)
        patch.setattr(runs, "train_policies", refuse)
        path.unlink()
        path.with_suffix(".json").unlink()
        assert other_ablations(mine).equals(table)

    beside = side_by_side(mine)
    assert beside["verdict"].tolist() == own["verdict"].tolist()
    assert not (
        beside["turns"]
        & (beside["verdict_mean"] == beside["verdict_zero"])
        & (beside["verdict_resample"] == beside["verdict_zero"])
    ).any()
    changed, claim = load_frame(path), own["claim"][0]
    changed.loc[(changed["ablation"] == "mean") & (changed["claim"] == claim), "verdict"] = "another"
    save_frame(path, changed, read_provenance(path))
    assert side_by_side(mine).set_index("claim").loc[claim, "turns"]
    save_frame(path, changed[changed["claim"] != claim], read_provenance(path))
    with pytest.raises(StaleResult, match="other claims"):
        side_by_side(mine)
