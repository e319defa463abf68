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

from circuitlib.env import SCORE_SCALE
from circuitlib.ppo import ActorCritic, sample_without_replacement


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


@dataclass(frozen=True)
class PolicySearcher:
    """A trained policy with best-of-k planning: each pick draws ``candidates`` heads without
    replacement from the policy, measures them all and takes the best. Only what is taken is marked as
    tried, as in the paper, so a candidate passed over may be measured, and charged, again.

    network: of one seed. signal: the task part of the observation, ``[tasks]``.
    """

    network: ActorCritic
    signal: Float[Tensor, " tasks"]
    candidates: int = 1
    name: str = "policy"

    @torch.no_grad()
    def search(
        self, rewards: Float[Tensor, "episodes heads"], budget: int, generator: torch.Generator
    ) -> Int[Tensor, "episodes budget"]:
        """See :class:`Searcher`. Raises ``ValueError`` when the budget outlasts the untried heads."""
        episodes, heads = rewards.shape
        picks = -(-budget // self.candidates)
        if picks + self.candidates - 1 > heads:
            raise ValueError(
                f"{picks} picks of {self.candidates} candidates run out of {heads} heads"
            )
        tasks = len(self.signal)
        observation = torch.zeros(episodes, tasks + 2 * heads)
        observation[:, :tasks] = self.signal
        rows = torch.arange(episodes)
        measured = []
        for _ in range(picks):
            log_probs, _ = self.network(observation[None])
            drawn = sample_without_replacement(log_probs, self.candidates, [generator])[0]
            measured.append(drawn)
            paid = rewards.gather(1, drawn)
            taken = drawn[rows, paid.argmax(1)]
            observation[rows, tasks + taken] = 1.0
            observation[rows, tasks + heads + taken] = rewards[rows, taken] / SCORE_SCALE
        return torch.cat(measured, dim=1)[:, :budget]
