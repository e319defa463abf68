"""Thompson sampling and upper bounds on a Gaussian over all heads together, whose mean and covariance are those of training prompts.

What one head pays says something of the others: heads that pay together on training tasks are expected to pay together here.

Shapes: e episodes, h heads, n training prompts.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from circuitlib.search.meter import Meter

AT_ONCE = 8
"""Further prompts per step."""

BOUND = 2.0
"""Standard deviations that an upper bound adds."""

RIDGE = 0.05
"""Of the mean variance, added to every head's: training tasks are few, and say too surely which heads do nothing."""


@dataclass(frozen=True)
class Gaussian:
    """The rewards that training prompts lead to expect. noise: standard deviation of one pair's reward about its head's mean."""

    mean: Float[Tensor, " h"]
    covariance: Float[Tensor, "h h"]
    noise: float

    @classmethod
    def of(cls, rows: Float[Tensor, "tasks n h"], estimated: Float[Tensor, "tasks n h"] | None = None) -> "Gaussian":
        """Of the rewards of single prompts of each task; with ``estimated`` ones, of how much these fall short. Prompts vary about
        their task's mean, which is noise, and tasks' means about each other, which is not."""
        short = rows if estimated is None else rows - estimated
        flat = short.flatten(0, 1).double()
        covariance = flat.T.cov()
        ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
        noise = (rows - rows.mean(1, keepdim=True)).square().mean().sqrt().item()
        return cls(flat.mean(0).float(), (covariance + ridge).float(), noise)


@dataclass(frozen=True)
class Correlated:
    """Measures, a few prompts at a time, the head that is best in a draw from the belief (``thompson``) or by its upper bound
    (``ucb``); names the one of the largest mean. estimate: bought first and added to the mean."""

    belief: Gaussian
    rule: Literal["thompson", "ucb"]
    estimate: str | None = None

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`. With a budget too small for the estimate nothing is done."""
        mean = self.belief.mean.expand(meter.episodes, -1)
        if self.estimate is not None:
            if not meter.affords(budget, self.estimate):
                return
            mean = mean + meter.estimate(self.estimate).rewards.mean(1)
        covariance = self.belief.covariance.repeat(meter.episodes, 1, 1)
        meter.name(mean.argmax(1))
        each, known = torch.arange(meter.episodes), torch.zeros(meter.episodes, meter.heads)
        for _ in range(int((budget - meter.price.max().item()) * meter.batch) // AT_ONCE):
            possible = meter.readings().count + AT_ONCE <= meter.batch
            if not possible.any(1).all():
                return
            head = self._keys(mean, covariance, generator).where(possible, -torch.inf).argmax(1)
            before, total = meter.readings().count[each, head], known[each, head]
            answer = meter.further(head[:, None], AT_ONCE)[:, 0]
            known[each, head] = answer * (before + AT_ONCE)
            seen = (known[each, head] - total) / AT_ONCE
            mean, covariance = given(mean, covariance, head, seen, self.belief.noise**2 / AT_ONCE)
            meter.name(mean.argmax(1))

    def _keys(self, mean: Tensor, covariance: Tensor, generator: Generator) -> Tensor:
        """Where to measure; draws are of each head by itself, as drawing all together takes a root of every covariance."""
        deviation = covariance.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
        if self.rule == "ucb":
            return mean + BOUND * deviation
        return mean + deviation * torch.randn(mean.shape, generator=generator)


def given(
    mean: Float[Tensor, "e h"],
    covariance: Float[Tensor, "e h h"],
    head: Int[Tensor, " e"],
    seen: Float[Tensor, " e"],
    noise: float,
) -> tuple[Float[Tensor, "e h"], Float[Tensor, "e h h"]]:
    """The mean and covariance of all heads once one of each episode was ``seen`` to pay so much, with a variance of ``noise`` about what it
    does pay: a Gaussian conditioned on it."""
    each = torch.arange(len(mean))
    column = covariance[each, head]
    gain = column / (column[each, head] + noise)[:, None]
    return mean + gain * (seen - mean[each, head])[:, None], covariance - gain[:, :, None] * column[:, None]
