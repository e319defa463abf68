"""Searchers that the paper lacks: lists, layers, gradients, and halving the candidates while prompts are added.

Each pays for all it sees and names, after every step, the head that it takes to be best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from circuitlib.search.meter import Meter
from circuitlib.search.orders import layer_by_layer


@dataclass(frozen=True)
class LayersByReward:
    """Measures one layer after the other, the heads of each in random order. layers: in which order, fixed beforehand by what they paid
    in training."""

    layers: Int[Tensor, " layers"]

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`."""
        order = layer_by_layer(meter.episodes, self.layers, meter.heads // len(self.layers), generator)
        meter.measure(order[:, : int(budget)])


@dataclass(frozen=True)
class Verified:
    """Buys an estimate, names its best head, and measures heads in its order: attribution, then verify.

    Michel et al. 2019 (arXiv 1905.10650) for attention heads; attribution patching for circuits (Syed et al. 2023, arXiv 2310.10348).
    """

    estimate: str

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`. With a budget too small for the estimate nothing is done."""
        if not meter.affords(budget, self.estimate):
            return
        order = meter.estimate(self.estimate).rewards.mean(1).argsort(dim=1, descending=True, stable=True)
        meter.name(order[:, 0])
        best = torch.full((meter.episodes, 1), -torch.inf)
        named = order[:, :1]
        for place in range(min(int(budget - meter.price.max().item()), meter.heads)):
            head = order[:, place, None]
            answer = meter.measure(head)
            named, best = head.where(answer > best, named), best.maximum(answer)
            meter.name(named[:, 0])


@dataclass(frozen=True)
class Halving:
    """Successive halving over prompts (Jamieson and Talwalkar 2016, arXiv 1502.07943): candidates are measured on a few prompts each,
    the better half on as many again in all, and so on; what is left of the budget is divided equally among the rounds.

    candidates: how many heads to start with; the best by an ``estimate`` that is bought first, or random ones. always: heads that
    are candidates in any case. rounds: further prompts and candidates kept, fixed beforehand in place of halves; one that is not paid for is not made.
    """

    candidates: int
    estimate: str | None = None
    always: Sequence[int] = field(default=(), kw_only=True)
    rounds: Sequence[tuple[int, int]] = field(default=(), kw_only=True)

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`. With a budget too small for the estimate, or for one prompt per
        candidate, no head is measured."""
        ranking = torch.rand(meter.episodes, meter.heads, generator=generator)
        if self.estimate is not None:
            if not meter.affords(budget, self.estimate):
                return
            ranking = meter.estimate(self.estimate).rewards.mean(1)
            meter.name(ranking.argmax(1))
        ranking[:, list(self.always)] = torch.inf
        heads = ranking.topk(min(self.candidates + len(self.always), meter.heads)).indices
        pairs = int((budget - meter.price.max().item()) * meter.batch)
        for more, kept in self.rounds or schedule(heads.shape[1], pairs, meter.batch):
            if more * heads.shape[1] > pairs:
                break
            pairs -= more * heads.shape[1]
            answers = meter.further(heads, more)
            heads = heads.gather(1, answers.argsort(dim=1, descending=True, stable=True)[:, :kept])
            meter.name(heads[:, 0])


def schedule(candidates: int, pairs: int, batch: int) -> list[tuple[int, int]]:
    """The rounds of successive halving: how many further prompts each candidate gets, and how many candidates are kept. No round
    that costs more than what is left of ``pairs`` is made, and no head gets more than ``batch`` prompts."""
    rounds = []
    known = 0
    while candidates and known < batch:
        left = max(1, (candidates - 1).bit_length())  # rounds until one is left
        more = min(max(1, pairs // left // candidates), batch - known)
        if more * candidates > pairs:
            break
        kept = max(1, (candidates + 1) // 2)
        rounds.append((more, kept))
        pairs -= more * candidates
        known += more
        candidates = kept
    return rounds
