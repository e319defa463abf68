"""The command: bad options are refused before work starts, and disagreement is noticed."""

import shutil
from pathlib import Path

import nbformat
import pytest

from circuitlib import reproduce
from circuitlib.damage import DamageTable, load_table, save_table
from circuitlib.paths import RESULTS
from circuitlib.results import Run, Settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "10"], "steps must be at least 400"),
        (["--seeds", "5"], "need --output"),
        (["--notebooks", "42"], "no notebook 42"),
        (["--output", "data/results"], "must be inside runs/"),
        (["--output", "runs/../data"], "must be inside runs/"),
        (["--convention", "centred", "--output", "runs/x"], "convention must be one of"),
        (["--publish", "--notebooks", "03"], "--publish needs"),
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


def test_overview_is_executed_last() -> None:
    paths = reproduce.execution_order(reproduce.notebook_paths())
    assert [path.name[:2] for path in paths] == ["01", "02", "03", "04", "05", "06", "07", "00"]


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
    monkeypatch.setattr("circuitlib.results.ROOT", tmp_path)
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
