"""The ablation of every attention head, exactly, at a fraction of the work: the fast twin of one hooked pass per head.

The same arithmetic as :class:`circuitlib.ablation.hooks.Hooks`, with less of it:

* everything up to and including layer l's attention is the clean run, shared by all heads;
* at layer l the heads differ from the clean run, and from each other, by a subtraction, ``(z_h - r_h) W_O,h``, where
  r is what takes z's place; the rest of the model runs from there, all heads of the layer side by side;
* a task is scored at the last position, so the last block computes keys and values everywhere but the
  query, the output and the MLP only there, and the unembedding only for the answers;
* the control loss takes the sum of all exponentiated logits, a part of the vocabulary after another, so that logits
  stay in the processor's cache, and nothing at the last position;
* prompts are taken a few at a time, so that activations stay in the processor's cache and memory does
  not grow with their number; each thread takes prompts of its own, which costs less than sharing products.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from circuitlib.ablation.decoder import Decoder, UnknownArchitecture
from circuitlib.ablation.engine import (
    ZERO,
    Ablation,
    Engine,
    Heads,
    Scores,
    Tokens,
    refuse_prompts,
    refuse_tokens,
    score_type,
    some_heads,
)
from circuitlib.ablation.hooks import HookedBridge, Hooks, values_of
from circuitlib.memory import keep_freed_memory
from circuitlib.subjects.load import Subject, refuse_device
from circuitlib.tasks import Metric, Prompts
from circuitlib.threads import threads_of_one_core

POSITIONS = {"cpu": 768, "cuda": 65_536}
"""Positions that run through a block at once, counted over all sequences. On a processor: what its cache
holds; on a GPU: what fills it."""

UNEMBEDDED = {"cpu": 256, "cuda": 1 << 13}
"""Positions whose loss is taken at once."""

Score = Callable[[Tensor, int], Tensor]
"""Maps final residual streams ``[prompts, heads, pos or 1, d_model]`` of consecutive prompts and the index
of the first to scores ``[prompts, heads]``."""


class Sweep:
    """All heads at the cost of a fraction of a forward pass each. Exact.

    matmul: see :class:`circuitlib.ablation.decoder.Decoder`; narrower than the subject's own type is inexact.

    Each call compares the decoder with the bridge on one of its prompts, which are of one length. Raises, here and
    from a call, :class:`circuitlib.ablation.decoder.UnknownArchitecture` when the two do not compute the same and
    :class:`circuitlib.ablation.hooks.HookedBridge` when the bridge has hooks; ``ValueError`` when it is neither on
    a processor nor on CUDA.
    """

    def __init__(self, subject: Subject, ablation: Ablation = ZERO, matmul: torch.dtype | None = None) -> None:
        refuse_device(subject.bridge.W_E.device)
        keep_freed_memory()
        self.subject, self.ablation, self.decoder = subject, ablation, Decoder(subject.bridge, matmul)
        self.device = self.decoder.device
        self.positions, self.unembedded = POSITIONS[self.device.type], UNEMBEDDED[self.device.type]
        self.mean = values_of(subject, ablation, None) if ablation.kind == "mean" else None

    def task(self, prompts: Prompts, metric: Metric, heads: Heads = None) -> Scores:
        """See :class:`circuitlib.ablation.engine.Engine`."""
        refuse_prompts(self.subject, prompts)
        candidates, signs = prompts.candidates.to(self.device), prompts.signs.to(self.device)

        def score(final: Tensor, first: int) -> Tensor:
            final, rows = final[:, :, 0], slice(first, first + len(final))
            logits = self.decoder.logits_of(final, candidates[rows, None])
            normaliser = self.decoder.log_sum_exp(final).double() if metric.needs_normaliser else None
            return metric.function(logits, normaliser, signs[rows, None].double()).to(score_type(final.dtype))

        other = self.ablation.other(prompts.tokens, prompts.counterfactual)
        return self._sweep(prompts.tokens, other, heads, score, last_only=True)

    def control(self, spans: Tokens, counterfactual: Tokens | None = None, heads: Heads = None) -> Scores:
        """See :class:`circuitlib.ablation.engine.Engine`."""
        refuse_tokens(self.subject, spans, least=2)
        targets = spans[:, 1:].to(self.device)

        def score(final: Tensor, first: int) -> Tensor:
            wanted = targets[first : first + len(final), None].expand(-1, final.shape[1], -1)
            losses = [
                self.decoder.log_sum_exp(some).double() - self.decoder.logits_of(some, tokens[:, None])[:, 0]
                for some, tokens in zip(
                    final.flatten(0, 2).split(self.unembedded), wanted.flatten().split(self.unembedded), strict=True
                )
            ]
            return torch.cat(losses).view(wanted.shape).mean(-1).to(score_type(final.dtype))

        if (other := self.ablation.other(spans, counterfactual)) is not None:
            other = other[:, :-1]
        return self._sweep(spans[:, :-1], other, heads, score, last_only=False)

    def _sweep(self, tokens: Tokens, other: Tokens | None, heads: Heads, score: Score, last_only: bool) -> Scores:
        """Groups of prompts, each thread taking the next one with products of its own."""
        places: list[list[int]] = [[] for _ in self.decoder.blocks]
        for head in some_heads(heads, len(places) * self.decoder.heads):
            places[head // self.decoder.heads].append(head % self.decoder.heads)
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        batch, length = tokens.shape
        group = max(1, self.positions // (length * max(map(len, places))))
        group = min(group, -(-batch // threads))
        starts = range(0, batch, group)

        def of_group(first: int) -> Scores:
            rows = slice(first, first + group)
            others = None if other is None else other[rows].to(self.device)
            return self._sweep_group(tokens[rows].to(self.device), others, places, first, score, last_only)

        if threads == 1 or len(starts) == 1:
            self.decoder.compare(tokens[:1])
            parts = list(map(of_group, starts))
        else:
            with threads_of_one_core(len(starts)) as pool:
                compared = pool.submit(self.decoder.compare, tokens[:1])
                swept = pool.map(of_group, starts)
                compared.result()
                parts = list(swept)
        return Scores.of_all(parts)

    @torch.inference_mode()
    def _sweep_group(
        self, tokens: Tokens, other: Tokens | None, places: list[list[int]], first: int, score: Score, last_only: bool
    ) -> Scores:
        """places: of each layer's heads, those that are ablated."""
        model, group = self.decoder, len(tokens)
        sequences = max(1, self.positions // tokens.shape[1])
        x, beside = model.embed(tokens), None if other is None else model.embed(other)
        columns = []
        for i, these in enumerate(places):
            last = last_only and i == len(places) - 1
            z = model.attend(i, x, last)
            mixed, lost = model.after_heads(i, x, z), z
            if self.mean is not None:
                lost = z - self.mean[i]
            if beside is not None:
                replacement = model.attend(i, beside, last)
                lost = z - replacement
                beside = model.after_block(i, model.after_heads(i, beside, replacement))
            if these:
                without = (mixed[:, None] - model.head_outputs(i, lost, these)).flatten(0, 1)
                final = torch.cat([model.finish(i, some, last_only) for some in without.split(sequences)])
                columns.append(score(final.unflatten(0, (group, len(these))), first))
            x = model.after_block(i, mixed)
        final = model.norm(x[:, -1:] if last_only else x, model.norm_final)
        clean = score(final[:, None], first)[:, 0]
        return Scores(clean.cpu(), torch.cat(columns, dim=1).cpu(), loss=not last_only)


def engine(subject: Subject, ablation: Ablation = ZERO) -> Engine:
    """The fastest exact engine for a subject: :class:`Sweep`, or, where the architecture is not one that the sweep
    knows or the bridge has hooks of its user, :class:`Hooks`, with a warning that says so before anything is measured.

    Raises ``ValueError`` when the bridge is neither on a processor nor on CUDA.
    """
    try:
        return Sweep(subject, ablation)
    except (UnknownArchitecture, HookedBridge) as reason:
        warnings.warn(f"one forward pass per head, exact and slow: {reason}", stacklevel=2)
        return Hooks(subject, ablation)
