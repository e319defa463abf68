"""The policy: a network from observations to probabilities of heads and a value."""

from collections.abc import Iterable
from functools import partial
from typing import Protocol, runtime_checkable

import torch.nn as nn
from jaxtyping import Float
from torch import Generator, Tensor

from circuitlib.threads import threads_of_one_core


@runtime_checkable
class PolicyNetwork(Protocol):
    """What can be trained and can search: a ``torch.nn.Module`` that maps observations
    (:class:`circuitlib.search.env.HeadAblationEnv`) to log-probabilities of the heads, of which tried ones have a
    probability of 0, and to values."""

    def __call__(self, observations: Float[Tensor, "n o"]) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"]]: ...

    def parameters(self) -> Iterable[nn.Parameter]: ...


def orthogonal(fan_in: int, fan_out: int, gain: float, generator: Generator) -> nn.Linear:
    """A layer whose weights are a random orthogonal matrix times ``gain``, and whose biases are zero."""
    layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
    nn.init.orthogonal_(layer.weight, gain, generator)
    nn.init.zeros_(layer.bias)
    return layer


class ActorCritic(nn.Module):
    """The paper's network: two tanh layers, shared by a categorical over heads and a value.

    Initialised orthogonally from ``seed`` alone, gain sqrt 2; the actor 0.01, the critic 1. tasks: length of the signal.
    """

    def __init__(self, tasks: int, heads: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.tasks, self.heads = tasks, heads
        generator = Generator().manual_seed(seed)
        linear = partial(orthogonal, generator=generator)
        root = 2**0.5
        sizes = (tasks + 2 * heads, hidden, hidden, hidden), (hidden, hidden, heads, 1)
        # On one core, because on another number of them the orthogonal matrices are rounded otherwise.
        with threads_of_one_core(1) as pool:
            self.hidden_1, self.hidden_2, self.actor, self.critic = pool.map(linear, *sizes, (root, root, 0.01, 1.0))

    def forward(self, observations: Float[Tensor, "n o"]) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"]]:
        """See :class:`PolicyNetwork`."""
        features = self.hidden_2(self.hidden_1(observations).tanh()).tanh()
        tried = observations[:, self.tasks : self.tasks + self.heads]
        logits = self.actor(features) - 1e9 * tried
        return logits.log_softmax(-1), self.critic(features)[:, 0]
