"""Zero-ablation of every attention head, exactly: the fast sweep, and the slow reference it equals.

Ablating head (l, h) sets its ``hook_z``, the attention-weighted values before the output projection, to
zero at every position. The slow way is one hooked forward pass a head. The sweep does the same
arithmetic with less of it:

* everything up to and including layer l's attention is the clean run, shared by all heads;
* at layer l the heads differ from the clean run, and from each other, by a subtraction,
  ``resid_mid - z_h W_O,h``; the rest of the model runs from there;
* a task is scored at the last position, so the last block computes keys and values everywhere but the
  query, the output and the MLP only there, and the unembedding only for the answers;
* sequences are taken a few at a time, so that activations stay in the processor's cache.

The sweep reads its weights from the subject, so the convention (see :mod:`circuitlib.subjects`) is the
subject's: with ``folded`` weights a head is ``z_h W_O,h`` of the folded model.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.subjects import Subject
from circuitlib.tasks import Metric, Prompts

SEQUENCES = 12
"""Sequences that the sweep runs at once."""


@dataclass(frozen=True)
class Layer:
    """One block's weights, matrices as ``[out, in]``."""

    norm_attention: tuple[Tensor, Tensor]
    qkv: tuple[Tensor, Tensor]
    output: tuple[Tensor, Tensor]
    norm_mlp: tuple[Tensor, Tensor]
    mlp_in: tuple[Tensor, Tensor]
    mlp_out: tuple[Tensor, Tensor]


class GPT2:
    """A GPT-2 forward pass that can start in the middle, from the weights of a subject's bridge.

    Raises ``ValueError`` when the subject is not of GPT-2's architecture.
    """

    def __init__(self, subject: Subject) -> None:
        bridge = subject.bridge
        if (
            bridge.cfg.original_architecture != "GPT2LMHeadModel"
            and bridge.cfg.architecture != "GPT2LMHeadModel"
        ):
            raise ValueError(
                f"the sweep runs GPT-2's architecture, and {subject.name} is {bridge.cfg.architecture}; "
                "use the hooked reference"
            )
        self.heads = subject.heads_per_layer
        self.eps = float(bridge.cfg.eps)
        self.embedding: Float[Tensor, "vocab d_model"] = bridge.W_E
        self.positions: Float[Tensor, "context d_model"] = bridge.W_pos
        self.norm_final = (bridge.ln_final.weight, bridge.ln_final.bias)
        self.unembedding = (bridge.W_U.T.contiguous(), bridge.b_U)
        self.layers = [
            Layer(
                (block.ln1.weight, block.ln1.bias),
                (
                    torch.cat([w[i].permute(0, 2, 1).flatten(0, 1) for w in (bridge.W_Q, bridge.W_K, bridge.W_V)]),
                    torch.cat([b[i].flatten() for b in (bridge.b_Q, bridge.b_K, bridge.b_V)]),
                ),
                (bridge.W_O[i].flatten(0, 1).T.contiguous(), bridge.b_O[i]),
                (block.ln2.weight, block.ln2.bias),
                (bridge.W_in[i].T.contiguous(), bridge.b_in[i]),
                (bridge.W_out[i].T.contiguous(), bridge.b_out[i]),
            )
            for i, block in enumerate(bridge.blocks)
        ]  # fmt: skip

    def embed(self, tokens: Int[Tensor, "n pos"]) -> Float[Tensor, "n pos d_model"]:
        """The residual stream before the first block."""
        return self.embedding[tokens] + self.positions[: tokens.shape[1]]

    def attend(
        self, layer: Layer, x: Tensor, last_only: bool
    ) -> Float[Tensor, "n query head d_head"]:
        """``hook_z`` of a block, at every position or only at the last."""
        width = x.shape[-1]
        normed = F.layer_norm(x, (width,), *layer.norm_attention, self.eps)
        weight, bias = layer.qkv
        if last_only:
            q = F.linear(normed[:, -1:], weight[:width], bias[:width])
            k, v = F.linear(normed, weight[width:], bias[width:]).split(width, dim=-1)
        else:
            q, k, v = F.linear(normed, weight, bias).split(width, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=not last_only)
        return z.transpose(1, 2)

    def mlp(self, layer: Layer, x: Tensor) -> Tensor:
        """The residual stream after a block's MLP, from that before it."""
        normed = F.layer_norm(x, x.shape[-1:], *layer.norm_mlp, self.eps)
        return x + F.linear(
            F.gelu(F.linear(normed, *layer.mlp_in), approximate="tanh"), *layer.mlp_out
        )

    def output(self, layer: Layer, x: Tensor, z: Tensor) -> Tensor:
        """The residual stream after a block's attention (``resid_mid``)."""
        return x[:, -z.shape[1] :] + F.linear(z.flatten(-2), *layer.output)

    def finish(self, x: Tensor, start: int, last_only: bool) -> Tensor:
        """From ``resid_mid`` of block ``start`` to the final layer norm, ``[n, pos or 1, d_model]``."""
        x = self.mlp(self.layers[start], x)
        for i, layer in enumerate(self.layers[start + 1 :], start + 1):
            z = self.attend(layer, x, last_only and i == len(self.layers) - 1)
            x = self.mlp(layer, self.output(layer, x, z))
        return F.layer_norm(x[:, -1:] if last_only else x, x.shape[-1:], *self.norm_final, self.eps)


Score = Callable[[Tensor, Tensor], Tensor]
"""Maps final residual streams ``[n, pos or 1, d_model]`` and the index of each one's prompt ``[n]`` to
scores ``[n]``."""


@torch.inference_mode()
def _sweep(
    model: GPT2, tokens: Int[Tensor, "batch pos"], score: Score, last_only: bool, sequences: int
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch heads"]]:
    batch = len(tokens)
    x = model.embed(tokens)
    columns = []
    for i, layer in enumerate(model.layers):
        short = last_only and i == len(model.layers) - 1
        z = model.attend(layer, x, short)
        resid_mid = model.output(layer, x, z)
        by_head = layer.output[0].T.unflatten(0, (model.heads, -1))
        without = resid_mid[:, None] - torch.einsum("bphd,hdm->bhpm", z, by_head)
        prompt = torch.arange(batch).repeat_interleave(model.heads)
        scores = [
            score(model.finish(some, i, last_only), rows)
            for some, rows in zip(
                without.flatten(0, 1).split(sequences), prompt.split(sequences), strict=True
            )
        ]
        columns.append(torch.cat(scores).view(batch, model.heads))
        x = model.mlp(layer, resid_mid)
    last = x[:, -1:] if last_only else x
    clean = score(
        F.layer_norm(last, x.shape[-1:], *model.norm_final, model.eps), torch.arange(batch)
    )
    return clean, torch.cat(columns, dim=1)


def sweep_task(
    model: GPT2, prompts: Prompts, metric: Metric, sequences: int = SEQUENCES
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch heads"]]:
    """The task metric of each prompt, clean and with each head ablated. Exact."""
    weight, bias = model.unembedding

    def score(final: Tensor, rows: Tensor) -> Tensor:
        final, answers = final[:, 0], prompts.candidates[rows]
        if metric.needs_normaliser:
            logits = F.linear(final, weight, bias)
            return metric.function(
                logits.gather(1, answers), logits.logsumexp(-1), prompts.signs[rows]
            )
        logits = torch.einsum("nm,nam->na", final, weight[answers]) + bias[answers]
        return metric.function(logits, None, prompts.signs[rows])

    return _sweep(model, prompts.tokens, score, True, sequences)


def sweep_control(
    model: GPT2, spans: Int[Tensor, "spans pos"], sequences: int = SEQUENCES
) -> tuple[Float[Tensor, " spans"], Float[Tensor, "spans heads"]]:
    """The mean next-token loss (nats) of each span, clean and with each head ablated. Exact."""

    def score(final: Tensor, rows: Tensor) -> Tensor:
        logits = F.linear(final[:, :-1], *model.unembedding)
        targets = spans[rows, 1:]
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view(targets.shape).mean(1)

    return _sweep(model, spans, score, False, sequences)


HeadSet = Sequence[int]


@torch.inference_mode()
def ablated_logits(subject: Subject, tokens: Int[Tensor, "batch pos"], heads: HeadSet) -> Tensor:
    """Logits ``[batch, pos, vocab]`` with a set of heads zero-ablated by hooks on ``hook_z``."""
    by_layer: dict[int, list[int]] = {}
    for head in heads:
        by_layer.setdefault(head // subject.heads_per_layer, []).append(
            head % subject.heads_per_layer
        )

    def zero(z: Tensor, hook: Any, these: list[int]) -> Tensor:
        return z.index_fill(2, torch.tensor(these), 0.0)

    hooks = [
        (f"blocks.{layer}.attn.hook_z", lambda z, hook, these=these: zero(z, hook, these))
        for layer, these in by_layer.items()
    ]
    return subject.bridge.run_with_hooks(tokens, fwd_hooks=hooks)


def hooked_task(
    subject: Subject, prompts: Prompts, metric: Metric, head_sets: Iterable[HeadSet]
) -> Float[Tensor, "batch sets"]:
    """The reference: the task metric with each set of heads ablated, one forward pass a set."""
    columns = []
    for heads in head_sets:
        logits = ablated_logits(subject, prompts.tokens, heads)[:, -1]
        columns.append(
            metric.function(
                logits.gather(1, prompts.candidates), logits.logsumexp(-1), prompts.signs
            )
        )
    return torch.stack(columns, dim=1)


def hooked_control(
    subject: Subject, spans: Int[Tensor, "spans pos"], head_sets: Iterable[HeadSet]
) -> Float[Tensor, "spans sets"]:
    """The reference: the mean next-token loss (nats) with each set of heads ablated."""
    columns = []
    for heads in head_sets:
        logits = ablated_logits(subject, spans, heads)[:, :-1]
        losses = F.cross_entropy(logits.flatten(0, 1), spans[:, 1:].flatten(), reduction="none")
        columns.append(losses.view(len(spans), -1).mean(1))
    return torch.stack(columns, dim=1)
