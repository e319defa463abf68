"""The plain way: one hooked forward pass per head. The reference that the sweep equals."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from circuitlib.ablation.engine import (
    ZERO,
    Ablation,
    Heads,
    Scores,
    Tokens,
    refuse_prompts,
    refuse_tokens,
    score_type,
    some_heads,
)
from circuitlib.subjects.load import Subject
from circuitlib.subjects.types import Bridge
from circuitlib.tasks import Metric, Prompts, Task

HOOKED = {"cpu": 16, "cuda": 128}
"""Prompts in a hooked forward pass, see :func:`hooked_at_once`; all their logits are held at once."""

HeadSet = Sequence[int]
"""Heads, numbered as actions are, that are ablated together."""

Score = Callable[[Tensor, slice], Tensor]
"""Maps logits ``[n, pos, vocab]`` of some rows, and which rows these are, to their scores ``[n]``."""

Hook = tuple[str, Callable[[Tensor, Any], Tensor | None]]
"""A hook point's name, and what is called with its value."""

LIBRARIES = ("transformer_lens.", "transformers.")
"""Whose own torch hooks every bridge has."""

RUNNING = Lock()
"""A bridge's hooks act on every pass through it, whichever thread made them: one pass at a time."""


class HookedBridge(ValueError):
    """The bridge, or the model, has hooks of its user, which are not run, or would change what is run."""


class Hooks:
    """One hooked forward pass per head, on any architecture with ``hook_z``. Hooks that the bridge has already
    stay in force."""

    def __init__(self, subject: Subject, ablation: Ablation = ZERO) -> None:
        self.subject, self.ablation = subject, ablation

    def task(self, prompts: Prompts, metric: Metric, heads: Heads = None) -> Scores:
        """See :class:`circuitlib.ablation.engine.Engine`."""
        scores = hooked_task(self.subject, prompts, metric, self._sets(heads), self.ablation)
        return Scores(scores[:, 0], scores[:, 1:], loss=False)

    def control(self, spans: Tokens, counterfactual: Tokens | None = None, heads: Heads = None) -> Scores:
        """See :class:`circuitlib.ablation.engine.Engine`."""
        scores = hooked_control(self.subject, spans, self._sets(heads), self.ablation, counterfactual)
        return Scores(scores[:, 0], scores[:, 1:], loss=True)

    def _sets(self, heads: Sequence[int] | None) -> list[HeadSet]:
        return [(), *((head,) for head in some_heads(heads, self.subject.heads))]


def hooked_at_once(subject: Subject) -> int:
    """Prompts of this subject's in a hooked forward pass, where it is."""
    return HOOKED[subject.bridge.W_E.device.type]


def hooked_task(
    subject: Subject, prompts: Prompts, metric: Metric, head_sets: Sequence[HeadSet], ablation: Ablation = ZERO
) -> Float[Tensor, "batch sets"]:
    """The task metric with each set of heads ablated: one forward pass per set for every ``HOOKED`` prompts."""
    refuse_prompts(subject, prompts)
    return _scores(subject, prompts.tokens, prompts.counterfactual, head_sets, ablation, task_score(prompts, metric))


def hooked_scores(
    subject: Subject, task: Task, count: int, seed: int, head_sets: Sequence[HeadSet] = (), ablation: Ablation = ZERO
) -> Scores:
    """The scores of a task's prompts (:meth:`circuitlib.tasks.base.Task.prompts`), clean and with each set of heads ablated together."""
    groups = task.prompts(subject.tokenizer, count, seed)
    scores = torch.cat([hooked_task(subject, group, task.metric, [(), *head_sets], ablation) for group in groups])
    return Scores(scores[:, 0], scores[:, 1:], loss=False)


def hooked_control(
    subject: Subject,
    spans: Tokens,
    head_sets: Sequence[HeadSet],
    ablation: Ablation = ZERO,
    counterfactual: Tokens | None = None,
) -> Float[Tensor, "batch sets"]:
    """The mean next-token loss (nats) with each set of heads ablated."""
    refuse_tokens(subject, spans, least=2)
    return _scores(subject, spans, counterfactual, head_sets, ablation, control_score(spans))


def task_score(prompts: Prompts, metric: Metric) -> Score:
    """The task metric of logits."""

    def score(logits: Tensor, rows: slice) -> Tensor:
        logits = logits[:, -1].to(score_type(logits.dtype))
        # Copies, because a tensor made in inference mode cannot be kept for a backward pass.
        candidates = prompts.candidates[rows].to(logits.device, copy=True)
        signs = prompts.signs[rows].to(logits, copy=True)
        return metric.function(logits.gather(1, candidates), logits.logsumexp(-1), signs)

    return score


def control_score(spans: Tokens) -> Score:
    """The mean next-token loss of logits."""

    def score(logits: Tensor, rows: slice) -> Tensor:
        targets = spans[rows, 1:].to(logits.device, copy=True)  # as above
        return F.cross_entropy(logits[:, :-1].mT.to(score_type(logits.dtype)), targets, reduction="none").mean(1)

    return score


def run(
    bridge: Bridge, tokens: Tokens, hooks: Sequence[Hook] = (), gradient: bool = False
) -> Float[Tensor, "batch pos vocab"]:
    """Logits of a forward pass with these hooks added, and none left behind; safe among threads.

    gradient: whether to record what a backward pass needs.

    Raises ``ValueError`` in training mode, where dropout would be taken for damage.
    """
    if any(module.training for module in bridge.modules()):
        raise ValueError("the bridge is in training mode; call its eval() first")
    with RUNNING, torch.inference_mode(not gradient), torch.set_grad_enabled(gradient):
        return bridge.run_with_hooks(tokens.to(bridge.W_E.device), fwd_hooks=list(hooks))


def hooks_of_users(bridge: Bridge, way: Literal["forward", "backward"] = "forward") -> list[str]:
    """Names of the hook points and modules of a bridge that have hooks of a ``way``, TransformerLens' or torch's, those that TransformerLens
    and transformers put on every bridge apart; and what acts on every module of torch."""
    kinds = _kinds(way)  # to torch, TransformerLens' are hooks like any others
    names = {name for name, point in bridge.hook_dict.items() if any(getattr(point, kind) for kind in kinds)}
    if any(getattr(module_hooks, f"_global{kind}") for kind in kinds):
        names.add("every module of torch")
    return sorted(names.union(_hooked([("the bridge", bridge), *bridge.original_model.named_modules()], kinds)))


def refuse_hooked_model(model: nn.Module) -> None:
    """Raise ``HookedBridge`` for a plain model with forward hooks, which the copy of it that is measured would not have."""
    if names := _hooked(model.named_modules(), _kinds("forward")):
        raise HookedBridge(
            f"the model has hooks ({', '.join(names)}), which are not of its weights and would be left out; remove them, or wrap it: "
            "TransformerBridge.boot_transformers(name, hf_model=model)"
        )


def _kinds(way: str) -> tuple[str, str]:
    return f"_{way}_hooks", f"_{way}_pre_hooks"


def _hooked(modules: Iterable[tuple[str, nn.Module]], kinds: Sequence[str]) -> list[str]:
    """Names of the modules, hook points apart, with torch's hooks that are not of the libraries."""
    from transformer_lens.hook_points import HookPoint

    names = []
    for name, module in modules:
        homes = [str(getattr(hook, "__module__", "")) for kind in kinds for hook in getattr(module, kind).values()]
        if not isinstance(module, HookPoint) and not all(home.startswith(LIBRARIES) for home in homes):
            names.append(name or "the model")
    return names


def _scores(
    subject: Subject,
    tokens: Tokens,
    counterfactual: Tokens | None,
    head_sets: Sequence[HeadSet],
    ablation: Ablation,
    score: Score,
) -> Float[Tensor, "batch sets"]:
    other = ablation.other(tokens, counterfactual)
    mean = values_of(subject, ablation, None) if ablation.kind == "mean" else None
    pieces, at_once = [], hooked_at_once(subject)
    for first in range(0, len(tokens), at_once):
        rows = slice(first, first + at_once)
        values = mean or values_of(subject, ablation, None if other is None else other[rows])
        scores = [score(_ablated(subject, tokens[rows], set_, values), rows).cpu() for set_ in head_sets]
        pieces.append(torch.stack(scores, 1))
    return torch.cat(pieces)


Values = list[Tensor] | None
"""Per layer, what takes the place of each head's ``hook_z``: ``[head, d_head]``, or ``[batch, pos, head, d_head]``;
None for zero."""


def values_of(subject: Subject, ablation: Ablation, other: Tokens | None) -> Values:
    """What an ablation puts in heads' place; other: the prompts of a ``resample``."""
    if ablation.kind == "zero":
        return None
    if other is not None:
        return _clean_values(subject, other)
    total: list[Tensor] = [torch.zeros(())] * subject.layers
    for tokens in ablation.reference:
        for some in tokens.split(hooked_at_once(subject)):
            sums = (z.double().sum((0, 1)) for z in _clean_values(subject, some))
            total = [sum_ + more for sum_, more in zip(total, sums, strict=True)]
    count = sum(tokens.numel() for tokens in ablation.reference)
    return [(sum_ / count).to(subject.bridge.W_E) for sum_ in total]


def _clean_values(subject: Subject, tokens: Tokens) -> list[Tensor]:
    """Each layer's ``hook_z``."""
    kept: list[Tensor] = []

    def keep(z: Tensor, hook: Any) -> None:
        refuse_without_heads(subject, z, hook)
        kept.append(z.clone())

    run(subject.bridge, tokens, [(hook_z(layer), keep) for layer in range(subject.layers)])
    return kept


def _ablated(subject: Subject, tokens: Tokens, heads: HeadSet, values: Values) -> Float[Tensor, "batch pos vocab"]:
    by_layer: dict[int, list[int]] = {}
    for head in heads:
        layer, column = divmod(head, subject.heads_per_layer)
        by_layer.setdefault(layer, []).append(column)

    def replace(z: Tensor, hook: Any, layer: int, these: list[int]) -> Tensor:
        refuse_without_heads(subject, z, hook)
        z = z.clone()
        z[..., these, :] = 0.0 if values is None else values[layer][..., these, :]
        return z

    hooks = [(hook_z(layer), partial(replace, layer=layer, these=these)) for layer, these in by_layer.items()]
    return run(subject.bridge, tokens, hooks)


def hook_z(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def refuse_without_heads(subject: Subject, z: Tensor, hook: Any) -> None:
    if z.dim() != 4 or z.shape[2] != subject.heads_per_layer:
        raise ValueError(
            f"{subject.name} has no hook_z per head: {hook.name} is {tuple(z.shape)}, not "
            f"[batch, pos, {subject.heads_per_layer}, d_head], so its heads cannot be ablated one by one"
        )
