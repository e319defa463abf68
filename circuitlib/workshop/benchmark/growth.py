"""Table ``growth``: time and memory as one size grows, and of each way at two subjects' sizes."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from circuitlib.subjects.checkpoints import find_checkpoint
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import Prompts
from circuitlib.tasks.base import LOGIT_DIFFERENCE
from circuitlib.workshop.benchmark.machine import alone, resident
from circuitlib.workshop.benchmark.random_weights import GPT2_SHAPE, Sizes, random_checkpoint
from circuitlib.workshop.benchmark.ways import by_hooks, by_sweep, by_transformers

RUNS, SECONDS = 3, 60.0
"""A time is the median of so many runs, or of those that begin within so many seconds; none goes on longer."""


@dataclass(frozen=True)
class Case:
    """One point: which size grows and how large it is; random prompts for a subject, by name or of random weights."""

    grows: str
    size: int
    subject: str | Sizes
    prompts: int
    positions: int
    method: str = "sweep"


CASES = [
    *(Case("prompts", n, Sizes("mini-shape"), n, 16) for n in (8, 32, 128)),
    *(Case("positions", n, Sizes("mini-shape"), 8, n) for n in (16, 64, 256)),
    *(Case("layers", n, Sizes(f"layers-{n}", layers=n), 16, 32) for n in (3, 6, 12)),
    *(Case("width", n, Sizes(f"width-{n}", width=n), 8, 32) for n in (96, 192, 384, 768)),
    *(
        Case("method", 64, subject, 64, 15, method)
        for subject in ("gpt2-mini", GPT2_SHAPE)
        for method in ("sweep", "hooks", "transformers")
    ),
    Case("method", 4096, GPT2_SHAPE, 4096, 15),
]


def growth(cases: Iterable[Case]) -> Iterator[pd.DataFrame]:
    """Every case in a process of its own, yielded as it grows.

    Columns: grows, size, subject, prompts, positions, method, measured (prompts that were, within a minute), runs,
    seconds (their median, all heads), loaded, resident (GiB: with the model loaded, and at most).
    """
    rows: list[dict[str, Any]] = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            name = case.subject
            if isinstance(name, Sizes):
                name = str(random_checkpoint(Path(folder), name))
            measured = alone(measured_here, name, case.prompts, case.positions, case.method)
        rows.append(vars(case) | {"subject": Path(name).name} | measured)
        yield pd.DataFrame(rows)


def measured_here(name: str, prompts: int, positions: int, method: str) -> dict[str, Any]:
    """Random prompts through one method, in this process, which should have done nothing else."""
    disable_progress_bar()
    if method == "transformers":
        model = AutoModelForCausalLM.from_pretrained(find_checkpoint(name), dtype=torch.float32)
        config, build = model.config, partial(by_transformers, model.eval(), batched=False)
        vocabulary, heads_per_layer = config.vocab_size, config.num_attention_heads
    else:
        subject = load_subject(name, "raw")
        build = partial(by_sweep if method == "sweep" else by_hooks, subject)
        vocabulary, heads_per_layer = len(subject.bridge.W_E), subject.heads_per_layer
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (prompts, positions), generator=generator)
    answers = torch.randint(vocabulary, (prompts, 2), generator=generator)
    signs = torch.tensor([1.0, -1.0]).expand(prompts, 2)
    data = Prompts("random", tokens, answers, signs, [""] * prompts, {})
    loaded = resident()
    way = build()
    way.task(data[:2], LOGIT_DIFFERENCE)
    runs, step = list[float](), max(32, prompts // 64)
    while len(runs) < RUNS and sum(runs) < SECONDS:
        done, began = 0, time.perf_counter()
        while done < prompts and time.perf_counter() - began < SECONDS:
            done += len(way.task(data[done : done + step], LOGIT_DIFFERENCE))
        runs.append(time.perf_counter() - began)
    seconds = float(np.median(runs)) * (1 if method == "sweep" else heads_per_layer)
    return {"measured": done, "runs": len(runs), "seconds": seconds, "loaded": loaded, "resident": resident()}
