"""Training otherwise than the paper: told nothing, with rewards on one scale, or blind. Does a policy read then?"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuitlib.search.episodes import Episode, EpisodeSource
from circuitlib.search.network import ActorCritic

SCALE = 3.0
"""What the best head of an episode pays where rewards are scaled: as much as on GPT-2 small, in logits."""


def scaled(rewards: Float[Tensor, "e h"]) -> Float[Tensor, "e h"]:
    """Rewards of which the best of each episode is :data:`SCALE`: a help that only who knows the oracle can give."""
    return SCALE * rewards / rewards.amax(1, keepdim=True)


@dataclass
class Otherwise:
    """An :class:`circuitlib.search.episodes.EpisodeSource` of the episodes of another. told: keep the signal. scale: scale the
    rewards, as :func:`scaled` does."""

    source: EpisodeSource
    told: bool = True
    scale: bool = False
    tasks: tuple[str, ...] = field(init=False)
    heads: int = field(init=False)

    def __post_init__(self) -> None:
        self.tasks, self.heads = self.source.tasks, self.source.heads

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of the source's, changed."""
        episode = self.source.draw(rng)
        rewards = episode.rewards
        if self.scale:
            rewards = scaled(torch.from_numpy(rewards)[None])[0].numpy()
        return Episode(episode.signal * self.told, rewards, episode.task)


class BornBlind(nn.Module):
    """The paper's network behind a blindfold, in training too: a :class:`circuitlib.search.network.PolicyNetwork`."""

    def __init__(self, tasks: int, heads: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.network = ActorCritic(tasks, heads, hidden, seed)

    def forward(self, observations: Float[Tensor, "n o"]) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"]]:
        """What the network answers to zeros in place of rewards."""
        known, scores = observations.tensor_split([-self.network.heads], dim=1)
        return self.network(torch.cat([known, torch.zeros_like(scores)], dim=1))
