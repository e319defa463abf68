"""One process at a time: who writes into a run's folders, and what whoever else wants to is told.

The operating system holds these locks, and gives them back when a process ends, however it does.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class InUse(OSError):
    """Another process writes there; the message says what to do."""


def _lock(path: Path) -> FileLock:
    """The same one for everybody in this process, who may hold it several times over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, is_singleton=True)


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path`` for ``what``. Raises :class:`InUse` at once where another process does."""
    try:
        lock = _lock(path).acquire(timeout=0)
    except Timeout:
        raise InUse(f"another run is writing into {what}; wait for it, or give another output") from None
    with lock:
        yield


@contextmanager
def in_turn(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path`` for ``what``, after whoever does now, having said that it waits."""
    try:
        lock = _lock(path).acquire(timeout=0)
    except Timeout:
        print(f"another process is measuring {what}; waiting for it", file=sys.stderr, flush=True)
        lock = _lock(path).acquire()
    with lock:
        yield
