"""Nothing that was measured is lost: runs that are killed, run twice at once, find half a result, or no room on the disk."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from errno import EDQUOT, EIO, ENOSPC, EROFS
from multiprocessing import get_context
from pathlib import Path
from textwrap import dedent
from threading import Thread, Timer
from typing import Any

import nbformat
import pandas as pd
import psutil
import pytest
import torch
from kill_runs import kill_runs, results
from safetensors import SafetensorError
from small_run import small_run

from circuitlib import __main__ as command
from circuitlib.companion import reproduce, run, training, training_ways
from circuitlib.companion.aside import ASIDE, is_whole, remove_left_behind
from circuitlib.companion.locks import InUse, alone, in_turn
from circuitlib.companion.notebooks import NotebookFailed, _papermill
from circuitlib.companion.run import Run
from circuitlib.companion.training import Training
from circuitlib.manifest import as_json, is_stored, load_frame, manifest_path, save_frame, short_hash
from circuitlib.paths import ROOT
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.studies import training_ways as ways
from circuitlib.studies.training_ways import Way

Break = Callable[[Path], object]


def _put(path: Path, content: bytes) -> None:
    """Another file of that name: tensors that were read lie in the old one still."""
    path.unlink()
    path.write_bytes(content)


BREAKS: dict[str, Break] = {
    "without its manifest": lambda path: manifest_path(path).unlink(),
    "a manifest alone": lambda path: path.unlink(),
    "cut short": lambda path: _put(path, path.read_bytes()[:-1]),
    "empty": lambda path: _put(path, b""),
    "with an empty manifest": lambda path: manifest_path(path).write_bytes(b""),
    "with half a manifest": lambda path: manifest_path(path).write_bytes(manifest_path(path).read_bytes()[:99]),
}


@pytest.fixture
def tiny(small: dict[str, Path], elsewhere: Path) -> Run:
    """A run of a tiny Llama, with nothing measured."""
    return small_run(elsewhere, str(small["llama"]), "runs/mine")


# What is not whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", BREAKS)
def test_half_a_result_is_named_set_aside_and_measured_again(how: str, tiny: Run) -> None:
    table, path = tiny.table("ioi", "train"), tiny.table_path("ioi", "train")
    whole = path.read_bytes(), manifest_path(path).read_bytes()
    BREAKS[how](path)
    left = {file.name: file.read_bytes() for file in (path, manifest_path(path)) if file.exists()}
    with pytest.warns(UserWarning, match=rf"set aside in .*, and made anew: .*{path.stem}\.(json|safetensors)"):
        again = tiny.table("ioi", "train")
    assert again.damage.equal(table.damage)
    assert (path.read_bytes(), manifest_path(path).read_bytes()) == whole
    assert {file.name: file.read_bytes() for file in (tiny.partial / ASIDE).iterdir()} == left, "nothing is deleted"


@pytest.mark.parametrize("how", BREAKS)
def test_half_a_frame_is_measured_again(how: str, tiny: Run) -> None:
    frame, path = pd.DataFrame({"a": [1.5]}), tiny.frame_path("study")
    tiny.frame("study", lambda: frame, "circuitlib.search.oracle")
    BREAKS[how](path)
    with pytest.warns(UserWarning, match=r"made anew: .*study\.(csv|json)"):
        assert tiny.frame("study", lambda: frame, "circuitlib.search.oracle").equals(frame)
    assert is_stored(path)


def test_what_other_code_made_is_set_aside(tiny: Run) -> None:
    frame, path = pd.DataFrame({"a": [1.5]}), tiny.frame_path("study")
    tiny.frame("study", lambda: frame, "circuitlib.search.oracle")
    with pytest.warns(UserWarning, match=r"made anew: study\.csv was made by other code"):
        tiny.frame("study", lambda: frame + 1, "circuitlib.search.planning")
    assert load_frame(tiny.partial / ASIDE / "study.csv").equals(frame)
    assert load_frame(path).equals(frame + 1)


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    """What there is of a result is one, a manifest alone too."""
    path, folder = tmp_path / "study.csv", tmp_path / ASIDE
    for file, content in ((manifest_path(path), "{}"), (path, "a\n1\n"), (path, "a\n2\n")):
        file.write_text(content)
        with pytest.warns(UserWarning, match=r"made anew: study\.csv"):
            assert not is_whole(path, folder)
    kept = {file.name: file.read_text() for file in folder.iterdir()}
    assert kept == {"study.json": "{}", "study.2.csv": "a\n1\n", "study.3.csv": "a\n2\n"}
    assert [file.name for file in tmp_path.iterdir()] == [ASIDE]


WRITES = """
import os, sys
from pathlib import Path
from small_run import small_run

def killed(source, target):
    assert Path(source).name.startswith("."), "as a temporary file is called"
    if Path(target).name == wanted:
        os.kill(os.getpid(), 9)
    replace(source, target)

folder, subject, output, wanted = sys.argv[1:]
replace, os.replace = os.replace, killed
mine = small_run(Path(folder), subject, output)
mine.table("ioi", "train")
"""
"""A run that is killed when it has written a file, and not yet put it in its place."""


@pytest.mark.parametrize("name", ["subject.json", "damage_ioi_train.safetensors", "damage_ioi_train.json"])
def test_a_file_that_a_killed_run_had_not_put_in_its_place_is_not_left_behind(
    name: str, tiny: Run, small: dict[str, Path]
) -> None:
    arguments = [str(run.ROOT), str(small["llama"]), tiny.output, name]
    python_path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    done = subprocess.run([sys.executable, "-c", WRITES, *arguments], env=os.environ | {"PYTHONPATH": python_path})
    assert done.returncode == -signal.SIGKILL
    (left,) = tiny.folder.glob(".*")
    assert left.name.startswith(f".{Path(name).stem}.")
    warned = pytest.warns(UserWarning, match="has no manifest") if name == "damage_ioi_train.json" else nullcontext()
    with warned:
        tiny.table("ioi", "train")
    assert not [*tiny.folder.glob(".*")]
    assert is_stored(tiny.table_path("ioi", "train"))


def test_what_other_processes_write_now_and_other_files_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [f".table.{os.getpid()}.csv", ".gitignore", ".table.csv", f"table.{ended.pid}.csv"]
    (tmp_path / "deep").mkdir()
    for name in (*kept, f".table.{ended.pid}.csv", f"deep/.check.{ended.pid}"):
        (tmp_path / name).touch()
    remove_left_behind(tmp_path)
    remove_left_behind(tmp_path / "none")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


@pytest.mark.parametrize("content", [b"", b"{", b"{}"])
def test_a_card_that_is_not_whole_is_written_again(content: bytes, tiny: Run) -> None:
    card, path = tiny.card, tiny.folder / "subject.json"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"made anew: .*subject\.json is corrupt"):
        assert Run(tiny.settings, tiny.output).card == card
    assert Run(tiny.settings, tiny.output).card == card


@pytest.mark.long
def test_half_a_policy_or_history_or_checkpoint_is_made_again(tiny: Run) -> None:
    tiny.policies()
    whole = results(run.ROOT, tiny.output)
    for name in ("policy_k1.safetensors", "training_k5.parquet"):
        for how in ("without its manifest", "cut short"):
            BREAKS[how](tiny.folder / name)
            with pytest.warns(UserWarning, match=f"made anew: {name}"):
                tiny.training_history()
            assert results(run.ROOT, tiny.output) == whole
    save_frame(tiny.partial / "ppo" / "x.csv", pd.DataFrame({"a": [1]}), {})
    assert is_whole(tiny.partial / "ppo" / "x.csv", tiny.partial / ASIDE)


@pytest.mark.parametrize("how", BREAKS)
def test_half_a_checkpoint_of_training_is_named_and_set_aside(
    how: str, source: TableEpisodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_DONE", get_context("spawn").Value("q", 0))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    config, wanted = PPOConfig(total_timesteps=400, budget=5), {"seeds": [0]}
    checkpoint = tmp_path / "ppo" / f"{short_hash(as_json(wanted).encode())}.safetensors"
    Trainer(source, config, [0]).save(checkpoint)
    BREAKS[how](checkpoint)
    left = {file.name: file.read_bytes() for file in checkpoint.parent.iterdir()}
    policy, history = tmp_path / "policy.safetensors", tmp_path / "history.parquet"
    with pytest.warns(UserWarning, match=rf"set aside in .*, and made anew: .*{checkpoint.stem}\.(json|safetensors)"):
        training._train(source, Training(config, wanted, [policy], history, tmp_path, tmp_path / "locks" / "run"))
    assert is_stored(policy)
    assert {file.name: file.read_bytes() for file in (tmp_path / ASIDE).iterdir()} == left, "nothing is deleted"


def test_other_ways_to_train_go_on_from_checkpoints_of_their_own(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of other code; one that is not whole is set aside; at the end none is left."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    trained: list[Path] = []

    def stop(*some: object) -> None:
        raise KeyboardInterrupt

    def train(source: TableEpisodes, way: Way, config: PPOConfig, seeds: Sequence[int], checkpoint: Path) -> Any:
        if not is_stored(checkpoint):
            trained.append(checkpoint)
        return ways.train_way(source, way, config, seeds, checkpoint)

    monkeypatch.setattr(train, "__module__", ways.__name__)
    monkeypatch.setattr(training_ways, "train_way", train)

    def stopped() -> list[Path]:
        """Once all policies are trained: the checkpoints that were begun, not gone on from."""
        trained.clear()
        with monkeypatch.context() as patch:
            patch.setattr(training_ways, "measure_way", stop)
            with pytest.raises(KeyboardInterrupt):
                training_ways.training_ways(tiny)
        return [*trained]

    first = stopped()
    assert len(set(first)) == 1 + len(ways.OTHER_WAYS)
    assert stopped() == []
    with monkeypatch.context() as patch:
        patch.setattr(training_ways, "code_of", lambda module: "other")
        others = stopped()
    assert len(others) == len(first)
    assert not set(others) & set(first)
    BREAKS["cut short"](first[2])
    with pytest.warns(UserWarning, match=f"set aside in .*, and made anew: {first[2].name} is corrupt"):
        assert stopped() == [first[2]]
    assert set(training_ways.training_ways(tiny)["way"]) == {
        way.name for way in (ways.PAPER, *ways.OTHER_WAYS, training_ways.REFERENCE)
    }
    assert not any(map(is_stored, first))


# Two at once --------------------------------------------------------------------------------------


@contextmanager
def _holds(lock: Path, how: str, then: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is told to end, which it does with a statement."""
    program = dedent(f"""
        import sys
        from pathlib import Path
        from circuitlib.companion.locks import {how}

        with {how}(Path({str(lock)!r}), "it"):
            print("held", flush=True)
            sys.stdin.readline()
            {then}
        """)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, **pipes)  # type: ignore[call-overload]
    try:
        assert process.stdout.readline() == "held\n", "not held"
        yield process
    finally:
        process.kill()
        process.wait()


def _arguments(mine: Run, *more: str) -> list[str]:
    small = ["--control", "docstrings", "--no-check-tasks", "--train-prompts", "32", "--evaluation-prompts", "32"]
    small += ["--further-tasks", "--episodes", "2", "--seeds", "1", "--steps", "1200"]
    small += ["--training-tasks", *mine.settings.training_tasks, "--held-out-task", mine.settings.held_out_task]
    return ["reproduce", "--subject", mine.settings.subject, *small, "--output", mine.output, *more]


def test_a_second_run_into_the_same_output_is_refused(
    tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is removed or measured; once the first has ended, even if it was killed, nothing is in the way."""
    monkeypatch.setattr(reproduce, "_measure", lambda *some: {})
    monkeypatch.setattr(reproduce, "report", lambda *some: True)
    tiny.frame("kept", lambda: pd.DataFrame({"a": [1]}), "circuitlib.search.oracle")
    with _holds(tiny.lock, "alone") as other:
        assert command.main(_arguments(tiny, "--fresh")) == 2
        assert "another run is writing into runs/mine; wait for it, or give another output" in capsys.readouterr().err
        assert is_stored(tiny.frame_path("kept"))
        beside = Run(tiny.settings, "runs/other")
        assert command.main(_arguments(beside)) == 0, "another output is nobody's business"
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert command.main(_arguments(tiny)) == 0
    assert is_stored(tiny.frame_path("kept"))


def test_a_lock_is_waited_for_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _holds(tmp_path / "lock", "in_turn") as other:
        with pytest.raises(InUse, match="another run is writing into it"), alone(tmp_path / "lock", "it"):
            pass
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        with in_turn(tmp_path / "lock", "it"), in_turn(tmp_path / "lock", "it"):
            pass
        assert other.wait(5) == 0
    with _holds(tmp_path / "lock", "in_turn") as other:
        capsys.readouterr()
        subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {other.pid}"])
        with in_turn(tmp_path / "lock", "it"):
            assert other.wait() == -signal.SIGKILL
        assert "another process is measuring it; waiting for it" in capsys.readouterr().err


def _tell_after(seconds: float, other: subprocess.Popen[str]) -> None:
    assert other.stdin is not None
    Timer(seconds, lambda: print(file=other.stdin, flush=True)).start()


def test_results_are_not_removed_while_another_process_measures_one(
    tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce, "_measure", lambda *some: {})
    monkeypatch.setattr(reproduce, "report", lambda *some: True)
    tiny.frame("kept", lambda: pd.DataFrame({"a": [1]}), "circuitlib.search.oracle")
    with _holds(tiny.lock.with_name("study.csv"), "in_turn") as other:
        assert command.main(_arguments(tiny, "--fresh")) == 2
        words = "another process is measuring study.csv of runs/mine; wait for it, or give another output"
        assert words in capsys.readouterr().err
        assert is_stored(tiny.frame_path("kept"))
        assert command.main(_arguments(tiny)) == 0, "what keeps all is in nobody's way"
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert command.main(_arguments(tiny, "--fresh")) == 0
    assert not tiny.frame_path("kept").exists()


def test_what_measures_a_result_holds_its_lock(tiny: Run) -> None:
    def compute() -> pd.DataFrame:
        with pytest.raises(AssertionError, match="not held"), _holds(tiny.lock, "nobody_else"):
            pass
        return pd.DataFrame({"a": [1]})

    tiny.frame("study", compute, "circuitlib.search.oracle")
    with _holds(tiny.lock, "nobody_else"):
        pass


def test_what_comes_while_results_are_removed_waits(tmp_path: Path) -> None:
    """Also for a result that nobody had measured before, which has no lock yet."""
    locks, removed = tmp_path / "locks", tmp_path / "removed"
    for name in ("old.csv", "new.csv"):
        removed.unlink(missing_ok=True)
        with in_turn(locks / "old.csv", "it"):
            pass
        with _holds(locks / "run", "nobody_else", f"Path({str(removed)!r}).touch()") as other:
            _tell_after(0.5, other)
            with in_turn(locks / name, "it"):
                assert removed.exists(), "not before"
                assert other.wait(5) == 0


@pytest.mark.long
def test_policies_are_not_judged_while_another_process_writes_them(tiny: Run) -> None:
    """Between a file and its manifest it does not look whole."""
    tiny.policies()
    path = tiny.policy_path(1)
    manifest, whole = manifest_path(path), results(run.ROOT, tiny.output)
    for judge in (tiny.policies, tiny.training_history):
        content = manifest.read_text()
        manifest.unlink()
        writes = f"Path({str(manifest)!r}).write_text({content!r})"
        with _holds(tiny.lock.with_name(path.name), "in_turn", writes) as other:
            _tell_after(0.5, other)
            judge()
            assert other.wait(5) == 0
        assert results(run.ROOT, tiny.output) == whole


@pytest.mark.long
def test_runs_at_once_end_as_one_alone(small: dict[str, Path], tmp_path: Path) -> None:
    """Two into one output, and one into another: all three the same bytes, and nobody fails."""
    program = [sys.executable, str(ROOT / "tests" / "small_run.py"), str(tmp_path), str(small["llama"])]
    outputs = ["runs/one", "runs/one", "runs/two"]
    runs = [subprocess.Popen([*program, output, "1", "1200"], cwd=ROOT) for output in outputs]
    assert [one.wait() for one in runs] == [0, 0, 0]
    assert results(tmp_path, "runs/one") == results(tmp_path, "runs/two")
    assert len(results(tmp_path, "runs/one")) > 20
    for output in set(outputs):
        partial = tmp_path / output / "partial"
        assert not [path for path in partial.rglob("*") if path.is_file()], "all of it is finished"


# Killed -------------------------------------------------------------------------------------------


def _trainers(pid: int) -> list[psutil.Process]:
    """The processes that train policies for a run."""
    return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.long
def test_policies_stop_training_when_their_run_is_killed(small: dict[str, Path], tmp_path: Path) -> None:
    """The run alone, not its group: its two processes end by themselves, and nothing is written after."""
    program = [sys.executable, str(ROOT / "tests" / "small_run.py"), str(tmp_path), str(small["llama"])]
    process = subprocess.Popen([*program, "runs/mine", "1", "20000000"], cwd=ROOT)
    began = time.monotonic()
    while len(list(tmp_path.rglob("ppo/*.json"))) < 2 and time.monotonic() - began < 150:
        time.sleep(0.1)
    trainers = _trainers(process.pid)
    process.kill()
    process.wait()
    assert len(trainers) == 2
    assert psutil.wait_procs(trainers, timeout=5)[1] == []
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    time.sleep(3)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.long(minutes=10)
@pytest.mark.parametrize("subject", ["gpt2-mini", "llama"])
def test_runs_that_are_killed_at_random_moments_go_on(subject: str, small: dict[str, Path], tmp_path: Path) -> None:
    kills = list(kill_runs(str(small.get(subject, subject)), 20, 0, tmp_path))
    assert len(kills) == 20


@pytest.mark.parametrize(("ends", "agrees"), [("printf same", True), ("printf some", False), ("exit 3", False)])
def test_other_bytes_or_no_end_of_a_killed_run_are_noticed(
    ends: str, agrees: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of a run a shell, that sleeps in its first try, and is at once at its end in the next."""

    def start(folder: Path, subject: str, output: str) -> subprocess.Popen[str]:
        place, last = folder / output / "results", "printf same" if output == "runs/whole" else ends
        program = f"echo measuring; [ -e {place} ] || {{ mkdir -p {place}; sleep 0.3; }}; {last} > {place}/table"
        pipes = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        process = subprocess.Popen(["sh", "-c", program], **pipes)  # type: ignore[call-overload]
        assert process.stdout.readline() == "measuring\n"
        return process

    monkeypatch.setattr("kill_runs._start", start)
    with nullcontext() if agrees else pytest.raises(AssertionError):
        assert len(list(kill_runs("any", 3, 0, tmp_path))) == 3


# Kept, and begun anew -----------------------------------------------------------------------------


def test_a_run_into_an_output_keeps_what_it_holds(
    tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is removed without being asked; a run of other settings is refused at once."""
    monkeypatch.setattr(reproduce, "_measure", lambda *some: {})
    monkeypatch.setattr(reproduce, "report", lambda *some: True)
    tiny.frame("kept", lambda: pd.DataFrame({"a": [1]}), "circuitlib.search.oracle")
    for folder in (tiny.figures, tiny.notebooks):
        folder.mkdir(parents=True)
        (folder / "kept").touch()
    assert command.main(_arguments(tiny, "--notebooks", "09")) == 0
    assert "1 results that runs/mine holds are kept; --fresh measures them anew" in capsys.readouterr().out
    kept = [tiny.frame_path("kept"), tiny.figures / "kept", tiny.notebooks / "kept"]
    assert all(path.exists() for path in kept)
    assert command.main([*_arguments(tiny), "--steps", "2000"]) == 2
    words = capsys.readouterr().err
    assert (
        "runs/mine holds a run of other settings: steps is 1200, wanted 2000; give another --output, or --fresh"
        in words
    )
    assert command.main([*_arguments(tiny), "--full"]) == 2, "a full run does not rest on tables that were taken over"
    assert command.main([*_arguments(tiny), "--steps", "2000", "--fresh"]) == 0
    assert not any(path.exists() for path in kept)


def test_more_prompts_than_there_is_text_for_are_refused_before_anything_is_removed(
    tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.frame("kept", lambda: pd.DataFrame({"a": [1]}), "circuitlib.search.oracle")
    for setting in ("train", "evaluation"):
        assert command.main([*_arguments(tiny), f"--{setting}-prompts", "100000", "--fresh"]) == 2
        words = capsys.readouterr().err
        assert f"{setting}_prompts 100000: half as many control spans are needed; count must be between 1" in words
    assert is_stored(tiny.frame_path("kept"))


# No room ------------------------------------------------------------------------------------------


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, no file of this process grows beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["settings", "table", "csv", "parquet"])
def test_a_full_disk_is_one_line_and_leaves_what_is_there(
    kind: str, tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"a": range(9000)})
    write = {
        "settings": lambda one: None,
        "table": lambda one: one.table("ioi", "train"),
        "csv": lambda one: one.frame("study", lambda: frame, "circuitlib.search.oracle"),
        "parquet": lambda one: one.frame("evaluation", lambda: frame, "circuitlib.search.oracle"),
    }[kind]
    tiny.frame("kept", lambda: frame, "circuitlib.search.oracle")
    assert not tiny.left_out, "loaded and tried while there is room"
    before = results(run.ROOT, tiny.output)

    def steps(one: Run, *some: object) -> Iterator[reproduce.Step]:
        with _files_of_at_most(900):
            write(one)
        yield from ()

    monkeypatch.setattr(reproduce, "steps", steps)
    with _files_of_at_most(100 if kind == "settings" else 100_000):
        assert command.main(_arguments(tiny)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "reproduce:" in line]
    assert "nothing more can be written to runs/mine (" in line
    assert line.endswith("what is stored there is kept: make room, and give the same command again")
    assert results(run.ROOT, tiny.output) == before
    assert not [path for path in tiny.folder.iterdir() if path.name.startswith(".")], "nothing half written stays"


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, os.strerror(number)) for number in (EDQUOT, EIO, ENOSPC, EROFS)),
        SafetensorError(f"Error while serializing: I/O error: {os.strerror(ENOSPC)} (os error {ENOSPC})"),
    ],
    ids=str,
)
def test_whatever_a_disk_says_that_takes_no_more_its_place_is_named(
    error: Exception, tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def begin(*some: object) -> None:
        raise error

    monkeypatch.setattr(reproduce, "reproduce", begin)
    assert command.main(_arguments(tiny)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "reproduce:" in line]
    assert f"nothing more can be written to runs/mine ({error}); what is stored there is kept" in line


def test_a_place_that_cannot_be_written_is_named_before_anything_is_measured(
    tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.ROOT / "runs").mkdir()
    (run.ROOT / "runs" / "mine").touch()
    assert command.main(_arguments(tiny)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(run.ROOT / "runs" / "mine") in line


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_half_a_setting_is_named(content: str, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    place = tiny.partial / "settings.json"
    place.parent.mkdir(parents=True)
    place.write_text(content)
    assert command.main(_arguments(tiny)) == 2
    assert f"{place} is corrupt" in capsys.readouterr().err


def test_half_a_checkpoint_is_no_matter_of_settings(
    small: dict[str, Path], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = shutil.copytree(small["llama"], elsewhere / "half")
    mine = small_run(elsewhere, str(directory), "runs/mine")
    (directory / "tokenizer.json").write_text("{")
    assert command.main(_arguments(mine)) == 2
    assert "train_prompts" not in capsys.readouterr().err
    assert not mine.folder.exists()


@pytest.mark.parametrize("option", ["--output", "--plot"])
def test_no_room_for_what_a_head_does_is_one_line(
    option: str, small: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, target = tmp_path / "prompts.csv", tmp_path / {"--output": "d.csv", "--plot": "map.png"}[option]
    prompts.write_text("text,right,wrong\nThe keys near the cabinet, are, is\n")
    target.write_text("earlier")
    with _files_of_at_most(200):
        assert command.main(["head-damage", str(small["llama"]), str(prompts), option, str(target)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "head-damage:" in line]
    assert f"nothing more can be written to {target} (" in line
    assert {path.name for path in tmp_path.iterdir()} == {prompts.name, target.name}
    assert target.read_text() == "earlier"


@pytest.mark.parametrize("content", [b"", b'{"cells": [', b"{}"])
def test_half_a_notebook_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "01_half.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookFailed, match=r"01_half\.ipynb is no whole notebook"):
        _papermill(path, tmp_path / "executed.ipynb", {"output": ""})


# No memory ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_kernel_that_is_killed_is_named(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), tmp_path / "01_dies.ipynb")
    with pytest.raises(NotebookFailed, match=r"01_dies\.ipynb: its kernel was killed, perhaps for want of memory"):
        _papermill(tmp_path / "01_dies.ipynb", tmp_path / "executed.ipynb", None)


@pytest.mark.long
def test_training_that_is_killed_is_one_sentence_and_goes_on(tiny: Run) -> None:
    """As by a system that is out of memory: a process of the run alone, not the run."""
    for name in (*tiny.training_tasks, "control"):
        tiny.table(name, "train")

    def kill() -> None:
        # Of both: Python's pool waits for ever where one is killed before the other is begun.
        while len(trainers := _trainers(os.getpid())) < 2:
            time.sleep(0.1)
        trainers[0].kill()

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(ChildProcessError, match="killed, perhaps for want of memory; what it had done is kept"):
        tiny.policies()
    killer.join()
    assert set(tiny.policies()) == {1, 5}
