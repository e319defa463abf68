"""Independent work on a thread per core, each with products of its own.

On small matrices that beats sharing every product among all cores; torch and numpy release Python's lock.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Barrier, Lock
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

SWITCH = 1e-4
"""Seconds after which a thread hands Python's lock to one that waits. Python's own 5e-3 is longer than the
operations of training, which would wait for it."""

Value = TypeVar("Value")

_STARTING, _TRAINING = Lock(), Lock()
_trainings, _restore = 0, ExitStack()


@contextmanager
def threads_of_one_core(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch may use cores here, ``tasks`` at most, each of which uses one.

    No other thread, running or started later, uses more or fewer than before. Calls may be nested, and made by
    several threads at once. An error in the block cancels the work that has not begun.
    """
    count = min(torch.get_num_threads(), tasks)
    started = Barrier(count)

    def start(_: int) -> None:
        torch.get_num_threads()  # a thread's first such call gives it the number for new threads
        torch.set_num_threads(1)
        started.wait()

    with ThreadPoolExecutor(count) as pool:
        try:
            with _STARTING:
                # torch keeps a number per thread, and the last one set for new threads.
                before = _in_a_new_thread(torch.get_num_threads)
                list(pool.map(start, range(count)))
                _in_a_new_thread(torch.set_num_threads, before)
            yield pool
        except BaseException:
            started.abort()
            pool.shutdown(cancel_futures=True)
            raise


def _in_a_new_thread(call: Callable[..., Value], *arguments: int) -> Value:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *arguments).result()


@contextmanager
def training_threads(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """:func:`threads_of_one_core` for many short operations, numpy's products among them.

    While any such block runs, the whole process hands over Python's lock after ``SWITCH`` seconds, and numpy
    multiplies on one core; when the last one ends, both are what they were before the first.
    """
    global _trainings
    with _TRAINING:
        if _trainings == 0:
            _restore.enter_context(threadpool_limits(1, "blas"))
            _restore.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH)
        _trainings += 1
    try:
        with threads_of_one_core(tasks) as pool:
            yield pool
    finally:
        with _TRAINING:
            _trainings -= 1
            if _trainings == 0:
                _restore.close()
