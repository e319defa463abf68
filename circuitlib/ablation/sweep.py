"""Zero-ablation of every attention head, exactly: the fast sweep, and the slow reference it equals.

Ablating head (l, h) sets its ``hook_z``, the attention-weighted values before the output projection, to
zero at every position. The slow way (:class:`Hooks`) is one hooked forward pass a head. The fast way
(:class:`Sweep`) does the same arithmetic with less of it:

* everything up to and including layer l's attention is the clean run, shared by all heads;
* at layer l the heads differ from the clean run, and from each other, by a subtraction, ``z_h W_O,h``; the
  rest of the model runs from there, all heads of the layer side by side;
* a task is scored at the last position, so the last block computes keys and values everywhere but the
  query, the output and the MLP only there, and the unembedding only for the answers;
* the control loss reads every logit, but only a few positions' at a time, and nothing at the last one;
* prompts are taken a few at a time, so that activations stay in the processor's cache and memory does
  not grow with their number; each thread takes prompts of its own, which costs less than sharing products.

Both read the subject's bridge, so the convention (see :mod:`circuitlib.subjects.load`) is the subject's: with
``folded`` weights a head is ``z_h W_O,h`` of the folded model.
"""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from circuitlib.ablation.decoder import Decoder, UnknownArchitecture
from circuitlib.ablation.engine import ZERO, Ablation, Engine, Scores
from circuitlib.ablation.hooks import Hooks
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Metric, Prompts
from circuitlib.threads import threads_of_one_core

POSITIONS = {"cpu": 768, "cuda": 65_536}
"""Positions that run through a block at once, counted over all sequences. On a processor: what its cache
holds; on a GPU: what fills it."""


LOGITS = {"cpu": 1 << 22, "cuda": 1 << 28}
"""Logits held at once while a loss is taken."""


Score = Callable[[Tensor, int], Tensor]
"""Maps final residual streams ``[prompts, heads, pos or 1, d_model]`` of consecutive prompts and the index
of the first to scores ``[prompts, heads]``."""


class Sweep:
    """All heads at the cost of a fraction of a forward pass each. Exact.

    matmul: see :class:`circuitlib.ablation.decoder.Decoder`; narrower than the subject's own type is inexact.
    positions: positions that run through a block at once; by default what suits the device.

    Raises :class:`circuitlib.ablation.decoder.UnknownArchitecture` when the architecture is not known.
    """

    def __init__(
        self, subject: Subject, matmul: torch.dtype | None = None, positions: int | None = None
    ) -> None:
        self.decoder = Decoder(subject.bridge, matmul)
        self.device = self.decoder.device
        self.positions = positions or POSITIONS[self.device.type]

    def task(self, prompts: Prompts, metric: Metric) -> Scores:
        """See :class:`Engine`."""
        weight, bias = self.decoder.unembedding
        candidates, signs = prompts.candidates.to(self.device), prompts.signs.to(self.device)

        def score(final: Tensor, first: int) -> Tensor:
            final, rows = final[:, :, 0], slice(first, first + len(final))
            answers = candidates[rows]
            if metric.needs_normaliser:
                logits = self.decoder.unembed(final)
                normaliser = logits.logsumexp(-1)
                logits = logits.gather(-1, answers[:, None].expand(*logits.shape[:2], -1))
            else:
                normaliser = None
                # In float64: it costs next to nothing, and large logits round less.
                columns = weight[answers].double()
                logits = torch.einsum("nhm,nam->nha", final.double(), columns)
                if bias is not None:
                    logits = logits + bias[answers][:, None]
            scores = metric.function(logits, normaliser, signs[rows][:, None].to(logits.dtype))
            return scores.to(final.dtype)

        return Scores(*self._sweep(prompts.tokens, score, True), loss=False)

    def control(self, spans: Int[Tensor, "spans pos"]) -> Scores:
        """See :class:`Engine`."""
        targets = spans[:, 1:].to(self.device)
        at_once = max(1, LOGITS[self.device.type] // len(self.decoder.unembedding[0]))

        def score(final: Tensor, first: int) -> Tensor:
            heads = final.shape[1]
            wanted = targets[first : first + len(final), None].expand(-1, heads, -1)
            losses = [
                F.cross_entropy(self.decoder.unembed(some), ids, reduction="none")
                for some, ids in zip(
                    final.flatten(0, 2).split(at_once), wanted.flatten().split(at_once), strict=True
                )
            ]
            return torch.cat(losses).view(wanted.shape).mean(-1)

        return Scores(*self._sweep(spans[:, :-1], score, False), loss=True)

    def _sweep(
        self, tokens: Int[Tensor, "batch pos"], score: Score, last_only: bool
    ) -> tuple[Tensor, Tensor]:
        """Groups of prompts, each thread taking the next one with products of its own."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        batch, length = tokens.shape
        group = max(1, self.positions // (length * self.decoder.heads))
        group = min(group, -(-batch // threads))
        starts = range(0, batch, group)

        def of_group(first: int) -> Scores:
            return self._sweep_group(tokens[first : first + group], first, score, last_only)

        if threads == 1 or len(starts) == 1:
            parts = list(map(of_group, starts))
        else:
            with threads_of_one_core(len(starts)) as pool:
                parts = list(pool.map(of_group, starts))
        clean, ablated = zip(*parts, strict=True)
        return torch.cat(clean), torch.cat(ablated)

    @torch.inference_mode()
    def _sweep_group(
        self, tokens: Int[Tensor, "group pos"], first: int, score: Score, last_only: bool
    ) -> tuple[Tensor, Tensor]:
        model, group = self.decoder, len(tokens)
        sequences = max(1, self.positions // tokens.shape[1])
        x = model.embed(tokens.to(self.device))
        columns = []
        for i in range(len(model.blocks)):
            z = model.attend(i, x, last_only and i == len(model.blocks) - 1)
            mixed = model.after_heads(i, x, z)
            without = (mixed[:, None] - model.head_outputs(i, z)).flatten(0, 1)
            final = torch.cat(
                [model.finish(i, some, last_only) for some in without.split(sequences)]
            )
            columns.append(score(final.unflatten(0, (group, model.heads)), first))
            x = model.after_block(i, mixed)
        final = model.norm(x[:, -1:] if last_only else x, model.norm_final)
        clean = score(final[:, None], first)[:, 0]
        return clean.cpu(), torch.cat(columns, dim=1).cpu()


def engine(subject: Subject, ablation: Ablation = ZERO) -> Engine:
    """The fastest exact engine for a subject: :class:`Sweep`, or, where the architecture is not one that
    the sweep knows, :class:`Hooks`, with a warning that says so before anything is measured."""
    try:
        return Sweep(subject)
    except UnknownArchitecture as reason:
        warnings.warn(f"one forward pass per head, exact and slow: {reason}", stacklevel=2)
        return Hooks(subject)
