"""How searchers and tasks are named and drawn, the same in every figure and table."""

from dataclasses import dataclass


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
    Kind("static prior", "list by mean reward", "#D55E00", "D"),
    Kind("random", "random", "#7F7F7F", "^"),
)
SEARCHERS = {kind.key: kind for kind in KINDS}
"""The searchers on the axis of picks, in the order of legends."""

RIVALS = (
    Kind("policy k=5", "policy, k=5", "#0072B2", "o"),
    Kind("policy k=1", "policy, k=1", "#56B4E9", "s"),
    Kind("list, normalised", "list by normalised reward", "#D55E00", "D"),
    Kind("layers by training reward", "layers by training reward", "#009E73", "v"),
    Kind("gradient, then verify", "attribution, then verify", "#E69F00", "P"),
    Kind("halving, 16 by gradient", "halving, 16 by attribution", "#CC79A7", "X"),
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
