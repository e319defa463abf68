"""Freed memory, kept for the next tensor.

A sweep makes and frees tensors of a few megabytes all the time. glibc gives such memory back to the system and asks
for it again, page by page, which slows the sweep.
"""

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
MIB = 1 << 20


@cache
def keep_freed_memory() -> None:
    """Let the whole process keep up to 64 MiB of freed memory a thread, where the C library is glibc.

    Both thresholds are the largest that glibc would come to by itself, in a process that frees ever larger blocks.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 64 * MIB)
        mallopt(M_MMAP_THRESHOLD, 32 * MIB)
