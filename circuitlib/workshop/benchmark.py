"""``python -m circuitlib.workshop.benchmark``: how fast, on this machine, in one run.

Sweeps and trainings that are compared run in one process, in turns, after a warm-up; a time is the median of
at least five, in ``growth`` of at most three, and ``pipeline`` is one run.
Three ways to measure the damage of every head, on the same prompts and weights:

* ``sweep``: :class:`circuitlib.ablation.sweep.Sweep`;
* ``hooks``: one hooked forward pass of the ``TransformerBridge`` a head;
* ``transformers``: one forward pass of the Hugging Face model a head, with a pre-hook on the output
  projection of its attention.

For the slow two, the heads of the diagonal (one a layer) are timed and the time is scaled to all heads: a
pass costs the same whichever head is zeroed. Operations are those of :mod:`circuitlib.companion.speed`; memory is
the largest resident size of a process of its own.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from circuitlib.ablation.hooks import HOOKED, hooked_control, hooked_task
from circuitlib.ablation.onednn import Linear
from circuitlib.ablation.sweep import Sweep
from circuitlib.companion.notebooks import IN_ALL
from circuitlib.companion.run import Run
from circuitlib.companion.speed import Cost, Shape, hooks_cost, sweep_cost
from circuitlib.manifest import written_whole
from circuitlib.paths import RESULTS, ROOT, SUBJECTS
from circuitlib.search.episodes import RewardSource
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer, product
from circuitlib.subjects.checkpoints import find_checkpoint
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS, Metric, Prompts
from circuitlib.tasks.control_text import SPAN, control_spans

RECORDED = RESULTS / "speed"


REPEATS = 5


GPT2_SHAPE = "gpt2-shape"
"""GPT-2 small's sizes (12 x 12 heads, width 768, 50,257 tokens) with random weights."""


WORKLOADS = ("ioi", "induction", "control")


def random_checkpoint(
    folder: Path, layers: int = 12, heads: int = 12, width: int = 768, vocabulary: int = 50_257
) -> Path:
    """Write a GPT-2 with random weights and the embedded subject's tokenizer into ``folder``."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(SUBJECTS / "gpt2-mini")
    bos = tokenizer.bos_token_id
    config = GPT2Config(
        vocab_size=vocabulary, n_embd=width, n_layer=layers, n_head=heads, bos_token_id=bos, eos_token_id=bos
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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
def matmul_rate(
    dtype: torch.dtype = torch.float32, device: str = "cpu", torchs: bool = False
) -> float:
    """Operations per second of a product of two 2048 x 2048 matrices, by the library that
    :class:`circuitlib.ablation.onednn.Linear` takes or by torch's own choice: the median of 7."""
    left, right = (torch.ones(2048, 2048, dtype=dtype, device=device) for _ in range(2))
    linear = partial(F.linear, weight=right) if torchs else Linear(right, None, dtype)

    def multiply() -> None:
        linear(left)
        if device != "cpu":
            torch.cuda.synchronize()

    return 2 * 2048**3 / float(np.median(interleaved({"multiply": multiply}, 7)["multiply"]))


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the times were taken on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        "float32 matrix products, GFLOP/s": round(matmul_rate(device=device) / 1e9, 1),
        "float32 matrix products, torch's own, GFLOP/s": round(
            matmul_rate(device=device, torchs=True) / 1e9, 1
        ),
        "bfloat16 matrix products, GFLOP/s": round(matmul_rate(torch.bfloat16, device) / 1e9, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "transformer-lens")},
    }


def diagonal(layers: int, per_layer: int) -> list[int]:
    """One head a layer."""
    return [layer * per_layer + layer % per_layer for layer in range(layers)]


@torch.inference_mode()
def plain_logits(model: Any, tokens: Tensor, head: int) -> Tensor:
    """``[batch, pos, vocab]`` of a plain GPT-2 of the transformers library, with one head zeroed by a pre-hook."""
    per_layer = model.config.n_head
    d_head = model.config.n_embd // per_layer
    at = slice(head % per_layer * d_head, (head % per_layer + 1) * d_head)

    def zero(module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        z = inputs[0].clone()
        z[..., at] = 0
        return (z,)

    projection = model.transformer.h[head // per_layer].attn.c_proj
    with projection.register_forward_pre_hook(zero):
        return model(tokens).logits


def plain_task(model: Any, prompts: Prompts, metric: Metric) -> Tensor:
    """The metric with each head of the diagonal ablated, ``[prompts, layers]``, ``HOOKED`` prompts a pass as
    in :func:`circuitlib.ablation.hooks.hooked_task`."""

    def score(some: Prompts, head: int) -> Tensor:
        last = plain_logits(model, some.tokens, head)[:, -1]
        return metric.function(last.gather(1, some.candidates), last.logsumexp(-1), some.signs)

    heads = diagonal(model.config.n_layer, model.config.n_head)
    pieces = [prompts[at : at + HOOKED] for at in range(0, len(prompts), HOOKED)]
    return torch.cat([torch.stack([score(some, head) for head in heads], 1) for some in pieces])


@dataclass(frozen=True)
class Workload:
    """Prompts of one task, or control spans, and three ways to measure them."""

    name: str
    subject: Subject
    directory: Path
    data: Any

    @classmethod
    def of(cls, name: str, subject: Subject, directory: Path, positions: int) -> "Workload":
        """As many prompts of one length as make about ``positions`` positions; one at least."""
        if name == "control":
            spans = control_spans(subject.tokenizer, max(1, positions // SPAN), 0, "train")
            return cls(name, subject, directory, spans)
        groups = TASKS[name].prompts(subject.tokenizer, 4 + positions // 2, seed=0)
        prompts = max(groups, key=len)
        count = max(1, positions // prompts.tokens.shape[1])
        return cls(name, subject, directory, prompts[slice(0, count)])

    @property
    def tokens(self) -> Tensor:
        """``[prompts, pos]``."""
        return self.data.tokens if isinstance(self.data, Prompts) else self.data

    @property
    def diagonal(self) -> list[int]:
        """See :func:`diagonal`."""
        return diagonal(self.subject.layers, self.subject.heads_per_layer)

    def sweep(self, sweep: Sweep) -> Tensor:
        """Every head, ``[prompts, heads]``."""
        if isinstance(self.data, Prompts):
            return sweep.task(self.data, TASKS[self.name].metric)[1]
        return sweep.control(self.data)[1]

    def hooks(self) -> Tensor:
        """The diagonal's heads, ``[prompts, layers]``."""
        sets = [[head] for head in self.diagonal]
        if isinstance(self.data, Prompts):
            return hooked_task(self.subject, self.data, TASKS[self.name].metric, sets)
        return hooked_control(self.subject, self.data, sets)

    @torch.inference_mode()
    def transformers(self, model: Any) -> Tensor:
        """The diagonal's heads, ``[prompts, layers]``, by a plain GPT-2 of the transformers library."""
        if isinstance(self.data, Prompts):
            return plain_task(model, self.data, TASKS[self.name].metric)
        columns = []
        for head in diagonal(model.config.n_layer, model.config.n_head):
            logits, ids = plain_logits(model, self.tokens, head), self.tokens[:, 1:].flatten()
            losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids, reduction="none")
            columns.append(losses.view(len(self.tokens), -1).mean(1))
        return torch.stack(columns, dim=1)

    @property
    def cost(self) -> Cost:
        """Of the sweep."""
        shape, (count, length) = Shape.of(self.subject.bridge), self.tokens.shape
        if isinstance(self.data, Prompts):
            return sweep_cost(shape, count, length, self.data.candidates.shape[1], True)
        return sweep_cost(shape, count, length - 1, (length - 1) * shape.vocabulary, False)


def sweeps(
    name: str, positions: int, repeats: int = REPEATS, workloads: Sequence[str] = WORKLOADS
) -> pd.DataFrame:
    """The three ways, and the sweep in bfloat16, on about ``positions`` positions of each workload.

    name: of a subject, taken under the convention ``raw``, so that all compute the same. Columns: subject,
    workload, prompts, positions, method, seconds (median, all heads), low, high (quartiles), speedup (over
    hooks), share (of the float32 matrix-product rate of the same run), error and exact_error (largest difference
    from hooks, and from hooks in float64), scale (largest size of what is measured).
    """
    subject, directory = load_subject(name, "raw"), find_checkpoint(name)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    exact, narrow = Sweep(subject), Sweep(subject, torch.bfloat16)
    double = load_subject(name, "raw")
    double.bridge.double()
    rows = []
    for workload in (Workload.of(w, subject, directory, positions) for w in workloads):
        actions: dict[str, Callable[[], Tensor]] = {
            "sweep": partial(workload.sweep, exact),
            "sweep, bfloat16": partial(workload.sweep, narrow),
            "hooks": workload.hooks,
            "transformers": partial(workload.transformers, model),
        }
        rate = matmul_rate()
        seconds = interleaved(actions, repeats)
        rate = (rate + matmul_rate()) / 2
        reference, exactly = workload.hooks(), replace(workload, subject=double).hooks()
        for method, action in actions.items():
            swept = method.startswith("sweep")
            scale = 1 if swept else subject.heads / len(workload.diagonal)
            low, middle, high = scale * np.percentile(seconds[method], (25, 50, 75))
            cost = workload.cost.flops if swept else _passes_flops(workload)
            values = action()
            values = values[:, workload.diagonal] if swept else values
            rows.append((
                subject.name, workload.name, *workload.tokens.shape, method, middle, low, high,
                cost / middle / rate, float((values - reference).abs().max()),
                float((values - exactly).abs().max()), float(reference.abs().max()),
            ))  # fmt: skip
    frame = pd.DataFrame(rows, columns=[
        "subject", "workload", "prompts", "positions", "method", "seconds", "low", "high", "share", "error", "exact_error", "scale",
    ])  # fmt: skip
    hooks = frame[frame["method"] == "hooks"].set_index("workload")["seconds"]
    frame.insert(6, "speedup", frame["workload"].map(hooks) / frame["seconds"])
    return frame


def _passes_flops(workload: Workload) -> int:
    shape, (count, length) = Shape.of(workload.subject.bridge), workload.tokens.shape
    heads = shape.layers * shape.heads
    return hooks_cost(shape, count, length).flops * heads // (heads + 1)


def ideas(repeats: int = REPEATS) -> pd.DataFrame:
    """What was tried on the way, measured on this machine. Columns: idea, with_it, without (seconds),
    ratio (above 1: it pays)."""
    subject = load_subject("gpt2-mini")
    directory = find_checkpoint("gpt2-mini")
    long = Workload.of("induction", subject, directory, 256)
    short = Workload.of("ioi", subject, directory, 128)
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(732, 192, generator=generator),
        torch.randn(768, 192, generator=generator),
    )
    whole, gelu = (Linear(weight, None, torch.float32, name) for name in (None, "gelu_new"))
    rows_of_seeds, weights_of_seeds = (
        torch.randn(5, n, 256, generator=generator) for n in (50, 256)
    )
    clean, z = torch.randn(732, 768, generator=generator), x[:, :16].contiguous()
    q, k, v = (torch.randn(144, 61, 16, generator=generator) for _ in range(3))
    q15, k15, v15 = (t[:, :15].contiguous() for t in (q, k, v))

    def explicit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.full(q.shape[-2:-1] * 2, float("-inf")).triu(1)
        return torch.baddbmm(mask, q, k.transpose(1, 2), alpha=0.25).softmax(-1) @ v

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], is_causal=True)

    def low_rank() -> Tensor:
        scale = x.var(-1, correction=0).add(1e-5).rsqrt()[:, None]
        return torch.addmm(clean, z, weight[:, :16].T, alpha=-1).mul_(scale).add_(weight[:, 0])

    def one_thread_pool(workload: Workload, sweep: Sweep) -> Tensor:
        # One group at a time, its products shared by all threads.
        return torch.cat(
            [workload_of(workload, i).sweep(sweep) for i in range(len(workload.tokens))]
        )

    def workload_of(workload: Workload, i: int) -> Workload:
        return Workload(workload.name, subject, directory, workload.data[i : i + 1])

    small, usual, large = (Sweep(subject, positions=n) for n in (96, None, 12_288))
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "prompts on a thread each, rather than products shared by threads": (
            lambda: long.sweep(usual), lambda: one_thread_pool(long, usual)),
        "768 positions at once, rather than 12,288": (lambda: long.sweep(usual), lambda: long.sweep(large)),
        "768 positions at once, rather than 96": (lambda: short.sweep(usual), lambda: short.sweep(small)),
        "softmax by hand, rather than fused attention, 61 positions": (
            lambda: explicit(q, k, v), lambda: fused(q, k, v)),
        "softmax by hand, rather than fused attention, 15 positions": (
            lambda: explicit(q15, k15, v15), lambda: fused(q15, k15, v15)),
        "first MLP product as an update of rank 16, rather than whole": (
            low_rank, lambda: whole(F.layer_norm(x, (192,)))),
        "oneDNN's product, rather than torch's own, 732 rows of 192 to 768": (
            lambda: whole(x), lambda: F.linear(x, weight)),
        "GELU within that product, rather than after it": (
            lambda: gelu(x), lambda: F.gelu(whole(x), approximate="tanh")),
        "numpy's products of 5 seeds, rather than torch's own, 50 rows of 256 to 256": (
            lambda: product(rows_of_seeds, weights_of_seeds), lambda: rows_of_seeds @ weights_of_seeds),
    }  # fmt: skip
    rows = []
    for idea, (with_it, without) in pairs.items():
        fast = not idea.startswith(("prompts", "768"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if fast else threads)  # as in a sweep's threads
        with threadpool_limits(1 if fast else None, "blas"), torch.inference_mode():
            seconds = interleaved({"with": with_it, "without": without}, 50 if fast else repeats)
        torch.set_num_threads(threads)
        medians = [float(np.median(seconds[name])) for name in ("with", "without")]
        rows.append((idea, *medians, medians[1] / medians[0]))
    return pd.DataFrame(rows, columns=["idea", "with_it", "without", "ratio"])


def resident() -> float:
    """The largest resident size of this process so far, GiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, too
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _measured(
    name: str, prompts: int, positions: int, method: str, seconds: float
) -> dict[str, Any]:
    """In a process of its own: random prompts of any length through one method. The median of three runs, or
    of those that begin within ``seconds``; a run goes no further than that. The slow two run the diagonal's
    heads, and count for all."""
    measure: Callable[[Prompts], Tensor]
    metric = TASKS["ioi"].metric
    if method == "transformers":
        model = AutoModelForCausalLM.from_pretrained(
            find_checkpoint(name), dtype=torch.float32
        ).eval()
        vocabulary, times = model.config.vocab_size, model.config.n_head
        measure = partial(plain_task, model, metric=metric)
    else:
        subject = load_subject(name, "raw")
        vocabulary, times = len(subject.bridge.W_E), subject.heads_per_layer
        sets = [[head] for head in diagonal(subject.layers, subject.heads_per_layer)]
        measure = partial(hooked_task, subject, metric=metric, head_sets=sets)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (prompts, positions), generator=generator)
    answers = torch.randint(vocabulary, (prompts, 2), generator=generator)
    signs = torch.tensor([1.0, -1.0]).expand(prompts, 2)
    data = Prompts("random", tokens, answers, signs, [""] * prompts, {})
    loaded = resident()
    if method == "sweep":
        sweep, times = Sweep(subject), 1
        measure = lambda some: sweep.task(some, metric)[1]  # noqa: E731
    runs, step = list[float](), max(32, prompts // 64)
    measure(data[:2])
    while len(runs) < 3 and sum(runs) < seconds:
        done, began = 0, time.perf_counter()
        while done < prompts and time.perf_counter() - began < seconds:
            done += len(measure(data[done : done + step]))
        runs.append(time.perf_counter() - began)
    return {
        "measured": done, "runs": len(runs), "seconds": times * float(np.median(runs)), "loaded": loaded,
        "resident": resident(),
    }  # fmt: skip


def _alone(name: str, prompts: int, positions: int, method: str, seconds: float) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, name, prompts, positions, method, seconds).result()


def growth(gpt2_shape: str, folder: Path) -> pd.DataFrame:
    """Time and memory of one sweep as one size grows, each in a process of its own, weights random.

    Columns: grows (which size), size, subject, prompts, positions, method, measured (prompts that were; a
    sweep is stopped after a minute), runs, seconds (their median), loaded, resident (GiB, before and at most).
    """
    base = {"layers": 12, "heads": 12, "width": 192, "vocabulary": 4096}
    rows = []

    def add(
        grows: str, size: int, name: str, prompts: int, positions: int, method: str = "sweep"
    ) -> None:
        result = _alone(name, prompts, positions, method, 60.0)
        rows.append(
            {"grows": grows, "size": size, "subject": Path(name).name, "prompts": prompts,
             "positions": positions, "method": method} | result
        )  # fmt: skip

    plain = str(random_checkpoint(folder / "mini-shape", **base))
    for prompts in (8, 32, 128):
        add("prompts", prompts, plain, prompts, 16)
    for positions in (16, 64, 256):
        add("positions", positions, plain, 8, positions)
    for layers in (3, 6, 12):
        name = str(random_checkpoint(folder / f"layers-{layers}", **(base | {"layers": layers})))
        add("layers", layers, name, 16, 32)
    for width in (96, 192, 384, 768):
        name = str(random_checkpoint(folder / f"width-{width}", **(base | {"width": width})))
        add("width", width, name, 8, 32)
    for name in ("gpt2-mini", gpt2_shape):
        for method in ("sweep", "hooks", "transformers"):
            add("method", 64, name, 64, 15, method)
    add("method", 4096, gpt2_shape, 4096, 15)
    return pd.DataFrame(rows)


class _Ours:
    """Our PPO on ``seeds`` seeds, trained a part at a time."""

    def __init__(self, source: RewardSource, steps: int, seeds: int) -> None:
        self.seeds = seeds
        self.trainer = Trainer(source, PPOConfig(total_steps=steps), range(seeds))

    def advance(self, updates: int) -> None:
        """Train until so many updates are done in all."""
        self.trainer.train(stop=lambda: self.trainer.done >= updates)

    def found(self) -> dict[str, float]:
        """For each task, the mean best reward of the last tenth of the episodes."""
        history = pd.DataFrame(self.trainer.history)
        late = history[history["update"] > 0.9 * history["update"].max()]
        return late.groupby("task")["best"].mean().to_dict()


class _Maskable:
    """sb3-contrib's ``MaskablePPO`` on one seed and so many of torch's threads, trained a part at a time."""

    seeds = 1

    def __init__(self, source: RewardSource, steps: int, threads: int) -> None:
        from circuitlib.workshop.maskable import BestRewards, maskable_ppo

        self.tasks, self.threads = source.tasks, threads
        self.model = maskable_ppo(source, PPOConfig(total_steps=steps), 0)
        self.bests = BestRewards(len(source.tasks))

    def advance(self, updates: int) -> None:
        """Train until so many updates are done in all."""
        steps = updates * PPOConfig.environments * PPOConfig.rollout - self.model.num_timesteps
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            self.model.learn(steps, callback=self.bests, reset_num_timesteps=False)
        finally:
            torch.set_num_threads(before)

    def found(self) -> dict[str, float]:
        """For each task, the mean best reward of the last tenth of the episodes."""
        last = -(-len(self.bests.best) // 10)
        best, tasks = (np.stack(x[-last:]) for x in (self.bests.best, self.bests.tasks))
        return {task: float(best[tasks == i].mean()) for i, task in enumerate(self.tasks)}


def _resident_after(training: Callable[[], _Ours | _Maskable], updates: int) -> float:
    training().advance(updates)
    return resident()


def policies(source: RewardSource, steps: int, many: int, repeats: int = REPEATS) -> pd.DataFrame:
    """Our PPO against sb3-contrib's ``MaskablePPO``: same settings, network and reward table.

    ``MaskablePPO`` runs with torch's own number of threads, and with one. Each trains
    for ``steps`` steps a seed, cut into ``repeats`` + 1 parts that are trained in turns; set-up is not timed.
    Columns: method, seeds, rate (environment steps a second, of all seeds: the median of the parts after the
    first), seconds (of all parts), resident (GiB, after ten updates in a process of its own), and for each task the mean best
    reward of the last tenth of the training's episodes.
    """
    config = PPOConfig(total_steps=steps)
    methods: dict[str, Callable[[], _Ours | _Maskable]] = {
        "MaskablePPO": partial(_Maskable, source, steps, torch.get_num_threads()),
        "MaskablePPO, one thread": partial(_Maskable, source, steps, 1),
        "ours": partial(_Ours, source, steps, 1),
        f"ours, {many} seeds": partial(_Ours, source, steps, many),
    }
    most = {}
    for name, method in methods.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            most[name] = pool.submit(_resident_after, method, min(10, config.updates)).result()
    trainings = {name: method() for name, method in methods.items()}
    ends = [config.updates * part // (repeats + 1) for part in range(repeats + 2)]
    turns: dict[str, list[float]] = {name: [] for name in methods}
    for end in ends[1:]:
        for name, training in trainings.items():
            began = time.perf_counter()
            training.advance(end)
            turns[name].append(time.perf_counter() - began)
    counted = np.diff(ends)[1:] * config.environments * config.rollout
    return pd.DataFrame(
        [
            {
                "method": name, "seeds": training.seeds,
                "rate": training.seeds * float(np.median(counted / turns[name][1:])),
                "seconds": sum(turns[name]), "resident": most[name], **training.found(),
            }
            for name, training in trainings.items()
        ]
    )  # fmt: skip


PIPELINE = [
    "--train-prompts", "32", "--evaluation-prompts", "32", "--seeds", "1", "--steps", "4000", "--episodes", "2",
    "--control", "docstrings",
]  # fmt: skip
"""``circuitlib.companion.reproduce`` on few prompts."""


def pipeline(gpt2_shape: str) -> pd.DataFrame:
    """All notebooks on GPT-2's shape with random weights, few prompts, from damage tables to figures.

    Columns: notebook, seconds (two notebooks run side by side), and, in the row ``in all``, resident (GiB:
    the largest sum over all processes of the run, looked at every second). Raises ``RuntimeError`` when a
    notebook fails.
    """
    (ROOT / "runs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "runs") as output:
        command = [sys.executable, "-m", "circuitlib.companion.reproduce", "--subject", gpt2_shape]
        command += ["--output", str(Path(output).relative_to(ROOT)), *PIPELINE]
        began, most = time.perf_counter(), 0.0
        run = psutil.Popen(command, cwd=ROOT)
        try:
            while run.poll() is None:
                now = 0
                with contextlib.suppress(psutil.NoSuchProcess):
                    for process in (run, *run.children(recursive=True)):
                        now += process.memory_info().rss
                most = max(most, now / 2**30)
                time.sleep(1.0)
        finally:
            if run.poll() is None:
                for process in (*run.children(recursive=True), run):
                    process.terminate()
                run.wait()
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {run.returncode}; see its message")
        taken = time.perf_counter() - began
        rows: list[dict[str, Any]] = []
        for path in sorted(Path(output).glob("notebooks/*/*.ipynb")):
            duration = json.loads(path.read_text())["metadata"]["papermill"]["duration"]
            rows.append({"notebook": path.stem, "seconds": duration})
    return pd.DataFrame([*rows, {"notebook": IN_ALL, "seconds": taken, "resident": most}])


def recorded(name: str) -> pd.DataFrame:
    """A table as measured for the repository: sweeps, ideas, growth, policies or pipeline."""
    return pd.read_csv(RECORDED / f"{name}.csv")


def recorded_machine() -> dict[str, Any]:
    """The machine that :func:`recorded` is from."""
    return json.loads((RECORDED / "machine.json").read_text())


def _write(folder: Path, name: str, content: pd.DataFrame | dict[str, Any]) -> None:
    if isinstance(content, dict):
        with written_whole(folder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")
        print(json.dumps(content, indent=1))
    else:
        with written_whole(folder / f"{name}.csv") as temporary:
            content.to_csv(temporary, index=False, float_format="%.4g")
        print(content.to_string(index=False, float_format=lambda value: f"{value:.3g}"), flush=True)


PARTS = ("sweeps", "ideas", "policies", "growth", "pipeline")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; tables go to ``--output``."""
    parser = argparse.ArgumentParser(
        prog="python -m circuitlib.workshop.benchmark",
        description="Measure the sweep, its alternatives and PPO side by side on this machine.",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS[:-1]),
        help="what to measure (default: all but pipeline, which takes most of an hour)",
    )
    parser.add_argument(
        "--positions",
        type=int,
        default=512,
        help="positions of each workload (default: 512; an eighth of them on GPT-2's shape)",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=REPEATS,
        help=f"turns that count, at least {REPEATS} (default: {REPEATS})",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=PPOConfig.total_steps,
        help="steps of each PPO training (default: the paper's)",
    )
    parser.add_argument("--seeds", type=int, default=10, help="seeds trained at once (default: 10)")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "runs" / "speed",
        help="folder for the tables (default: runs/speed)",
    )
    options = parser.parse_args(arguments)
    if options.repeats < REPEATS or options.positions < 8:
        parser.error(f"--repeats must be at least {REPEATS}, and --positions at least 8")
    if options.parts == list(PARTS[:-1]):
        print("about 20 minutes on two cores, if nothing else runs", flush=True)
    _write(options.output, "machine", machine())
    with tempfile.TemporaryDirectory() as temporary:
        gpt2_shape = str(random_checkpoint(Path(temporary) / GPT2_SHAPE))
        if "sweeps" in options.parts:
            frames = [
                sweeps(name, positions, options.repeats)
                for name, positions in (
                    ("gpt2-mini", options.positions),
                    (gpt2_shape, options.positions // 8),
                )
            ]
            _write(options.output, "sweeps", pd.concat(frames))
        if "ideas" in options.parts:
            _write(options.output, "ideas", ideas(options.repeats))
        if "policies" in options.parts:
            source = Run().training_rewards()
            _write(
                options.output,
                "policies",
                policies(source, options.steps, options.seeds, options.repeats),
            )
        if "growth" in options.parts:
            _write(options.output, "growth", growth(gpt2_shape, Path(temporary)))
        if "pipeline" in options.parts:
            _write(options.output, "pipeline", pipeline(gpt2_shape))
    print(f"tables: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
