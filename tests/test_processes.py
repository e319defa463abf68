"""Work in processes: the same values in the same order, each process on one core, errors as they are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
import torch

from circuitlib.processes import in_processes


@pytest.fixture
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_cores")
def test_values_come_back_in_order_from_processes_of_one_core() -> None:
    work, ones = "(x + i).tolist(), __import__('torch').get_num_threads()", torch.ones(3)
    found = in_processes(eval, [(work, {"x": ones, "i": i}) for i in range(5)])
    assert found == [([1.0 + i] * 3, 1) for i in range(5)]


@pytest.mark.usefixtures("two_cores")
def test_an_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        in_processes(divmod, [(1, 1), (1, 0), (2, 1)])


def leave_a_mark(folder: str, i: int) -> None:
    """A job: says that it began, and takes its time."""
    (Path(folder) / str(i)).touch()
    time.sleep(3)
    if i == 0:
        raise ArithmeticError


def six_jobs(tmp_path: Path, first: int) -> tuple[list[str], Path]:
    """A program that leaves marks on two cores, the first job's number being ``first``; and where they are left."""
    program, marks = tmp_path / "works.py", tmp_path / "marks"
    program.write_text(
        dedent(f"""
            import sys
            import torch
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_processes import in_processes, leave_a_mark

            if __name__ == "__main__":
                torch.set_num_threads(2)
                in_processes(leave_a_mark, [({str(marks)!r}, {first} + i) for i in range(6)])
            """)
    )
    marks.mkdir()
    return [sys.executable, str(program)], marks


def test_after_an_error_nothing_further_begins(tmp_path: Path) -> None:
    """Those that are under way, as many as there are cores, end as they do; the pool's own queue would begin one more."""
    command, marks = six_jobs(tmp_path, 0)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ArithmeticError" in ended.stderr
    assert sorted(path.name for path in marks.iterdir()) in (["0", "1"], ["0", "1", "2"]), "2 where 1 ended first"


@pytest.mark.parametrize("whole_group", [False, True])
def test_after_an_interrupt_nothing_further_begins(whole_group: bool, tmp_path: Path) -> None:
    """Of this process alone, and of all of them, as a terminal interrupts."""
    command, marks = six_jobs(tmp_path, 1)
    # A shell lets what it runs in the background ignore interrupts, and so what that runs.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    began = time.monotonic()
    while len(list(marks.iterdir())) < 2 and time.monotonic() - began < 50:
        time.sleep(0.02)
    if whole_group:
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) != 0
    assert sorted(path.name for path in marks.iterdir()) == ["1", "2"]


def test_a_single_job_and_a_single_core_need_no_process() -> None:
    assert in_processes(os.getpid, [()]) == [os.getpid()]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert in_processes(os.getpid, [(), ()]) == [os.getpid()] * 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("call", "count"),
    [
        ("circuitlib.processes.in_processes(work, [(sys.argv[1], i) for i in range(2)])", 2),
        ("circuitlib.workshop.benchmark.machine.alone(work, sys.argv[1], 0)", 1),
    ],
    ids=["several", "alone"],
)
def test_processes_end_with_the_one_that_wants_their_work(call: str, count: int, tmp_path: Path) -> None:
    """Killed, so that it can tell nobody, while all of its processes are at work."""
    program = tmp_path / "works.py"
    program.write_text(
        dedent(f"""
            import os, sys, time
            from pathlib import Path
            import torch
            import {call.partition("(")[0].rpartition(".")[0]}

            def work(folder, i):
                (Path(folder) / str(os.getpid())).touch()
                time.sleep(60)

            if __name__ == "__main__":
                torch.set_num_threads(2)
                {call}
            """)
    )
    folder = tmp_path / "pids"
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, str(program), str(folder)])
    try:
        began = time.monotonic()
        while len(list(folder.iterdir())) < count and time.monotonic() - began < 50:
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
    children = [int(path.name) for path in folder.iterdir()]
    assert len(children) == count
    began = time.monotonic()
    while (left := [pid for pid in children if _runs(pid)]) and time.monotonic() - began < 5:
        time.sleep(0.05)
    assert not left


def _runs(pid: int) -> bool:
    """Whether a process is there and has not ended: one that has may wait for somebody to ask."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
