"""Ways to ablate every head: this library's, hooks on TransformerLens' bridge, and plain transformers.

All but the sweep make a pass per head, and a pass costs the same whichever head is ablated: they are asked for
the heads of the diagonal, one per layer, and their time is scaled.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.hooks import HOOKED, hooked_control, hooked_task
from circuitlib.ablation.sweep import Sweep
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Metric, Prompts

OUTPUT_PROJECTIONS = (".attn.c_proj", ".self_attn.o_proj", ".attention.dense")
"""What transformers calls the output projection of attention in GPT-2, in Llama and its kin, in GPT-NeoX."""

POSITIONS = {"cpu": 1024, "cuda": 1 << 14}
"""Positions in a batch of many heads side by side."""


@dataclass(frozen=True)
class Way:
    """Scores ``[prompts, heads]`` of a task's prompts, and of control spans."""

    task: Callable[[Prompts, Metric], Tensor]
    control: Callable[[Tensor], Tensor]


def diagonal(layers: int, heads_per_layer: int) -> list[int]:
    """One head per layer, each at another place."""
    return [layer * heads_per_layer + layer % heads_per_layer for layer in range(layers)]


def by_sweep(subject: Subject, matmul: torch.dtype | None = None) -> Way:
    """:class:`circuitlib.ablation.sweep.Sweep`: every head."""
    sweep = Sweep(subject, matmul=matmul)
    return Way(lambda prompts, metric: sweep.task(prompts, metric).ablated, lambda spans: sweep.control(spans).ablated)


def by_hooks(subject: Subject) -> Way:
    """One hooked pass of the ``TransformerBridge`` per head of the diagonal."""
    sets = [[head] for head in diagonal(subject.layers, subject.heads_per_layer)]
    return Way(partial(hooked_task, subject, head_sets=sets), partial(hooked_control, subject, head_sets=sets))


def by_transformers(model: Any, batched: bool) -> Way:
    """A plain model of the transformers library, the heads of the diagonal.

    Either a pass per head, or, ``batched``, many heads side by side in a pass and no logit that is not read.
    """
    heads = torch.tensor(diagonal(model.config.num_hidden_layers, model.config.num_attention_heads))
    device = model.device

    def scores(tokens: Tensor, score: Callable[[Tensor, Tensor], Tensor], keep: int) -> Tensor:
        (count, length), tokens = tokens.shape, tokens.to(device)
        pairs = torch.cartesian_prod(heads, torch.arange(count))
        groups = [pairs] if batched else pairs.split(count)
        at_once = max(1, POSITIONS[device.type] // length) if batched else HOOKED[device.type]
        parts = [
            score(ablated_logits(model, tokens[row], head, keep if batched else 0), row)
            for group in groups
            for head, row in (pair.T for pair in group.split(at_once))
        ]
        return torch.cat(parts).view(len(heads), count).T.cpu()

    def task(prompts: Prompts, metric: Metric) -> Tensor:
        def score(logits: Tensor, rows: Tensor) -> Tensor:
            last = logits[:, -1]
            answers = last.gather(1, prompts.candidates[rows].to(device))
            return metric.function(answers, last.logsumexp(-1), prompts.signs[rows].to(device))

        return scores(prompts.tokens, score, 1)

    def control(spans: Tensor) -> Tensor:
        def score(logits: Tensor, rows: Tensor) -> Tensor:
            targets = spans[rows, 1:].to(device)
            return F.cross_entropy(logits[:, :-1].mT, targets, reduction="none").mean(1)

        return scores(spans, score, 0)

    return Way(task, control)


@torch.inference_mode()
def ablated_logits(
    model: Any, tokens: Int[Tensor, "rows pos"], heads: Int[Tensor, " rows"], keep: int
) -> Float[Tensor, "rows kept vocab"]:
    """Logits of a plain model, in each row with a head of its own zeroed in the input of the output projection.

    keep: how many of the last positions' logits to compute; 0 for all.
    """
    heads_per_layer = model.config.num_attention_heads
    layers, places = heads // heads_per_layer, heads % heads_per_layer
    modules = [m for name, m in model.named_modules() if name.endswith(OUTPUT_PROJECTIONS)]

    def zero(module: Any, inputs: tuple[Tensor], rows: Tensor) -> tuple[Tensor]:
        z = inputs[0].unflatten(-1, (heads_per_layer, -1)).clone()
        z[rows, :, places[rows]] = 0
        return (z.flatten(-2),)

    with ExitStack() as hooks:
        for layer in layers.unique().tolist():
            hook = partial(zero, rows=(layers == layer).nonzero()[:, 0])
            hooks.enter_context(modules[layer].register_forward_pre_hook(hook))
        return model(tokens, logits_to_keep=keep, use_cache=False).logits
