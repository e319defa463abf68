"""Everything that proposes heads, behind one interface and one price, and how it is drawn in figures."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from circuitlib.search.meter import Meter


@runtime_checkable
class Searcher(Protocol):
    """``name`` is what tables call it."""

    @property
    def name(self) -> str: ...

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        """Measure heads until ``budget`` is spent. What the meter answers is all that is known of the rewards, and
        what it has logged is the result."""
        ...


@dataclass(frozen=True)
class RandomSearcher:
    """A :class:`Searcher` that measures heads in random order, none twice."""

    name: str = "random"

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        order = torch.rand(meter.episodes, meter.heads, generator=generator).argsort(1)
        meter.measure(order[:, : int(budget)])


@dataclass(frozen=True)
class StaticPrior:
    """A fixed list, the same in every episode: heads in order of mean training reward. It has learned nothing but that
    some heads matter more, and looks at nothing: the baseline that a policy must beat."""

    order: Int[Tensor, " heads"]
    name: str = "static prior"

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        meter.measure(self.order[: int(budget)].expand(meter.episodes, -1))


@dataclass(frozen=True)
class Kind:
    """A searcher as figures and tables show it: ``title`` names it, ``colour`` is safe for colour-blind readers."""

    key: str
    title: str
    colour: str
    marker: str


KINDS = (
    Kind("policy k=5", "policy, k=5", "#0072B2", "o"),
    Kind("policy k=1", "policy, k=1", "#56B4E9", "s"),
    Kind("static prior", "static prior", "#D55E00", "D"),
    Kind("random", "random", "#7F7F7F", "^"),
)
SEARCHERS = {kind.key: kind for kind in KINDS}
"""The searchers on the axis of picks, in the order of legends."""

RIVALS = (
    Kind("policy k=5", "policy, k=5", "#0072B2", "o"),
    Kind("policy k=1", "policy, k=1", "#56B4E9", "s"),
    Kind("list, normalised", "list, by normalised reward", "#D55E00", "D"),
    Kind("layers in order", "layers in order", "#009E73", "v"),
    Kind("gradient, then verify", "attribution, then verify", "#E69F00", "P"),
    Kind("halving, 16 by gradient", "halving of 16 by attribution", "#CC79A7", "X"),
    Kind("belief, thompson", "learned belief, Thompson", "#000000", "*"),
    Kind("headwise", "headwise policy", "#882255", "h"),
    Kind("random", "random", "#7F7F7F", "^"),
)
"""Those of the main text on the axis of price."""


def kind_of(searcher: str, trained_k: int = 0) -> Kind:
    """The registered kind of a searcher's name and, for a policy, the k it was trained with.

    Raises ``ValueError``, naming those there are, for one that is not registered.
    """
    key = f"{searcher} k={trained_k}" if trained_k else searcher
    if key not in SEARCHERS:
        raise ValueError(f"searcher must be one of {list(SEARCHERS)}, not {key!r}")
    return SEARCHERS[key]
