"""Does a policy read its rewards? It plays the same episodes with the same random numbers, shown the truth, nothing, or a lie.

Only what the policy *sees* of its rewards changes; what it measures is what the episode pays. One that ignores what it sees
measures the same heads whatever it is shown. One that searches does better with the truth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuitlib.search.env import SCORE_SCALE, budget_for
from circuitlib.search.meter import Meter
from circuitlib.search.network import PolicyNetwork
from circuitlib.search.policy import PolicySearcher

Shown = Literal["seeing", "blind", "flipped", "swapped"]
"""What stands in the observation in place of the rewards of tried heads: ``seeing``, those; ``blind``, zeros; ``flipped``,
those with their signs turned; ``swapped``, what the same heads pay in another episode of the task."""

SHOWN: tuple[Shown, ...] = get_args(Shown)


@dataclass(frozen=True)
class Blindfold:
    """A :class:`circuitlib.search.network.PolicyNetwork` that sees something else than its rewards.

    others: what each head pays in another episode, one row per row of the observations; for ``swapped``.
    Raises ``ValueError`` for anything but one of ``SHOWN``, and for ``swapped`` without others.
    """

    network: PolicyNetwork
    heads: int
    shown: str = "seeing"
    others: Float[Tensor, "n h"] | None = None

    def __post_init__(self) -> None:
        if self.shown not in SHOWN:
            raise ValueError(f"shown must be one of {SHOWN}, not {self.shown!r}")
        if self.shown == "swapped" and self.others is None:
            raise ValueError("a policy that is shown another episode's rewards needs those: give others")

    def __call__(self, observations: Float[Tensor, "n o"]) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"]]:
        """The network's answer to what it is shown."""
        told, tried, scores = observations.tensor_split([-2 * self.heads, -self.heads], dim=1)
        if self.shown == "blind":
            scores = torch.zeros_like(scores)
        elif self.shown == "flipped":
            scores = -scores
        elif self.others is not None and self.shown == "swapped":
            scores = tried * self.others / SCORE_SCALE
        return self.network(torch.cat([told, tried, scores], dim=1))

    def parameters(self) -> Iterable[nn.Parameter]:
        """The network's."""
        return self.network.parameters()


@dataclass(frozen=True)
class Plays:
    """What a policy measured, and found, pick by pick."""

    head: Int[Tensor, "plays e picks"]
    found: Float[Tensor, "plays e picks"]

    def changed(self, other: "Plays", picks: int) -> float:
        """The share of the heads measured in so many picks that the ``other`` plays did not measure in as many."""
        ours, theirs = self.head[..., :picks, None], other.head[..., None, :picks]
        return 1 - (ours == theirs).any(-1).double().mean().item()


@torch.no_grad()
def play(
    network: PolicyNetwork,
    signal: Float[Tensor, " tasks"],
    rewards: Float[Tensor, "e h"],
    seed: int,
    shown: Shown = "seeing",
    plays: int = 1,
    greedy: bool = False,
) -> Plays:
    """Let a policy search each episode ``plays`` times, without planning, as the paper evaluates it. The same ``seed`` draws
    the same random numbers whatever is ``shown``. greedy: the most probable head at each pick, in a single play.

    Raises ``ValueError`` where another episode's rewards are to be shown and there is only one.
    """
    episodes, heads = rewards.shape
    if shown == "swapped" and episodes < 2:
        raise ValueError("another episode's rewards cannot be shown where there is one episode")
    plays = 1 if greedy else plays
    every = rewards.repeat(plays, 1)
    others = rewards.roll(1, 0).repeat(plays, 1)
    meter = Meter(every[:, None])
    searcher = PolicySearcher(Blindfold(network, heads, shown, others), signal.numpy(), greedy=greedy)
    searcher.search(meter, budget_for(heads), torch.Generator().manual_seed(seed))
    shape = (plays, episodes, -1)
    return Plays(meter.log.head.view(shape), meter.log.found(every).value.view(shape))
