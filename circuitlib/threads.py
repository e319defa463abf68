"""Independent work on a thread a core, each with products of its own.

On small matrices that beats sharing every product among all cores, and torch releases Python's lock.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def threads_of_one_core(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch may use cores, ``tasks`` at most, each of which uses one."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)  # which threads started from now on inherit
    try:
        with ThreadPoolExecutor(min(cores, tasks)) as pool:
            yield pool
    finally:
        torch.set_num_threads(cores)
