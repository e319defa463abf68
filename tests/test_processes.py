"""Work in processes: the same values in the same order, each process on one core, errors as they are."""

import os
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
