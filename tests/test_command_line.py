"""Where a command writes is settled before it works: nothing but a file is replaced, and what cannot be written is named. And how it is stopped."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from circuitlib import __main__ as command
from circuitlib.companion import authors, explore, planted, reproduce
from circuitlib.companion.commands import STUDIES
from circuitlib.companion.settings import PUBLISHED
from circuitlib.paths import ROOT, RUNS


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.csv"
    path.write_text("text,right,wrong\nThe keys near the cabinet, are, is\n")
    return path


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command may come to its work."""

    def work(*arguments: object, **named: object) -> None:
        pytest.fail("it is worked")

    monkeypatch.setattr("circuitlib.subjects.load.load_subject", work)
    monkeypatch.setattr(authors, "measure", work)
    monkeypatch.setattr(planted, "measure", work)
    monkeypatch.setattr(explore, "write_pages", work)


def _said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that is refused."""
    assert command.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


OUTPUTS: dict[str, list[str]] = {
    "--output": ["head-damage", "nowhere", "PROMPTS", "--output"],
    "--plot": ["head-damage", "nowhere", "PROMPTS", "--plot"],
    "authors": ["authors", "nowhere", "--output"],
    "planted": ["planted", "--output"],
    "explore": ["explore", "--output"],
}


def _command(of: str, prompts: Path, place: Path) -> list[str]:
    return [*(str(prompts) if word == "PROMPTS" else word for word in OUTPUTS[of]), str(place)]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("of", OUTPUTS)
def test_only_what_it_can_write_is_replaced(
    of: str, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe, a device, a folder or a file in the other's place, a link to one or to itself, a folder that cannot be made; said by the path that was given."""
    is_file, place = of.startswith("--"), tmp_path / "map.png"
    option = of if is_file else "--output"
    kind = "regular file" if is_file else "folder"
    os.mkfifo(place)
    (tmp_path / "link.png").symlink_to(place)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "device.png").symlink_to("/dev/null")
    other = tmp_path / "other.png"
    other.mkdir() if is_file else other.touch()
    before = sorted(tmp_path.iterdir())
    for name in (place.name, "link.png", "loop.png", "device.png", other.name):
        line = _said(_command(of, prompts, tmp_path / name), capsys)
        assert f": {option} {tmp_path / name} is there and is no {kind}; name another" in line
    for unwritable in (
        Path("/proc/x.png"),
        prompts / "x.png",
        prompts / "deep" / "x.png",
        tmp_path / f"{'x' * 300}.png",
    ):
        line = _said(_command(of, prompts, unwritable), capsys)
        assert f": {option} {unwritable} cannot be written: " in line
        assert "/." not in line, "a temporary file of nobody's"
    assert place.is_fifo()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("of", OUTPUTS)
def test_what_is_write_protected_is_left(
    of: str, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("who runs this may write everywhere")
    for place in (closed / "x.png", closed / "deep" / "x.png"):
        assert f"{place} cannot be written: Permission denied" in _said(_command(of, prompts, place), capsys)


@pytest.mark.parametrize("of", OUTPUTS)
def test_no_path_is_none(of: str, prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main([*_command(of, prompts, prompts)[:-1], ""])
    assert stopped.value.code == 2
    assert "a path must not be empty" in capsys.readouterr().err


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("of", "name"),
    [("authors", "replay.parquet"), ("authors", "agreement.json"), ("planted", "planted.csv"), ("explore", "map.html")],
)
def test_a_folder_s_links_are_not_replaced(
    of: str, name: str, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{explore.PAGES[0].name}.html" if of == "explore" else name
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).symlink_to(prompts)
    assert f"{folder / name} is there and is no regular file" in _said(_command(of, prompts, folder), capsys)
    assert (folder / name).is_symlink()


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("arguments", "one", "other"),
    [
        (["--output", "prompts.csv"], "the file of prompts", "--output"),
        (["--output", "link.csv"], "the file of prompts", "--output"),
        (["--output", "deep/../prompts.csv"], "the file of prompts", "--output"),
        (["--output", "hard.csv"], "the file of prompts", "--output"),
        (["--control", "prose.txt", "--output", "prose.txt"], "--control", "--output"),
        (["--output", "map.png", "--plot", "map.png"], "--output", "--plot"),
        (["--control", "map.png", "--plot", "map.png"], "--control", "--plot"),
    ],
)
def test_a_file_has_one_use(
    arguments: list[str],
    one: str,
    other: str,
    prompts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link.csv").symlink_to("prompts.csv")
    Path("hard.csv").hardlink_to("prompts.csv")
    Path("deep").mkdir()
    before = prompts.read_bytes()
    line = _said(["head-damage", "nowhere", "prompts.csv", *arguments], capsys)
    assert f"{one} and {other} are the same file, {arguments[-1]}" in line
    assert prompts.read_bytes() == before


@pytest.mark.parametrize("place", ["printed.csv", "/dev/stdout"])
def test_what_is_printed_into_is_not_replaced(place: str, prompts: Path, tmp_path: Path) -> None:
    """It would be gone for all that is printed afterwards."""
    printed = tmp_path / "printed.csv"
    arguments = [sys.executable, "-m", "circuitlib", "head-damage", "nowhere", str(prompts), "--output", place]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with printed.open("w") as file:
        before = printed.stat().st_ino
        done = subprocess.run(arguments, cwd=tmp_path, env=environment, stdout=file, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert f"--output {place} is what this command prints into" in done.stderr
    assert printed.stat().st_ino == before


def test_what_a_link_leads_to_is_written(small: dict[str, Path], prompts: Path, tmp_path: Path) -> None:
    """The link stays, also one whose target is not there yet, in a folder that is not there, and of another suffix."""
    (tmp_path / "there").write_text("earlier")
    (tmp_path / "a.csv").symlink_to("there")
    (tmp_path / "map.PNG").symlink_to(tmp_path / "new" / "picture")
    places = ["--output", str(tmp_path / "a.csv"), "--plot", str(tmp_path / "map.PNG")]
    assert command.main(["head-damage", str(small["llama"]), str(prompts), *places]) == 0
    assert (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "map.PNG").is_symlink()
    assert pd.read_csv(tmp_path / "there")["name"][0] == "L0.H0"
    with (tmp_path / "new" / "picture").open("rb") as file:
        assert plt.imread(file, format="png").std() > 0.05


def test_a_run_s_place_is_refused_before_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ``reproduce`` and of every study."""
    monkeypatch.setattr(reproduce, "reproduce", lambda *given: pytest.fail("it is measured"))
    place = RUNS / f"test-{os.getpid()}"
    RUNS.mkdir(exist_ok=True)
    os.mkfifo(place)
    try:
        for name in ("reproduce", *(study.command for study in STUDIES)):
            line = _said([name, "--output", f"runs/{place.name}"], capsys)
            assert f"--output {place} is there and is no folder" in line
    finally:
        place.unlink()


@pytest.mark.parametrize(
    ("device", "said"),
    [("tpu", "must be cpu or cuda, not 'tpu'"), ("cuda", "this torch finds no CUDA device; use cpu")],
)
def test_a_device_that_is_not_here_is_refused_before_anything(
    device: str, said: str, prompts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    place = f"runs/test-device-{os.getpid()}"
    for name in ("reproduce", *(study.command for study in STUDIES)):
        assert said in _said([name, "--output", place, "--device", device], capsys)
    assert said in _said(["head-damage", "gpt2-mini", str(prompts), "--device", device], capsys)
    assert not (ROOT / place).exists()


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_offers_its_own_subjects(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for subject in set(PUBLISHED) - set(study.subjects):
        with pytest.raises(SystemExit):
            command.main([study.command, "--subject", subject])
        assert "invalid choice" in capsys.readouterr().err
        assert not (ROOT / study.output / "results" / subject).exists()


GOES_ON = "; the same command goes on from what is finished"


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["reproduce", "--output", "runs/x"], GOES_ON),
        (["reproduce", "--output", "runs/x", "--fresh"], GOES_ON.replace("command", "command without --fresh")),
        *([[study.command, "--output", "runs/x"], GOES_ON] for study in STUDIES),
        (["planted"], ""),
        (["explore"], ""),
        (["authors", "nowhere"], ""),
        (["benchmark"], ""),
        (["pretrain"], ""),
    ],
)
def test_a_command_that_is_stopped_says_so(
    arguments: list[str],
    more: str,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    for place in ("authors.measure", "planted.measure", "explore.write_pages", "reproduce.reproduce"):
        monkeypatch.setattr(f"circuitlib.companion.{place}", stop)
    monkeypatch.setattr("circuitlib.companion.commands.Study.table", stop)
    for name in command.WORKSHOP:
        monkeypatch.setattr(f"circuitlib.workshop.{name}.main", stop)
    assert command.main(arguments) == 130
    assert capsys.readouterr().err == f"python -m circuitlib: stopped{more}\n"
    if arguments[0] not in command.WORKSHOP:
        with pytest.raises(KeyboardInterrupt):
            command.main([*arguments, "--traceback"])


def test_a_process_that_is_interrupted_says_one_line(prompts: Path, small: dict[str, Path]) -> None:
    """By the signal of a terminal, while it waits for a file of prompts that never ends."""
    pipe = prompts.with_name("pipe.csv")
    os.mkfifo(pipe)
    arguments = [sys.executable, "-m", "circuitlib", "head-damage", str(small["llama"]), str(pipe)]
    # What runs in a shell's background ignores the signal, and so would what it starts.
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    writer = None
    while writer is None and process.poll() is None:
        with suppress(OSError):  # until somebody reads
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert writer is not None
    os.close(writer)
    assert (process.returncode, printed, said) == (130, "", "python -m circuitlib: stopped\n")


def test_prompts_by_place_or_by_name(
    small: dict[str, Path], prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same file by place and by ``--prompts``, wherever that stands; one of both."""
    output = tmp_path / "damage.csv"
    model = str(small["llama"])
    assert command.main(["head-damage", model, "--prompts", str(prompts), "--out", str(output)]) == 0
    by_name = output.read_text()
    assert command.main(["head-damage", model, str(prompts), "--output", str(output)]) == 0
    assert output.read_text() == by_name
    assert command.main(["head-damage", "--prompts", str(prompts), model, "--output", str(output)]) == 0
    assert output.read_text() == by_name
    for count, arguments in ((0, []), (2, [str(prompts), "--prompts", str(prompts)])):
        assert f"must be one file of prompts, by its place or by --prompts, not {count}" in _said(
            ["head-damage", model, *arguments], capsys
        )
