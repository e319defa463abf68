"""Episodes in which the first rewards tell where the best head is: can this PPO, with this network, learn to read?

A policy that does not read its rewards may have had nothing to read. Here reading is worth everything: heads stand in groups, and
each episode one group matters: its heads pay a little, those of the others as much less than nothing, and the best head is at a
random place in it. A reader tries a head of each group and then goes through the one that pays; who does not read can only go through
fifty of all heads.
"""

from dataclasses import dataclass

import numpy as np

from circuitlib.search.episodes import Episode, signal_of


@dataclass
class Groups:
    """An :class:`circuitlib.search.episodes.EpisodeSource` of planted rewards.

    scale: what the best head pays. hint: what the other heads of its group pay, as a share of it; those of other groups pay
    minus as much. noise: standard deviation of what is added to every reward in every episode, as a share of the scale. groups,
    size: heads stand in ``groups`` groups of ``size``; further heads are in none.

    Raises ``ValueError`` for more heads in groups than there are.
    """

    scale: float = 3.0
    hint: float = 0.25
    noise: float = 0.0
    groups: int = 3
    size: int = 46
    heads: int = 144
    tasks: tuple[str, ...] = ("planted",)

    def __post_init__(self) -> None:
        if self.groups * self.size > self.heads:
            raise ValueError(f"{self.groups} groups of {self.size} are more than the {self.heads} heads")

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode; the policy is told nothing."""
        start = self.size * rng.integers(self.groups)
        rewards = self.noise * rng.standard_normal(self.heads) - self.hint
        rewards[start : start + self.size] += 2 * self.hint
        rewards[start + rng.integers(self.size)] += 1 - self.hint
        return Episode(0 * signal_of(self.tasks), (self.scale * rewards).astype(np.float32), self.tasks[0])
