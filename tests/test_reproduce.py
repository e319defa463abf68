"""The command: bad options are refused before work starts; progress counts; notebooks run quietly."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from papermill.translators import PythonTranslator

from circuitlib import __main__ as command
from circuitlib.companion import notebooks, reproduce, run
from circuitlib.companion.notebooks import NotebookFailed, clean, execute, execute_in_place, notebook_paths
from circuitlib.companion.progress import Progress
from circuitlib.companion.publish import SECONDS, with_seconds
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.companion.show import PUBLISHES
from circuitlib.paths import ROOT
from circuitlib.search.belief import ESTIMATES
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.control_text import control_paragraphs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "10"], "steps must be at least 400"),
        (["--seeds", "5"], "need --output"),
        (["--notebooks", "42"], "no notebook 42"),
        (["--output", "data/results"], "must be inside runs/"),
        (["--output", "runs/../data"], "must be inside runs/"),
        (["--convention", "centred", "--output", "runs/x"], "convention must be one of"),
        (["--ablation", "noise", "--output", "runs/x"], "ablation must be one of"),
        (["--held-out-task", "poetry", "--output", "runs/x"], "unknown tasks poetry"),
        (["--publish", "--notebooks", "03"], "--publish needs"),
        (["--control", "poems", "--output", "runs/x"], "control must be one of"),
        (["--control", "wikitext-2"], "need --output"),
    ],
)
def test_bad_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["reproduce", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_error_is_one_line_or_where_it_was_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def deep_inside(*some: object) -> None:
        raise TypeError("unsupported operand")

    monkeypatch.setattr(run.Run, "__post_init__", deep_inside)
    assert command.main(["reproduce"]) == 2
    assert capsys.readouterr().err == "python -m circuitlib reproduce: unsupported operand\n"
    with pytest.raises(TypeError, match="unsupported operand") as raised:
        command.main(["reproduce", "--traceback"])
    assert raised.traceback[-1].name == "deep_inside"
    with pytest.raises(SystemExit):
        command.main(["head-damage", "--help"])
    assert "--traceback" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["reproduce", "--subjekt", "x"], ["fly"], ["reproduce", "--seeds", "x"]])
def test_unknown_words(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("subject", "message"), [("gpt2", "no subject 'gpt2'"), ("checkpoint", "no control text wikitext-2")]
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
    monkeypatch.setattr(run, "ROOT", tmp_path)
    control_paragraphs.cache_clear()
    name = str(checkpoint) if subject == "checkpoint" else subject
    kept = Run(Settings(name), "runs/mine").folder / "kept.csv"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert command.main(["reproduce", "--subject", name, "--output", "runs/mine"]) == 2
    assert message in capsys.readouterr().err
    assert kept.exists()


def test_a_beginning_that_is_no_token_is_refused_before_anything_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    kept = Run(Settings(bos="<nobody>"), "runs/mine").folder / "kept.csv"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert command.main(["reproduce", "--bos", "<nobody>", "--output", "runs/mine"]) == 2
    assert "bos must be a token" in capsys.readouterr().err
    assert kept.exists()
    with pytest.raises(ValueError, match="needs an output folder"):
        reproduce.reproduce(Run(), [])


def test_head_damage_from_the_command_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, control = tmp_path / "prompts.csv", tmp_path / "control.txt"
    table = pd.DataFrame({"text": ["The keys near the cabinet"], "right": [" are"], "wrong": [" is"]})
    table.to_csv(prompts, index=False)
    control.write_text("Read the file.\n\nClose the file.\n")
    target = tmp_path / "damage.csv"
    arguments = ["head-damage", str(checkpoint), str(prompts), "--control", str(control)]
    assert command.main([*arguments, "--output", str(target)]) == 0
    frame = pd.read_csv(target)
    assert len(frame) == 15
    assert list(frame)[-2:] == ["general", "reward"]
    assert command.main([*arguments, "--ablation", "mean"]) == 0
    assert "L0.H0" in capsys.readouterr().out
    assert command.main([*arguments, "--convention", "raw", "--bos", "none"]) == 0
    assert command.main([*arguments, "--convention", "centred"]) == 2
    assert command.main(["head-damage", str(checkpoint), str(tmp_path)]) == 2
    lines, picture = tmp_path / "prompts.jsonl", tmp_path / "map.png"
    lines.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")))
    from_lines = ["head-damage", str(checkpoint), str(lines), "--output", str(target)]
    assert command.main([*from_lines, "--plot", str(picture)]) == 0
    assert pd.read_csv(target)["damage"].equals(frame["damage"])
    assert plt.imread(picture).std() > 0.05
    for wrong in (
        ["--plot", str(picture), "--top", "3"],
        ["--plot", str(picture), "--verify", "3"],
        ["--plot", str(tmp_path / "map.csv")],
    ):
        assert command.main([*from_lines, *wrong]) == 2
        assert "--plot m" in capsys.readouterr().err


@pytest.mark.long(minutes=8)
@pytest.mark.parametrize(
    ("held_out", "trained", "further"),
    [("docstring", ("induction", "agreement"), ("pronoun",)), ("ioi", ("induction", "docstring"), ())],
)
def test_every_notebook_is_executed_on_other_tasks(
    held_out: str, trained: tuple[str, ...], further: tuple[str, ...]
) -> None:
    """Without IOI, and with the paper's held-out task among those trained on: no notebook stops where it speaks of a task that the run does not have so."""
    name = f"runs/test-{os.getpid()}-{held_out}"
    tasks = ["--held-out-task", held_out, "--training-tasks", *trained, "--further-tasks", *further]
    small = ["--train-prompts", "32", "--evaluation-prompts", "32", "--seeds", "2", "--steps", "400", "--episodes", "2"]
    try:
        command = [sys.executable, "-m", "circuitlib", "reproduce", *tasks, *small, "--output", name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        executed = [*(ROOT / name / "notebooks").rglob("*.ipynb")]
        assert sorted(path.name for path in executed) == [path.name for path in notebook_paths()]
    finally:
        shutil.rmtree(ROOT / name, ignore_errors=True)


@pytest.mark.long(minutes=4)
def test_a_small_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    """Killed in the middle of its tables, resumed, and equal to a run that was not killed."""
    name = f"runs/test-{os.getpid()}"
    arguments = [sys.executable, "-m", "circuitlib", "reproduce", "--notebooks", "00"]
    small = {"train-prompts": 32, "evaluation-prompts": 32, "seeds": 1, "steps": 400, "episodes": 2}
    arguments += [word for key, value in small.items() for word in (f"--{key}", str(value))]
    arguments += ["--further-tasks", "--output", name]
    folder = ROOT / name
    try:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        began = time.monotonic()
        while not list(folder.glob("results/*/damage_ioi_train.json")) and time.monotonic() - began < 120:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (table,) = folder.glob("results/*/damage_induction_train.safetensors")
        before = table.stat().st_mtime_ns, table.read_bytes()
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert before == (table.stat().st_mtime_ns, table.read_bytes())
        for part in ("docstring, evaluation", "policies", "claims", "notebooks"):
            assert f"{part}: " in done.stdout, "not a terminal: a line per finished part"
        assert "KeyboardInterrupt" not in done.stdout + done.stderr
        assert "\r" not in done.stdout + done.stderr
        assert "IOI, policy trained with k=5, told IOI, after" in done.stdout
        (notebook,) = folder.glob("notebooks/*/00_overview.ipynb")
        assert '"output_type": "error"' not in notebook.read_text()
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_steps_count_what_is_missing() -> None:
    """Of the published run nothing is."""
    steps = list(reproduce.steps(Run(), []))
    assert sum(step.units for step in steps) == 0
    measured = [step.name for step in steps if "estimated" not in step.name]
    assert measured[:3] == ["induction, train", "ioi, train", "control, train"]
    assert len([step for step in steps if step.name.startswith("ioi, train")]) == 3, "and both estimates"
    assert steps[-1].name == "notebooks"


def test_steps_take_every_table_of_the_behaviours_that_a_search_is_learned_on() -> None:
    """What is learned, and the rivals, would otherwise measure them anew, and unseen by the bar."""
    real, mini = Run(Settings(subject=SMOLLM2)), Run()
    names = [[step.name for step in reproduce.steps(run, [], adopt=True)] for run in (real, mini)]
    for name in BEHAVIOURS:
        assert sum(step.startswith(f"{name}, train") for step in names[0]) == 1 + len(ESTIMATES)
        assert not any(step.startswith(f"{name}, ") for step in names[1])
    assert names[0].index(f"{next(iter(BEHAVIOURS))}, train") < names[0].index("policies")
    assert ["transfer" in some for some in names] == [True, False]


def test_a_bar_is_closed_where_its_part_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Progress] = []
    monkeypatch.setattr(Progress, "close", lambda self: closed.append(self))

    def fail(done: object) -> None:
        raise NotebookFailed("its cell 3")

    monkeypatch.setattr(
        reproduce, "steps", lambda *some: iter([reproduce.Step("notebooks", "notebooks", 1, 1.0, fail)])
    )
    with pytest.raises(NotebookFailed):
        reproduce._measure(Run(), [], full=True)
    assert len(closed) == 1


def test_a_notebook_that_fails_is_told_before_others_begin(tmp_path: Path) -> None:
    """But for those that are being executed beside it."""
    begun: list[str] = []
    told: list[str] = []

    def one(path: Path) -> None:
        begun.append(path.stem)
        if path.stem == "1":
            raise NotebookFailed(path.stem)
        time.sleep(0.2)

    with pytest.raises(NotebookFailed, match="1"):
        notebooks._side_by_side(one, [tmp_path / f"{number}.ipynb" for number in range(9)], told.append)
    assert len(begun) <= notebooks.SIDE_BY_SIDE + 1
    begun.clear()
    notebooks._side_by_side(one, [tmp_path / f"{number}.ipynb" for number in (0, 2, 3)], told.append)
    assert sorted(begun) == sorted(told) == ["0", "2", "3"]


def test_kernels_are_told_that_they_publish_where_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = []

    def executed(path: Path, output: Path, parameters: object) -> None:
        found.append(os.environ.get(PUBLISHES))
        nbformat.write(nbformat.v4.new_notebook(), output)

    monkeypatch.setattr(notebooks, "_papermill", executed)
    path, mine = tmp_path / "01_any.ipynb", Run(Settings(), "runs/mine")
    execute_in_place([path])
    monkeypatch.setattr(run, "ROOT", tmp_path)
    execute([path], mine)
    assert found == ["1", None]
    assert PUBLISHES not in os.environ


def test_progress_counts_units_and_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(30.0)
    with progress.part("table", "tables", weight=2.0) as done:
        done(4)
        done(1)
    with progress.part("other table", "tables", weight=20.0) as done:
        done(1)
    progress.close()
    assert progress.done == 30.0
    assert set(progress.seconds) == {"tables"}
    out = capsys.readouterr()
    assert [line.partition(":")[0] for line in out.out.splitlines()] == ["table", "other table"]
    assert out.err == ""


def test_notebooks_run_quietly_but_what_they_say_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No line of a kernel's own, neither of its connection nor of its end; other words stay."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cells = [
        nbformat.v4.new_code_cell("settings = {}\noutput = ''", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "import os, sys; sys.__stderr__.write('heard')\n"
            "settings.get('seeds', 0), output, os.environ['OMP_NUM_THREADS']"
        ),
    ]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path = tmp_path / "01_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    mine, finished = Run(Settings(seeds=2), "runs/test"), list[str]()
    execute([path], mine, finished.append)
    assert finished == ["01_small"]
    executed = nbformat.read(mine.notebooks / path.name, as_version=4)
    assert executed.cells[-1].outputs[-1]["data"]["text/plain"] == "(2, 'runs/test', '1')"
    execute_in_place([path])
    in_place = nbformat.read(path, as_version=4)
    assert in_place.cells[-1].outputs[-1]["data"]["text/plain"] == "(0, '', '1')"
    assert len(in_place.cells) == 2
    assert "papermill" not in path.read_text()
    assert capfd.readouterr().err == "heardheard"
    assert "OMP_NUM_THREADS" not in os.environ


def test_settings_reach_a_notebook_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through what papermill writes into its first cell: tuples, empty ones too, words and numbers."""
    written: list[str] = []

    def keep(path: Path, output: Path, parameters: dict[str, object] | None) -> None:
        written.append(PythonTranslator.codify(parameters))

    monkeypatch.setattr(notebooks, "_papermill", keep)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    settings = Settings(training_tasks=("ioi",), further_tasks=(), penalty=0.5, seeds=2, check_tasks=False)
    notebooks.execute([Path("00_overview.ipynb")], Run(settings, "runs/mine"))
    values: dict[str, Any] = {}
    exec(written[0], values)
    assert Run.of(values["settings"], values["output"]) == Run(settings, "runs/mine")


def test_no_such_notebook() -> None:
    with pytest.raises(ValueError, match="no notebook 42; there are 00, 01"):
        notebook_paths(["42"])


def test_cleaning_leaves_nothing_that_differs_between_runs() -> None:
    cell = nbformat.v4.new_code_cell(
        "1", metadata={"papermill": {"duration": 3}, "execution": {}, "tags": ["parameters"]}
    )
    language = {"name": "python", "version": "3.12"}
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"papermill": {"start_time": "now"}, "language_info": language}
    )
    cleaned = clean(notebook)
    assert cleaned.cells[0].metadata == {"tags": ["parameters"]}
    assert set(cleaned.metadata) == {"kernelspec", "language_info"}
    assert cleaned.cells[0]["id"] == "cell-00"


def test_a_text_that_is_cut_on_its_way_is_one_text() -> None:
    """And stays before or after what is shown."""

    def said(text: str, name: str = "stdout") -> nbformat.NotebookNode:
        return nbformat.v4.new_output("stream", name=name, text=text)

    table = nbformat.v4.new_output("display_data", data={"text/plain": "table"})
    outputs = [said("a\n"), said("b\n"), table, said("c"), said("d"), said("e", "stderr"), said("f")]
    notes = nbformat.v4.new_markdown_cell("text")
    cell = clean(nbformat.v4.new_notebook(cells=[notes, nbformat.v4.new_code_cell("1", outputs=outputs)])).cells[1]
    assert [output.get("text") for output in cell.outputs] == ["a\nb\n", None, "cd", "e", "f"]


def test_readme_shows_the_recorded_seconds() -> None:
    readme = (ROOT / "README.md").read_text()
    seconds = json.loads(SECONDS.read_text())
    assert with_seconds(readme, seconds) == readme
    assert f"| {reproduce.IN_ALL} | {seconds[reproduce.IN_ALL]} |" in readme
    with pytest.raises(ValueError, match="must hold <!-- seconds -->"):
        with_seconds("no marks", seconds)
