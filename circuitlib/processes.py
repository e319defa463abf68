"""Independent work on a process per core: what is many short operations holds Python's lock, and threads of it wait for each other."""

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

import torch

Value = TypeVar("Value")


def in_processes(call: Callable[..., Value], jobs: Sequence[tuple[Any, ...]]) -> list[Value]:
    """``call(*job)`` of each job, in their order, in as many new processes as torch may use cores here, each on one core; on one
    core, or for one job, here. After an error, or an interrupt, no job begins beyond those, at most one per core, that were handed out before.

    A new process imports all anew, some seconds, and sees nothing of this one but what it is given; a script that comes here needs
    ``if __name__ == "__main__":``, as for every process that Python spawns.
    """
    count = min(torch.get_num_threads(), len(jobs))
    if count <= 1:
        return [call(*job) for job in jobs]
    # Pickled here: multiprocessing would hand over every tensor in shared memory, with a file of its own.
    packed = [pickle.dumps((call, job)) for job in jobs]
    futures: list[Future[Value]] = []
    running: set[Future[Value]] = set()
    with ProcessPoolExecutor(count, get_context("spawn"), _begin) as pool:
        for job in packed:
            # A job that waits in the pool's own queue could not be called back.
            if len(running) == count:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
            futures.append(pool.submit(_unpacked, job))
            running.add(futures[-1])
        return [future.result() for future in futures]


def end_with_parent() -> None:
    """From now on this process, which another one spawned, ends as soon as that one does, however it does: the reader of what
    it computes is gone."""
    parent = parent_process()
    assert parent is not None, "only a spawned process has a parent to end with"

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _begin() -> None:
    end_with_parent()
    torch.set_num_threads(1)


def _unpacked(packed: bytes) -> Any:
    call, job = pickle.loads(packed)
    return call(*job)
