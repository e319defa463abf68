"""Everything that proposes heads, behind one interface and one price.

A searcher is given episodes and a budget of heads to *measure*; it returns which heads it measured, in
order. It sees a head's reward only after measuring it. A planner that measures k candidates and takes
one has measured k.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Searcher(Protocol):
    """``name`` is how it is called in tables."""

    @property
    def name(self) -> str: ...

    def search(
        self, rewards: Float[Tensor, "episodes heads"], budget: int, generator: torch.Generator
    ) -> Int[Tensor, "episodes budget"]:
        """The heads measured in each episode, in order."""
        ...


@dataclass(frozen=True)
class RandomSearcher:
    """Heads in random order, none twice."""

    name: str = "random"

    def search(
        self, rewards: Float[Tensor, "episodes heads"], budget: int, generator: torch.Generator
    ) -> Int[Tensor, "episodes budget"]:
        """See :class:`Searcher`."""
        return torch.rand(rewards.shape, generator=generator).argsort(1)[:, :budget]


@dataclass(frozen=True)
class StaticPrior:
    """A fixed list, the same in every episode: heads in order of mean training reward. It has learned
    nothing but that some heads matter more, and looks at nothing: the baseline that a policy must beat."""

    order: Int[Tensor, " heads"]
    name: str = "static prior"

    def search(
        self, rewards: Float[Tensor, "episodes heads"], budget: int, generator: torch.Generator
    ) -> Int[Tensor, "episodes budget"]:
        """See :class:`Searcher`."""
        return self.order[:budget].expand(len(rewards), -1)
