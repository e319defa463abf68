"""One process at a time: who writes into a run's folders, and what other processes that want to are told.

A run has a folder of locks: one for the process that makes it as a whole, one per result for the process that measures it, and a door, through
which everybody comes to a single result. The operating system holds these locks, and gives them back when a process ends, however it
does.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

DOOR = "door"
"""The lock beside the others that is held for as long as it takes to get one of them, or to remove what all of them are for."""


class InUse(OSError):
    """Another process writes there; the message says what to do."""


def _lock(path: Path) -> FileLock:
    """The same one for everybody in this process, who may hold it several times over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, is_singleton=True)


def _at_once(path: Path) -> AbstractContextManager[object] | None:
    """The lock, held, or None where another process holds it."""
    try:
        return _lock(path).acquire(timeout=0)
    except Timeout:
        return None


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path`` for ``what``. Raises :class:`InUse` at once where another process does."""
    lock = _at_once(path)
    if lock is None:
        raise InUse(f"another run is writing into {what}; wait for it, or give another output")
    with lock:
        yield


@contextmanager
def in_turn(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path`` for ``what``, after the process that does now, having said that it waits."""
    with _lock(path.with_name(DOOR)):
        lock = _at_once(path)
    if lock is None:
        print(f"another process is measuring {what}; waiting for it", file=sys.stderr, flush=True)
        lock = _lock(path).acquire()
    with lock:
        yield


@contextmanager
def nobody_else(path: Path, what: str) -> Iterator[None]:
    """For who holds the lock ``path``: hold all that are beside it, and keep the door shut. Raises :class:`InUse` at once where
    another process holds one of them."""
    with ExitStack() as held:
        held.enter_context(_lock(path.with_name(DOOR)))
        for other in sorted(set(path.parent.iterdir()) - {path, path.with_name(DOOR)}):
            lock = _at_once(other)
            if lock is None:
                measures = f"another process is measuring {other.name} of {what}"
                raise InUse(f"{measures}; wait for it, or give another output")
            held.enter_context(lock)
        yield
