"""Kill small runs at random moments, go on with each, and compare the bytes with those of a run that nobody killed.

``python tests/kill_runs.py SUBJECT [--kills 20] [--seed 0]``: of an embedded or fetched subject, or a checkpoint's folder.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _start(folder: Path, subject: str, output: str) -> subprocess.Popen[str]:
    """A run in a process group of its own; it says when it begins to measure."""
    command = [sys.executable, str(ROOT / "tests" / "small_run.py"), str(folder), subject, output, "2", "1200"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "measuring\n", "the run did not begin"
    return process


def results(folder: Path, output: str) -> dict[str, bytes]:
    """Every file of a run's results, by its place."""
    root = folder / output / "results"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def kill_runs(subject: str, kills: int, seed: int, folder: Path) -> Iterator[str]:
    """Yields a line per kill: after how many seconds, and how many files there were. Raises ``AssertionError`` for a run that does
    not go on, or ends with other bytes."""
    began = time.monotonic()
    assert _start(folder, subject, "runs/whole").wait() == 0
    longest, whole = time.monotonic() - began, results(folder, "runs/whole")
    rng, killed, output = random.Random(seed), 0, 0
    while killed < kills:
        process, delay = _start(folder, subject, f"runs/{output}"), rng.uniform(0, longest / 2)
        try:
            ended = process.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            yield f"kill {killed} of run {output}: after {delay:.1f} s, {len(results(folder, f'runs/{output}'))} files"
            continue
        _is_whole(folder, f"runs/{output}", ended, whole)
        output += 1
    _is_whole(folder, f"runs/{output}", _start(folder, subject, f"runs/{output}").wait(), whole)


def _is_whole(folder: Path, output: str, ended: int, whole: dict[str, bytes]) -> None:
    """Raises ``AssertionError`` that says how the run ended, which files have other bytes, and the first that differ."""
    mine = results(folder, output)
    others = sorted(name for name in {*mine, *whole} if mine.get(name) != whole.get(name))
    first = [(some.get(others[0]) or b"")[:600] for some in (mine, whole)] if others else []
    assert (ended, others) == (0, []), f"{output} ended with {ended}; not as in a whole run: {others} {first}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for line in kill_runs(options.subject, options.kills, options.seed, Path(temporary)):
            print(line, flush=True)
    print("every run went on, and ended with the same bytes")
