"""The plain way: one hooked forward pass per head. The reference that the sweep equals."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.engine import Scores
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Metric, Prompts

HOOKED = 16
"""Prompts in a hooked forward pass; all their logits are held at once."""


class Hooks:
    """The reference: one hooked forward pass a head, on any architecture with ``hook_z``."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.sets: list[HeadSet] = [(), *((head,) for head in range(subject.heads))]

    def task(self, prompts: Prompts, metric: Metric) -> Scores:
        """See :class:`Engine`."""
        scores = hooked_task(self.subject, prompts, metric, self.sets)
        return Scores(scores[:, 0], scores[:, 1:], loss=False)

    def control(self, spans: Int[Tensor, "spans pos"]) -> Scores:
        """See :class:`Engine`."""
        scores = hooked_control(self.subject, spans, self.sets)
        return Scores(scores[:, 0], scores[:, 1:], loss=True)


HeadSet = Sequence[int]


@torch.inference_mode()
def ablated_logits(subject: Subject, tokens: Int[Tensor, "batch pos"], heads: HeadSet) -> Tensor:
    """Logits ``[batch, pos, vocab]`` with a set of heads zero-ablated by hooks on ``hook_z``.

    Raises ``ValueError`` when the bridge's ``hook_z`` has no dimension for heads.
    """
    by_layer: dict[int, list[int]] = {}
    for head in heads:
        by_layer.setdefault(head // subject.heads_per_layer, []).append(
            head % subject.heads_per_layer
        )

    def zero(z: Tensor, hook: Any, these: list[int]) -> Tensor:
        if z.dim() != 4 or z.shape[2] != subject.heads_per_layer:
            raise ValueError(
                f"{subject.name} has no hook_z per head: {hook.name} is {tuple(z.shape)}, not "
                f"[batch, pos, {subject.heads_per_layer}, d_head], so its heads cannot be ablated one by one"
            )
        return z.index_fill(2, torch.tensor(these, device=z.device), 0.0)

    hooks = [
        (f"blocks.{layer}.attn.hook_z", lambda z, hook, these=these: zero(z, hook, these))
        for layer, these in by_layer.items()
    ]
    tokens = tokens.to(subject.bridge.W_E.device)
    return subject.bridge.run_with_hooks(tokens, fwd_hooks=hooks)


def hooked_task(
    subject: Subject, prompts: Prompts, metric: Metric, head_sets: Sequence[HeadSet]
) -> Float[Tensor, "batch sets"]:
    """The reference: the task metric with each set of heads ablated, one forward pass a set for every
    ``HOOKED`` prompts."""

    def score(some: Prompts, heads: HeadSet) -> Tensor:
        logits = ablated_logits(subject, some.tokens, heads)[:, -1].cpu()
        signs = some.signs.to(logits.dtype)
        return metric.function(logits.gather(1, some.candidates), logits.logsumexp(-1), signs)

    pieces = [prompts[at : at + HOOKED] for at in range(0, len(prompts), HOOKED)]
    return torch.cat([torch.stack([score(p, heads) for heads in head_sets], 1) for p in pieces])


def hooked_control(
    subject: Subject, spans: Int[Tensor, "spans pos"], head_sets: Sequence[HeadSet]
) -> Float[Tensor, "spans sets"]:
    """The reference: the mean next-token loss (nats) with each set of heads ablated."""

    def score(some: Tensor, heads: HeadSet) -> Tensor:
        logits = ablated_logits(subject, some, heads)[:, :-1]
        targets = some[:, 1:].flatten().to(logits.device)
        losses = F.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
        return losses.view(len(some), -1).mean(1).cpu()

    pieces = spans.split(HOOKED)
    return torch.cat([torch.stack([score(p, heads) for heads in head_sets], 1) for p in pieces])
