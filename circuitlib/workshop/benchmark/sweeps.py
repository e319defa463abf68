"""Table ``sweeps``: every head of two subjects, in every way, on short prompts, long ones and control spans."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.speed import Shape, pass_flops, sweep_cost
from circuitlib.subjects.checkpoints import find_checkpoint
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS, Prompts
from circuitlib.tasks.control_text import SPAN, control_spans
from circuitlib.workshop.benchmark.machine import interleaved, matmul_rate
from circuitlib.workshop.benchmark.ways import Way, by_hooks, by_sweep, by_transformers, diagonal

WORKLOADS = ("ioi", "induction", CONTROL)


@dataclass(frozen=True)
class Workload:
    """Prompts of one length of a task, or control spans."""

    name: str
    data: Prompts | Tensor

    @classmethod
    def of(cls, name: str, tokenizer: Any, positions: int) -> "Workload":
        """As many as make about ``positions`` positions; one at least."""
        if name == CONTROL:
            return cls(name, control_spans(tokenizer, max(1, positions // SPAN), 0, "train"))
        longest_group = max(TASKS[name].prompts(tokenizer, 4 + positions // 2, seed=0), key=len)
        count = max(1, positions // longest_group.tokens.shape[1])
        return cls(name, longest_group[slice(0, count)])

    @property
    def tokens(self) -> Tensor:
        """``[prompts, pos]``."""
        return self.data.tokens if isinstance(self.data, Prompts) else self.data

    def measure(self, way: Way) -> Tensor:
        """Scores ``[prompts, heads]``, of all heads or of the diagonal's."""
        if isinstance(self.data, Prompts):
            return way.task(self.data, TASKS[self.name].metric)
        return way.control(self.data)

    def flops(self, shape: Shape, method: str) -> int:
        """Operations of a method on all heads."""
        count, length = self.tokens.shape
        answers = self.data.candidates.shape[1] if isinstance(self.data, Prompts) else 0
        if method.startswith("sweep"):
            positions = length if answers else length - 1
            logits = answers or positions * (shape.vocabulary + 1)
            return sweep_cost(shape, count, positions, logits, last_only=bool(answers)).flops
        unembedded = 1 if answers and method == "transformers, batched" else length
        return count * shape.layers * shape.heads * pass_flops(shape, length, unembedded)


def sweeps(subjects: Mapping[str, int], repeats: int, device: str = "cpu") -> Iterator[pd.DataFrame]:
    """Every way on every workload, yielded as it grows.

    subjects: names, and positions of each workload; on a ``device``, and taken under the convention ``raw``, so that all ways compute
    the same. Columns: subject, workload, prompts, positions, method, seconds (median, all heads), speedup (over
    hooks), low, high (quartiles), share (of the float32 matrix-product rate of the same minutes), error and
    exact_error (largest difference from hooks, and from hooks in float64), scale (largest size of what is
    measured).
    """
    rows: list[dict[str, Any]] = []
    for name, positions in subjects.items():
        subject, double = (load_subject(name, "raw", device) for _ in range(2))
        double.bridge.double()
        model = AutoModelForCausalLM.from_pretrained(find_checkpoint(name), dtype=torch.float32).eval().to(device)
        ways = {
            "sweep": by_sweep(subject),
            **(
                {"sweep, bfloat16": by_sweep(subject, torch.bfloat16)}
                if device != "cpu" or multiplies_bfloat16()
                else {}
            ),
            "hooks": by_hooks(subject),
            "transformers": by_transformers(model, batched=False),
            "transformers, batched": by_transformers(model, batched=True),
        }
        for workload in WORKLOADS:
            work = Workload.of(workload, subject.tokenizer, positions)
            rows += _rows(subject, work, ways, work.measure(by_hooks(double)), repeats, device)
            yield pd.DataFrame(rows)


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for it. Without, it takes ten times as long as float32, which nobody wants."""
    return any(there for name, there in torch.cpu.get_capabilities().items() if name.endswith("bf16"))


def _rows(
    subject: Subject, work: Workload, ways: dict[str, Way], exact: Tensor, repeats: int, device: str
) -> list[dict[str, Any]]:
    actions: dict[str, Callable[[], Tensor]] = {method: partial(work.measure, way) for method, way in ways.items()}
    before = matmul_rate(device=device)
    seconds = interleaved(actions, repeats)
    rate = (before + matmul_rate(device=device)) / 2
    heads, shape = diagonal(subject.layers, subject.heads_per_layer), Shape.of(subject.bridge)
    values, quartiles = {}, {}
    for method, action in actions.items():
        swept = method.startswith("sweep")
        values[method] = action()[:, heads] if swept else action()
        quartiles[method] = np.percentile(seconds[method], (25, 50, 75)) * (1 if swept else subject.heads_per_layer)
    return [
        {
            "subject": subject.name,
            "workload": work.name,
            "prompts": len(work.tokens),
            "positions": work.tokens.shape[1],
            "method": method,
            "seconds": middle,
            "speedup": quartiles["hooks"][1] / middle,
            "low": low,
            "high": high,
            "share": work.flops(shape, method) / middle / rate,
            "error": float((values[method] - values["hooks"]).abs().max()),
            "exact_error": float((values[method] - exact).abs().max()),
            "scale": float(exact.abs().max()),
        }
        for method, (low, middle, high) in quartiles.items()
    ]
