"""Every head's damage at once, estimated: one forward and one backward pass.

Give every head a gate g, so that its ``hook_z`` is ``r + g (z - r)``, where r is what an ablation puts in its
place. At g = 1 nothing is changed, at g = 0 the head is ablated, and the slope at 1 of the score m says, to first
order, what closing the gate takes from it:

    m(1) - m(0)  =  about dm/dg  =  sum over positions of (z - r) . dm/dz

For zero-ablation this is the head importance of Michel et al. 2019 (arXiv 1905.10650) with its sign, and
attribution patching (Syed et al. 2023, arXiv 2310.10348) with zero as the other prompt. It is exact where the score
is linear in the gate, and wrong where it saturates: a softmax or a norm that makes up for what is missing.

Two coarser estimates follow by cutting the backward pass (``through``): with norms and attention patterns held as they are
(what relevance propagation does in transformers, Achtibat et al. 2024, arXiv 2402.05602), and through the residual stream
alone, which is direct logit attribution (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html) with its slope through the last norm.

Price: a backward pass is two forward passes, so all heads on n prompts and n spans, that is one gradient of
m + lambda L, cost as much as measuring 3 heads; a resample ablation adds one forward pass, of the counterfactuals. The direct
effect needs a forward pass and products with each head's output: 1.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from circuitlib.ablation.edits import EDITED, Weights
from circuitlib.ablation.engine import ZERO, Ablation, Heads, Scores, Tokens, refuse_prompts, refuse_tokens, some_heads
from circuitlib.ablation.estimates import Through
from circuitlib.ablation.hooks import (
    RUNNING,
    Hook,
    HookedBridge,
    Score,
    control_score,
    hook_z,
    hooked_at_once,
    hooks_of_users,
    refuse_without_heads,
    run,
    task_score,
    values_of,
)
from circuitlib.subjects.load import Subject
from circuitlib.subjects.types import Bridge
from circuitlib.tasks.base import Metric, Prompts

CUT: dict[Through, tuple[str, ...]] = {
    "everything": (),
    "frozen": (".hook_scale", ".hook_pattern"),
    "residual": (".ln1.hook_in", ".ln2.hook_in"),
}
"""Ends of the names of the hook points at which it stops."""


class Attribution:
    """An :class:`circuitlib.ablation.engine.Engine` that estimates, on every architecture with ``hook_z``.

    ``Scores.clean`` is exact; ``Scores.ablated`` is where the tangent ends, so that ``Scores.damage`` is the slope.
    The bridge is left as it was: no hook, no gradient, no parameter that wants one.

    Raises ``ValueError`` for a ``through`` whose hook points the bridge does not have; from a call for means of weights that have been edited since, and
    :class:`circuitlib.ablation.hooks.HookedBridge` when it has hooks on its backward pass.
    """

    def __init__(self, subject: Subject, ablation: Ablation = ZERO, through: Through = "everything") -> None:
        self.subject, self.ablation = subject, ablation
        self.cuts = [name for name in subject.bridge.hook_dict if name.endswith(CUT[through])] if CUT[through] else []
        if missing := [end for end in CUT[through] if not any(name.endswith(end) for name in self.cuts)]:
            raise ValueError(f"{subject.name} has no hook point {missing[0]!r}, so attribution cannot be {through!r}")
        self.means = values_of(subject, ablation, None) if ablation.kind == "mean" else None
        self._weights = Weights(subject.bridge)

    def task(self, prompts: Prompts, metric: Metric, heads: Heads = None) -> Scores:
        """See :class:`Engine`. Raises ``ValueError`` for a metric that has no gradient, and for prompts without
        counterfactuals when the ablation is ``resample``."""
        refuse_prompts(self.subject, prompts)
        return self._estimate(prompts.tokens, prompts.counterfactual, heads, task_score(prompts, metric), loss=False)

    def control(self, spans: Tokens, counterfactual: Tokens | None = None, heads: Heads = None) -> Scores:
        """See :class:`Engine`. Raises ``ValueError`` for a ``resample`` ablation without counterfactuals."""
        refuse_tokens(self.subject, spans, least=2)
        return self._estimate(spans, counterfactual, heads, control_score(spans), loss=True)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _estimate(self, tokens: Tokens, other: Tensor | None, heads: Heads, score: Score, loss: bool) -> Scores:
        other = self.ablation.other(tokens, other)
        if self.means is not None and self._weights.edited():
            raise ValueError(
                f"the weights of {self.subject.name} {EDITED} the means were taken: make a new Attribution"
            )
        if names := hooks_of_users(self.subject.bridge, "backward"):
            raise HookedBridge(
                f"the bridge has hooks on its backward pass ({', '.join(names)}), which could change a gradient; remove them"
            )
        at_once = hooked_at_once(self.subject)
        pieces = [slice(at, at + at_once) for at in range(0, len(tokens), at_once)]
        others = [None if other is None else other[rows] for rows in pieces]
        try:
            parts = [self._of_piece(tokens[rows], o, rows, score) for rows, o in zip(pieces, others, strict=True)]
        finally:
            with RUNNING:
                _forget_graph(self.subject.bridge)
        clean, ablated = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        return Scores(clean, ablated[:, some_heads(heads, self.subject.heads)], loss)

    def _of_piece(self, tokens: Tensor, other: Tensor | None, rows: slice, score: Score) -> tuple[Tensor, Tensor]:
        subject, weights = self.subject, self.subject.bridge.W_E
        shape = (len(tokens), 1, subject.heads_per_layer, 1)
        gates = [weights.new_ones(shape).requires_grad_() for _ in range(subject.layers)]
        closed = self.means or values_of(subject, self.ablation, other)
        # Copies, because a tensor made in inference mode cannot be kept for a backward pass.
        left = [z.clone() for z in closed or [weights.new_zeros(())] * subject.layers]

        def gated(z: Tensor, hook: Any, layer: int) -> Tensor:
            refuse_without_heads(subject, z, hook)
            return torch.lerp(left[layer], z, gates[layer])

        hooks: list[Hook] = [(hook_z(layer), partial(gated, layer=layer)) for layer in range(subject.layers)]
        hooks += [(name, _constant) for name in self.cuts]
        scores = score(run(subject.bridge, tokens, hooks, gradient=True), rows)
        if not scores.requires_grad:
            raise ValueError("the metric has no gradient, so nothing can be attributed; ablate instead")
        slopes = torch.cat(torch.autograd.grad(scores.sum(), gates), 2).flatten(1)
        clean = scores.detach()
        return clean, clean[:, None] - slopes


def _constant(value: Tensor, hook: Any) -> Tensor:
    """The same value, as far as a gradient is concerned a constant."""
    return value.detach()


def _forget_graph(bridge: Bridge) -> None:
    """A bridge's attention keeps its last pattern, and with it the graph of the whole pass."""
    for module in bridge.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                setattr(module, name, value.detach())
