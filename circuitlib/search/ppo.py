"""Proximal policy optimisation over heads, read from top to bottom: network, advantages, update, loop.

Schulman et al. 2017 (arXiv 1707.06347), with the settings of MechRL (arXiv 2605.26343) as defaults.

Several seeds are trained at once. Seeds share nothing: each has its own initial weights, environments,
samples and minibatches. A :class:`Learner` holds a few side by side, each parameter with a leading seed
dimension and each product a batched one, which hides what an operation costs beside its arithmetic;
learners are spread over threads of one core each, which on a network this small beats many cores a product.

Shapes: s seeds, n environments or rows of a minibatch, t steps, h heads, o observations, k candidates,
p parameters.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.env import BUDGET


@dataclass(frozen=True)
class PPOConfig:
    """The paper's settings. ``candidates`` is the k of best-of-k planning while training."""

    total_steps: int = 200_000
    environments: int = 8
    rollout: int = 50
    epochs: int = 4
    minibatches: int = 8
    learning_rate: float = 2.5e-4
    final_learning_rate: float = 0.2
    adam_eps: float = 1e-5
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.1
    value: float = 0.5
    max_grad_norm: float = 0.5
    hidden: int = 256
    candidates: int = 1
    budget: int = BUDGET

    def __post_init__(self) -> None:
        for name in (
            "total_steps",
            "environments",
            "rollout",
            "epochs",
            "minibatches",
            "candidates",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.environments * self.rollout % self.minibatches:
            raise ValueError(
                f"{self.environments} environments x {self.rollout} steps do not divide into "
                f"{self.minibatches} minibatches"
            )
        if self.total_steps < self.environments * self.rollout:
            raise ValueError(
                f"total_steps must hold one update of {self.environments} x {self.rollout} steps, "
                f"and {self.total_steps} does not"
            )

    @property
    def updates(self) -> int:
        """Rollouts, each followed by ``epochs`` passes over it."""
        return self.total_steps // (self.environments * self.rollout)


def advantages(
    rewards: Float[Tensor, "t *batch"],
    values: Float[Tensor, "t *batch"],
    ended: Float[Tensor, "t *batch"],
    last_value: Float[Tensor, " *batch"],
    gamma: float,
    gae_lambda: float,
) -> Float[Tensor, "t *batch"]:
    """Generalised advantage estimates (Schulman et al. 2016, arXiv 1506.02438, equation 16).

    ``ended[i]`` is 1 where step i ended its episode; ``last_value`` is the value after the last step.
    """
    alive = 1.0 - ended
    following = torch.cat([values[1:], last_value[None]])
    deltas = rewards + gamma * alive * following - values
    decays = gamma * gae_lambda * alive
    estimates = [torch.zeros_like(last_value)]
    for delta, decay in zip(reversed(deltas.unbind()), reversed(decays.unbind()), strict=True):
        estimates.append(torch.addcmul(delta, decay, estimates[-1]))
    return torch.stack(estimates[:0:-1])
