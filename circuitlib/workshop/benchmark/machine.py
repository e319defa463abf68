"""This machine: what it is, how fast it multiplies, what a process of it holds, and taking turns on it."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from circuitlib.ablation.onednn import Linear
from circuitlib.processes import end_with_parent

REPEATS = 5
"""Turns that a median is of, at least."""

SIDE = {"cpu": 2048, "cuda": 8192}
"""Of the square matrices whose product is timed."""


def interleaved(actions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each action, run in turns ``repeats`` times after one turn that does not count."""
    for action in actions.values():
        action()
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - began)
    return seconds


@torch.inference_mode()
def matmul_rate(dtype: torch.dtype = torch.float32, torchs: bool = False, device: str = "cpu") -> float:
    """Operations per second of a product of two square matrices of ``SIDE`` rows, by the library that
    :class:`circuitlib.ablation.onednn.Linear` takes or by torch's own choice: the median of 7. Random ones: a GPU is faster on constants."""
    side, generator = SIDE[torch.device(device).type], torch.Generator().manual_seed(0)
    left, right = torch.randn(2, side, side, generator=generator).to(device, dtype)
    linear = partial(F.linear, weight=right) if torchs else Linear(right, None, dtype)
    # Reading a number of a product waits for it.
    seconds = interleaved({"multiply": lambda: linear(left)[0, 0].item()}, 7)["multiply"]
    return 2 * side**3 / float(np.median(seconds))


def processor() -> str:
    """Its name, and what tells those of one name apart: family and model, where they are known, and instructions."""
    cpuinfo, found = Path("/proc/cpuinfo"), dict[str, str]()
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    named = found.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{name} {found[key]}" for name, key in (("family", "cpu family"), ("model", "model")) if key in found]
    return ", ".join([named, *numbers, torch.backends.cpu.get_cpu_capability()])


def this_gpu() -> dict[str, Any]:
    """What times are taken on where that is a GPU."""
    return {
        "processor": torch.cuda.get_device_name(),
        "cores": torch.cuda.get_device_properties().multi_processor_count,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "float32 matrix products, GFLOP/s": round(matmul_rate(device="cuda") / 1e9, 1),
        "bfloat16 matrix products, GFLOP/s": round(matmul_rate(torch.bfloat16, device="cuda") / 1e9, 1),
    }


def this_machine() -> dict[str, Any]:
    """What times are taken on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "float32 matrix products, GFLOP/s": round(matmul_rate() / 1e9, 1),
        "float32 matrix products, torch's own, GFLOP/s": round(matmul_rate(torchs=True) / 1e9, 1),
        "bfloat16 matrix products, GFLOP/s": round(matmul_rate(torch.bfloat16) / 1e9, 1),
    }


def resident() -> float:
    """The largest resident size of this process so far, GiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, too
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def alone(function: Callable[..., Any], *arguments: object) -> Any:
    """What a function returns in a process of its own, which ends with this one."""
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
        return pool.submit(function, *arguments).result()
