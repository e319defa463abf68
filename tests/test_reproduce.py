"""The command: bad options are refused before work starts, and disagreement is noticed."""

import json
import os
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from circuitlib.ablation.tables import DamageTable, load_table, save_table
from circuitlib.companion import reproduce
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import file_hash, load_frame
from circuitlib.paths import RESULTS, ROOT
from circuitlib.tasks.control_text import control_paragraphs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "10"], "steps must be at least 400"),
        (["--seeds", "4"], "need --output"),
        (["--notebooks", "42"], "no notebook 42"),
        (["--output", "data/results"], "must be inside runs/"),
        (["--output", "runs/../data"], "must be inside runs/"),
        (["--convention", "centred", "--output", "runs/x"], "convention must be one of"),
        (["--publish", "--notebooks", "03"], "--publish needs"),
        (["--control", "poems", "--output", "runs/x"], "control must be one of"),
        (["--control", "wikitext-2"], "need --output"),
    ],
)
def test_bad_options(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        reproduce.parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_default_options_are_the_default_run() -> None:
    options, settings = reproduce.parse([])
    assert settings == Settings()
    assert options.output == "runs/default"


@pytest.mark.parametrize(
    ("subject", "message"),
    [("gpt2", "no subject 'gpt2'"), ("checkpoint", "no control text wikitext-2")],
)
def test_what_cannot_be_had_is_refused_before_anything_is_removed(
    subject: str,
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("circuitlib.tasks.control_text.CACHE", tmp_path / "cache")
    monkeypatch.setattr("circuitlib.companion.run.ROOT", tmp_path)
    control_paragraphs.cache_clear()
    name = str(checkpoint) if subject == "checkpoint" else subject
    kept = Run(Settings(name), True, "runs/mine").folder / "kept.csv"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert reproduce.main(["--subject", name, "--output", "runs/mine"]) == 2
    assert message in capsys.readouterr().err
    assert kept.exists()


def test_what_needs_another_runs_after_it() -> None:
    lanes = reproduce.Lanes.of(reproduce.notebook_paths())
    numbers = [[path.name[:2] for path in lane] for lane in (lanes.first, lanes.beside, lanes.then)]
    assert numbers == [["03"], ["01", "02", "09", "10"], ["04", "05", "06", "07", "08", "00"]]
    seconds = {path.stem: 10.0 for path in reproduce.notebook_paths()}
    assert lanes.expected(seconds) == 100
    assert lanes.expected({}) == 600
    some = reproduce.Lanes.of([Path("08_c.ipynb"), Path("09_b.ipynb")])
    assert (len(some.first), len(some.beside), len(some.then)) == (0, 1, 1)


def test_notebooks_run_quietly_but_what_they_say_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A kernel warns on the terminal of a connection that is not encrypted; other words stay."""
    monkeypatch.setattr("circuitlib.companion.run.ROOT", tmp_path)
    cells = [
        nbformat.v4.new_code_cell("episodes = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import sys; sys.__stderr__.write('heard'); episodes"),
    ]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path = tmp_path / "01_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    run = Run(Settings(), True, "runs/test")
    seconds = reproduce.execute([path], run)
    reproduce.execute_in_place([path])
    said = capfd.readouterr().err
    assert "encryption" not in said
    assert "heard" in said
    assert list(seconds) == ["01_small", "in all"]
    executed = nbformat.read(run.notebooks / path.name, as_version=4)
    assert executed.cells[-1].outputs[-1]["data"]["text/plain"] == "30"


def test_readme_shows_the_recorded_seconds() -> None:
    readme = (ROOT / "README.md").read_text()
    seconds = json.loads(reproduce.SECONDS.read_text())
    assert reproduce.with_seconds(readme, seconds) == readme
    assert f"| in all | {seconds[reproduce.IN_ALL]} |" in readme
    with pytest.raises(ValueError, match="must hold <!-- seconds -->"):
        reproduce.with_seconds("no marks", seconds)


def test_cleaning_leaves_nothing_that_differs_between_runs() -> None:
    cell = nbformat.v4.new_code_cell(
        "1", metadata={"papermill": {"duration": 3}, "execution": {}, "tags": ["parameters"]}
    )
    notebook = nbformat.v4.new_notebook(
        cells=[cell],
        metadata={
            "papermill": {"start_time": "now"},
            "language_info": {"name": "python", "version": "3.12"},
        },
    )
    cleaned = reproduce.clean(notebook)
    assert cleaned.cells[0].metadata == {"tags": ["parameters"]}
    assert set(cleaned.metadata) == {"kernelspec", "language_info"}
    assert cleaned.cells[0]["id"] == "cell-00"


@pytest.fixture
def copied_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("circuitlib.companion.run.ROOT", tmp_path)
    run = Run(Settings(), True, "runs/default")
    shutil.copytree(RESULTS / "gpt2-mini", run.folder)
    return run


def test_the_committed_results_agree_with_themselves(copied_run: Run) -> None:
    comparison = reproduce.compare(copied_run)
    assert comparison["agrees"].all()
    assert len(comparison) > 12


def test_a_difference_is_noticed(copied_run: Run) -> None:
    path = copied_run.folder / "damage_ioi_train.safetensors"
    table = load_table(path)
    damage = table.damage.clone()
    damage[5, 7] += 1e-3
    save_table(DamageTable(table.clean, damage, table.provenance), path)
    comparison = reproduce.compare(copied_run).set_index("result")
    assert not comparison.loc["damage_ioi_train", "agrees"]
    assert comparison["agrees"].sum() == len(comparison) - 1


def _change(path: Path, frame: pd.DataFrame) -> None:
    """Write another table, and the manifest that goes with it."""
    frame.to_csv(path, index=False)
    manifest = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(manifest | {"content": file_hash(path)}))


def test_every_other_table_is_compared_too(copied_run: Run) -> None:
    for name, column, change in (
        ("heads", "share", 0.01), ("pairs", "interaction", 0.01), ("detections", "score", 1e-5),
    ):  # fmt: skip
        path = copied_run.folder / f"{name}.csv"
        frame = load_frame(path)
        _change(path, frame.assign(**{column: frame[column] + change}))
    path = copied_run.folder / "behaviours.csv"
    _change(path, load_frame(path).iloc[1:])
    for suffix in (".csv", ".json"):
        shutil.copy(path.with_suffix(suffix), path.with_name(f"new_study{suffix}"))
    comparison = reproduce.compare(copied_run).set_index("result")
    assert list(comparison.index[~comparison["agrees"]]) == [
        "behaviours.csv", "heads.csv", "new_study.csv", "pairs.csv",
    ]  # fmt: skip
    assert comparison.loc["heads.csv", "difference"] == pytest.approx(0.01, rel=1e-3)
    assert comparison.loc["new_study.csv", "difference"] == float("inf")


def test_environment_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOSEN_BY_THE_USER", "ACTIVE")
    monkeypatch.delenv("NOT_CHOSEN", raising=False)
    with reproduce._environment({"CHOSEN_BY_THE_USER": "PASSIVE", "NOT_CHOSEN": "1"}):
        assert os.environ["CHOSEN_BY_THE_USER"] == "ACTIVE"
        assert os.environ["NOT_CHOSEN"] == "1"
    assert os.environ["CHOSEN_BY_THE_USER"] == "ACTIVE"
    assert "NOT_CHOSEN" not in os.environ
