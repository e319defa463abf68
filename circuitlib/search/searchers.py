"""Everything that proposes heads, behind one interface and one price."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from circuitlib.search.meter import Meter
from circuitlib.search.orders import random_orders


@runtime_checkable
class Searcher(Protocol):
    """Proposes heads."""

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        """Measure heads until ``budget`` is spent. What the meter answers is all that is known of the rewards, and
        what it has logged is the result."""
        ...


@dataclass(frozen=True)
class RandomSearcher:
    """A :class:`Searcher` that measures heads in random order, none twice."""

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        order = random_orders(meter.episodes, meter.heads, generator)
        meter.measure(order[:, : int(budget)])


@dataclass(frozen=True)
class StaticPrior:
    """A fixed list, the same in every episode: heads in order of mean training reward. It has learned nothing but that
    some heads matter more, and looks at nothing: the baseline that a policy must beat."""

    order: Int[Tensor, " heads"]

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        meter.measure(self.order[: int(budget)].expand(meter.episodes, -1))
