"""The policy that searches with a price: trained by our PPO, frozen, and played at a meter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam

from circuitlib.search.belief import Belief, Believer, Prior
from circuitlib.search.headwise import Headwise, observe
from circuitlib.search.lookahead import play
from circuitlib.search.meter import Meter, Readings
from circuitlib.search.network import PolicyNetwork
from circuitlib.search.planning import gumbel
from circuitlib.search.ppo import PPOConfig, as_batch, update
from circuitlib.search.priced_env import PricedEnv
from circuitlib.search.trials import Trials

CONFIG = PPOConfig(
    total_timesteps=61_440, num_envs=32, num_steps=32, num_minibatches=8, learning_rate=1e-3, gamma=1.0, ent_coef=0.002
)
"""The paper's PPO with what a short search needs: no discount, since what counts is what is known in the end, and little entropy,
since the policy begins as a rule that explores."""


@dataclass(frozen=True)
class Learned:
    """What was learned on behaviours of one subject, to be used on any: a prior, and a policy of each seed."""

    prior: Prior
    policies: Mapping[int, Headwise]

    def tensors(self) -> dict[str, Tensor]:
        """All weights, as a file holds them."""
        parts: dict[str, nn.Module] = {"prior": self.prior} | {str(seed): net for seed, net in self.policies.items()}
        return {f"{part}/{name}": x for part, net in parts.items() for name, x in net.state_dict().items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Learned":
        """From :meth:`tensors`."""
        states: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            states.setdefault(part, {})[name] = value
        prior = Prior(0)
        prior.load_state_dict(states.pop("prior"))
        policies = {int(seed): Headwise(int(seed)) for seed in states}
        for seed, policy in policies.items():
            policy.load_state_dict(states[str(seed)])
        return cls(prior, policies)


def train(
    trials: Sequence[Trials],
    beliefs: Sequence[Belief],
    layers: int,
    budget: float | int,
    seed: int,
    config: PPOConfig = CONFIG,
    network: Headwise | None = None,
) -> tuple[Headwise, list[dict[str, Any]]]:
    """A policy, by default a new :class:`Headwise`, trained in place on trials of several tasks, what is believed of each, and the same price; and its history, a row per
    update: the mean of what was known in the end, as a fraction of the oracle, and PPO's diagnostics."""
    network, env = network or Headwise(seed), PricedEnv(trials, beliefs, layers, config.num_envs, budget)
    optimizer = Adam(network.parameters(), eps=config.adam_eps)
    generator, observation = Generator().manual_seed(seed), env.reset(seed)
    history = []
    for done in range(config.updates):
        batch, observation, known = rollout(network, env, observation, config, generator)
        optimizer.param_groups[0]["lr"] = config.annealed(done)
        diagnostics = update(network, optimizer, batch, config, generator)
        history.append({"seed": seed, "update": done + 1, "known": float(np.mean(known or [np.nan]))} | diagnostics)
    return network, history


@torch.no_grad()
def rollout(
    network: PolicyNetwork, env: PricedEnv, observation: Tensor, config: PPOConfig, generator: Generator
) -> tuple[dict[str, Tensor], Tensor, list[float]]:
    """Play ``num_steps`` steps: a batch, see :func:`circuitlib.search.ppo.as_batch`, the observation
    after it, and what was known at the end of each episode that ended."""
    steps: list[tuple[Tensor, ...]] = []
    known: list[float] = []
    for _ in range(config.num_steps):
        log_probs, value = network(observation)
        action = (log_probs + gumbel(tuple(log_probs.shape), generator)).argmax(1)
        chosen = log_probs.gather(1, action[:, None])[:, 0]
        before = observation
        observation, reward, over, final = env.step(action)
        known += final
        steps.append((before, action, chosen, value, reward, over))
    return as_batch(steps, network(observation)[1], config), observation, known


@dataclass(frozen=True)
class PricedPolicy:
    """Buys both estimates on few prompts, plays the most probable action until its budget is spent, and names the head of the largest mean.

    blind: the policy is shown which heads it has measured, and on how many prompts, but as if each had paid what was expected; what
    it names rests on what it measured.
    """

    network: PolicyNetwork
    believer: Believer
    blind: bool = field(default=False, kw_only=True)

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`. With a budget too small for the estimates nothing is done."""

        def keys(belief: Belief, readings: Readings, possible: Tensor, left: Tensor) -> Tensor:
            seen = _unsurprising(belief, readings) if self.blind else readings
            return self.network(observe(belief, seen, possible, left, self.believer.layers))[0]

        play(meter, budget, self.believer, keys)


def _unsurprising(belief: Belief, readings: Readings) -> Readings:
    """As if every head that was measured had paid what was expected."""
    return replace(readings, mean=belief.expected * belief.scale * (readings.count > 0))
