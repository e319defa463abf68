"""An engine that measures nothing: damages that are known already."""

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlib.ablation.engine import Scores
from circuitlib.tasks.base import Metric, Prompts


class Recorded:
    """An engine that looks damages up, ``[prompts, heads]``; a prompt's first token is its row."""

    def __init__(self, damage: Tensor) -> None:
        self.damage, self.asked = damage, 0

    def task(self, prompts: Prompts, metric: Metric, heads: Sequence[int] | None = None) -> Scores:
        """The damages of these prompts."""
        rows = prompts.tokens[:, 0]
        chosen = range(self.damage.shape[1]) if heads is None else heads
        self.asked += len(rows) * len(chosen)
        return Scores(torch.zeros(len(rows)), -self.damage[rows][:, list(chosen)], loss=False)

    def control(self, spans: Tensor, counterfactual: Tensor | None = None, heads: object = None) -> Scores:
        """None are recorded."""
        raise NotImplementedError


def prompts_of(lengths: Sequence[int]) -> list[Prompts]:
    rows = torch.arange(sum(lengths)).split(list(lengths))
    return [Prompts("t", some[:, None], some[:, None], torch.ones(len(some), 1), [""] * len(some), {}) for some in rows]
