"""A second published subject: drawn beside the first, and reproduced from its committed tables."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from circuitlib.ablation.tables import DamageTable, load_table, save_table
from circuitlib.companion import compare, frames, publish, reproduce, run, show
from circuitlib.companion.notebooks import notebook_paths
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED, Settings
from circuitlib.manifest import StaleResult, load_frame, read_provenance, restamp, save_frame
from circuitlib.paths import RESULTS
from circuitlib.subjects.checkpoints import SMOLLM2

pytestmark = pytest.mark.long

SMALL = {"check_tasks": False, "further_tasks": (), "train_prompts": 32, "evaluation_prompts": 32, "episodes": 2}


@pytest.fixture(scope="module")
def measured(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A small run of a small model, measured once: its settings, and where its results are."""
    folder = tmp_path_factory.mktemp("published")
    settings = Settings(str(checkpoint), control="docstrings", seeds=1, steps=400, **SMALL)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "ROOT", folder)
        one = Run(settings, "runs/measured")
        reproduce.reproduce(one, [])
        return settings, one.folder


@pytest.fixture
def second(measured: tuple[Settings, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """That run, its results committed in a folder of the test's own, beside the embedded subject's."""
    (settings, folder), results = measured, tmp_path / "data" / "results"
    shutil.copytree(RESULTS / "gpt2-mini", results / "gpt2-mini")
    shutil.copytree(folder, results / folder.name)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "RESULTS", results)
    monkeypatch.delitem(PUBLISHED, SMOLLM2)
    monkeypatch.setitem(PUBLISHED, settings.subject, settings)
    return Run(settings)


def test_it_stands_beside_the_first(second: Run) -> None:
    first = Run()
    assert first.beside() == [first, second]
    assert second.beside() == [second, first]
    mine = Run(Settings(seeds=2), "runs/mine")
    assert mine.beside() == [mine]
    shown = []
    for one, folder in show.each(first):
        shown.append((one.card.name, folder, show.subject_name()))
    assert shown == [
        (first.card.name, first.figures, first.card.name),
        (second.card.name, first.figures / second.card.name, second.card.name),
    ]
    assert show.subject_name() == first.card.name
    alone = Run(Settings(), "runs/x")
    assert alone.beside() == [alone], "what is measured anew may be of other code than what is committed"


def test_its_tables_are_adopted_after_a_few_rows(
    second: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is swept whole, slow frames are taken, policies are trained anew, and everything agrees."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("a table or a slow frame is measured whole")

    monkeypatch.setattr(run, "build_table", refuse)
    for measure in (
        "measure_behaviours",
        "measure_beginnings",
        "measure_pairs",
        "measure_backup",
        "measure_conventions",
        "measure_kinds",
    ):
        monkeypatch.setattr(frames, measure, refuse)
    again = again_of(second)
    reproduce.reproduce(again, [])
    assert (
        "committed tables are measured again on 8 rows each; taken as committed: behaviours, beginnings, pairs, "
        "backup, conventions, kinds, circuits" in capsys.readouterr().out
    )
    assert compare.compare(again, second)["agrees"].all()
    assert reproduce.report(again, {})
    said = capsys.readouterr().out
    assert (
        "as they are, what was learned and behaviours.csv, beginnings.csv, pairs.csv, backup.csv, conventions.csv, kinds.csv, circuits.csv; --full"
        in said
    )
    compared = said.partition("against the committed results")[2]
    assert "heads.csv" in compared
    assert "damage_" not in compared
    assert "pairs.csv" not in compared
    pairs = again.folder / "pairs.csv"
    save_frame(pairs, load_frame(pairs).assign(interaction=7.0), read_provenance(pairs))
    assert not reproduce.report(again, {}), "what is not the committed frame was not taken, and is compared"
    assert again.policy_path(1).is_file()
    with pytest.raises(StaleResult, match="full is False, wanted True"):
        reproduce.reproduce(again, [], full=True)
    with pytest.raises(AssertionError, match="measured whole"):
        reproduce.reproduce(again, [], full=True, fresh=True)


def test_notebooks_that_measure_are_executed_on_it_only_when_asked_for(second: Run) -> None:
    def numbers(run: Run, chosen: Sequence[str] = (), full: bool = False) -> list[str]:
        return [path.name[:2] for path in reproduce.notebooks_of(run, chosen, full)]

    again, every = again_of(second), [path.name[:2] for path in notebook_paths()]
    assert numbers(again) == [number for number in every if number not in reproduce.LIVE]
    assert set(reproduce.LIVE) < set(every)
    assert numbers(again, ["03", "11"]) == ["03", "11"]
    assert numbers(again, full=True) == numbers(Run(Settings(), "runs/again")) == every


def again_of(published: Run) -> Run:
    return Run(published.settings, "runs/again")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda table: {"damage": table.damage + 0.01}, r"1\.0e-02"),
        (lambda table: {"damage": table.damage * torch.nan}, "nan"),
        (lambda table: {"clean": table.clean * torch.nan}, "nan"),
    ],
)
def test_a_committed_table_that_is_not_so_is_refused(
    change: Callable[[DamageTable], Mapping[str, Any]], difference: str, second: Run
) -> None:
    path = second.table_path("ioi", "evaluation")
    table = load_table(path)
    save_table(replace(table, **change(table)), path)
    again = again_of(second)
    with pytest.raises(StaleResult, match=f"rows measured again differ from the committed ones by up to {difference}"):
        again.adopted_table("ioi", "evaluation")
    save_table(table, path)
    again.adopted_table("ioi", "evaluation")


@pytest.mark.parametrize("kept", [0, 9])
def test_a_committed_result_that_is_not_whole_is_to_be_restored(kept: int, second: Run) -> None:
    """Not measured again, which may take hours, and which would leave it as it is."""
    again, path = again_of(second), second.table_path("ioi", "evaluation")
    for broken in (path, path.with_suffix(".json"), second.folder / "pairs.csv", second.folder / "pairs.json"):
        content = broken.read_bytes()
        broken.unlink()
        broken.write_bytes(content[:kept])
        with pytest.raises(
            ValueError, match=rf"{broken.parent}/\w+\.\w+ is committed, and corrupt.*{broken.name} is cor"
        ):
            again.adopted_table("ioi", "evaluation") if broken.stem == path.stem else again.adopt_frame(
                "pairs", frames.SLOW["pairs"]
            )
        broken.write_bytes(content)


def test_a_slow_frame_of_other_code_is_not_taken(second: Run) -> None:
    path = second.folder / "pairs.csv"
    restamp(path, read_provenance(path) | {"code": "another"})
    again = again_of(second)
    taken = [name for name, module in frames.SLOW.items() if again.adopt_frame(name, module)]
    assert taken == ["behaviours", "beginnings", "backup", "conventions", "kinds", "circuits"]
    assert not (again.folder / "pairs.csv").exists()
    for name in taken:
        assert (again.folder / f"{name}.csv").read_bytes() == (second.folder / f"{name}.csv").read_bytes()


def test_what_a_run_does_not_measure_is_published_still(tmp_path: Path) -> None:
    """Where the run has none of its own, and with its manifest; all else is the run's."""
    target, source = tmp_path / "committed", tmp_path / "run"
    frame = pd.DataFrame({"a": [1.5]})
    for folder, value in ((target, 1.0), (source, 2.0)):
        for name in ("kept.csv", "both.csv", "heads.csv"):
            if (folder, name) not in ((source, "kept.csv"), (target, "heads.csv")):
                save_frame(folder / name, frame * value, {"code": name})
    save_frame(target / "gone.csv", frame, {"code": "gone"})
    save_frame(target / "inside" / "too.csv", frame, {"code": "inside"})
    publish._replace_folder(target, source, ["kept.csv", "both.csv", "nowhere.csv", "inside/too.csv"])
    found = {str(path.relative_to(target)): load_frame(path)["a"].item() for path in target.rglob("*.csv")}
    assert found == {"kept.csv": 1.5, "both.csv": 3.0, "heads.csv": 3.0, "inside/too.csv": 1.5}


def test_publishing_waits_until_all_results_are_of_this_code(
    second: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executed: list[list[Path]] = []
    monkeypatch.setattr(publish, "execute_in_place", executed.append)
    measured = Run(second.settings, "runs/measured")
    before = read_provenance(second.folder / "heads.csv")
    restamp(second.folder / "heads.csv", before | {"code": "another"})
    monkeypatch.setattr(publish, "_replace_folder", lambda target, source, kept: None)
    monkeypatch.setattr(publish, "STUDIES", ())
    publish.publish(measured, None)
    assert "once " in capsys.readouterr().out
    restamp(second.folder / "heads.csv", before)
    publish.publish(measured, None)
    assert len(executed) == 1
