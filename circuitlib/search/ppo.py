"""Proximal policy optimisation over heads, one seed, read from top to bottom.

Settings, advantages, loss, rollout, update, loop: Schulman et al. 2017 (arXiv 1707.06347), named as in CleanRL, with
the settings of MechRL (arXiv:2605.26343v1) as defaults. It trains any :class:`circuitlib.search.network.PolicyNetwork`.
:mod:`circuitlib.search.ppo_seeds` trains many seeds of the paper's network in a fraction of the time, and learns the
same from the same random numbers.

Shapes: t steps, n environments or rows of a minibatch, o observations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, Optimizer

from circuitlib.search.env import BUDGET, HeadAblationVectorEnv
from circuitlib.search.episodes import EpisodeSource
from circuitlib.search.network import ActorCritic, PolicyNetwork
from circuitlib.search.planning import best_of, candidates, gumbel


@dataclass(frozen=True)
class PPOConfig:
    """The paper's settings. Raises ``ValueError``, naming the field, for one that makes no sense."""

    total_timesteps: int = 200_000  # environment steps in all, rounded down to whole updates
    num_envs: int = 8  # episodes played side by side
    num_steps: int = 50  # steps per environment between updates
    update_epochs: int = 4  # passes over each rollout
    num_minibatches: int = 8  # minibatches per pass
    learning_rate: float = 2.5e-4  # of the first update
    lr_min_frac: float = 0.2  # the fraction of it that the linear annealing ends at
    adam_eps: float = 1e-5  # Adam's epsilon
    gamma: float = 0.99  # discount
    gae_lambda: float = 0.95  # lambda of generalised advantage estimation
    clip_coef: float = 0.2  # probability ratios are clipped to 1 - this and 1 + this
    ent_coef: float = 0.1  # weight of the entropy
    vf_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 0.5  # longer gradients are scaled down to this norm
    hidden: int = 256  # width of the paper's network
    candidates: int = 1  # k of best-of-k planning: heads measured per pick
    budget: int = BUDGET  # picks per episode

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = isinstance(PPOConfig.__dict__[name], int)
            if not np.isfinite(value) or (whole and not isinstance(value, int)):
                raise ValueError(f"{name} must be a {'whole' if whole else 'finite'} number, not {value!r}")
            least = 1 if whole else 0
            if name == "adam_eps" and not np.float32(value) > 0:  # a weight without a gradient would be moved by 0 / 0
                raise ValueError(f"adam_eps must be more than 0 in single precision, not {value}")
            most = 1 if name in ("lr_min_frac", "gamma", "gae_lambda") else np.inf
            if not least <= value <= most:
                limit = f"at least {least}" if value < least else f"at most {most}"
                raise ValueError(f"{name} must be {limit}, not {value}")
        size, total = self.num_envs * self.num_steps, self.total_timesteps
        if size % self.num_minibatches or size < 2 * self.num_minibatches:
            steps = f"num_envs x num_steps, {size}, into minibatches of two steps or more"
            raise ValueError(f"num_minibatches must divide {steps}, and {self.num_minibatches} does not")
        if not self.updates:
            raise ValueError(f"total_timesteps must hold one update of {size} steps, and {total} does not")

    @property
    def updates(self) -> int:
        """Rollouts, each followed by ``update_epochs`` passes over it."""
        return self.total_timesteps // (self.num_envs * self.num_steps)

    def annealed(self, update: int) -> float:
        """The learning rate of an update, counted from 0."""
        return self.learning_rate * (1 - (1 - self.lr_min_frac) * update / self.updates)


def random_numbers(seed: int, num_envs: int) -> tuple[Generator, list[int]]:
    """What a seed draws samples and minibatches from, and the seeds of its environments."""
    return Generator().manual_seed(1_000_003 * (seed + 1)), [1_000 * seed + i for i in range(num_envs)]


def advantages(
    rewards: Float[Tensor, "t *n"],
    values: Float[Tensor, "t *n"],
    ended: Float[Tensor, "t *n"],
    last_value: Float[Tensor, " *n"],
    gamma: float,
    gae_lambda: float,
) -> Float[Tensor, "t *n"]:
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


def loss(
    network: PolicyNetwork, batch: dict[str, Tensor], config: PPOConfig
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """The loss of a minibatch (Schulman et al. 2017, equation 9), and diagnostics.

    batch: ``observation [n, o]`` and ``head``, ``log_prob``, ``gain`` (the normalised advantage), ``return`` ``[n]``.
    """
    log_probs, values = network(batch["observation"])
    log_ratio = log_probs.gather(-1, batch["head"][:, None])[:, 0] - batch["log_prob"]
    ratio, gain, clip = log_ratio.exp(), batch["gain"], config.clip_coef
    surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain).mean()
    value_loss = 0.5 * (values - batch["return"]).square().mean()
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    diagnostics = {
        "approx_kl": (ratio - 1 - log_ratio).mean().item(),  # joschu.net/blog/kl-approx.html
        "clipfrac": ((ratio - 1).abs() > clip).float().mean().item(),
        "entropy": entropy.item(),
        "value_loss": value_loss.item(),
    }
    return -surrogate + config.vf_coef * value_loss - config.ent_coef * entropy, diagnostics


def found(env: HeadAblationVectorEnv, info: dict[str, Any], envs: slice = slice(None)) -> list[tuple[str, float]]:
    """The tasks of the episodes that a step ended, from its ``info``, each with the mean of their largest rewards."""
    if "final_task" not in info:
        return []
    tasks, best = info["final_task"][envs], info["final_best"][envs]
    ended = [(task, tasks == task) for task in env.source.tasks]
    return [(task, float(best[these].mean())) for task, these in ended if these.any()]


@torch.no_grad()
def rollout(
    network: PolicyNetwork, env: HeadAblationVectorEnv, observation: np.ndarray, config: PPOConfig, generator: Generator
) -> tuple[dict[str, Tensor], np.ndarray, list[tuple[str, float]]]:
    """Play ``num_steps`` steps: a batch ``[t * n, ...]``, the observation after it, and what was found."""
    noise = gumbel((config.num_steps, env.num_envs, env.source.heads), generator)
    steps: list[tuple[Tensor, ...]] = []
    best: list[tuple[str, float]] = []
    for step_noise in noise:
        x = torch.from_numpy(observation)
        log_probs, value = network(x)
        picked = best_of(env, candidates(env, log_probs + step_noise, config.candidates))
        observation, paid, over, _, info = env.step(picked)
        best += found(env, info)
        head = torch.from_numpy(picked)
        log_prob = log_probs.gather(-1, head[:, None])[:, 0]
        steps.append((x, head, log_prob, value, torch.from_numpy(paid), torch.from_numpy(over)))
    return as_batch(steps, network(torch.from_numpy(observation))[1], config), observation, best


def as_batch(
    steps: Sequence[Sequence[Tensor]], last_value: Float[Tensor, " n"], config: PPOConfig
) -> dict[str, Tensor]:
    """What :func:`update` learns from, ``[t * n, ...]``, of steps of observation, action, its log-probability, value, reward and end, each of
    ``n`` environments, and the value after the last."""
    x, action, log_prob, value, reward, ended = (torch.stack(column) for column in zip(*steps, strict=True))
    advantage = advantages(reward, value, ended.float(), last_value, config.gamma, config.gae_lambda)
    batch = {"observation": x, "head": action, "log_prob": log_prob, "value": value, "reward": reward}
    batch |= {"advantage": advantage, "return": advantage + value}
    return {name: x.flatten(0, 1) for name, x in batch.items()}


def update(
    network: PolicyNetwork, optimizer: Optimizer, batch: dict[str, Tensor], config: PPOConfig, generator: Generator
) -> dict[str, float]:
    """Learn from a rollout. Returns the diagnostics, means over the last epoch, and the share of the variance of the
    returns that the values explained."""
    size = len(batch["head"])
    for _ in range(config.update_epochs):
        seen = []
        for rows in torch.randperm(size, generator=generator).chunk(config.num_minibatches):
            some = {name: x[rows] for name, x in batch.items()}
            gain = some["advantage"]
            some["gain"] = (gain - gain.mean()) / (gain.std() + 1e-8)
            objective, diagnostics = loss(network, some, config)
            optimizer.zero_grad()
            objective.backward()
            clip_grad_norm_(network.parameters(), config.max_grad_norm)
            optimizer.step()
            seen.append(diagnostics)
    means = {name: float(np.mean([one[name] for one in seen])) for name in seen[0]}
    unexplained = (batch["return"] - batch["value"]).var() / batch["return"].var()
    return means | {"explained_variance": 1 - unexplained.item()}


def train(
    source: EpisodeSource, config: PPOConfig, seed: int, network: PolicyNetwork | None = None
) -> tuple[PolicyNetwork, list[dict[str, Any]]]:
    """Train a network, by default the paper's, in place.

    Returns it and its history, a row per update and task of the episodes that ended: the mean of their largest
    rewards (``best``) and the update's diagnostics.
    """
    if network is None:
        network = ActorCritic(len(source.tasks), source.heads, config.hidden, seed)
    optimizer = Adam(network.parameters(), eps=config.adam_eps)
    env = HeadAblationVectorEnv(source, config.num_envs, config.budget)
    generator, seeds = random_numbers(seed, config.num_envs)
    observation, _ = env.reset(seed=seeds)
    history: list[dict[str, Any]] = []
    for done in range(config.updates):
        batch, observation, ended = rollout(network, env, observation, config, generator)
        optimizer.param_groups[0]["lr"] = config.annealed(done)
        diagnostics = update(network, optimizer, batch, config, generator)
        row = {"seed": seed, "update": done + 1}
        history += [row | {"task": task, "best": best} | diagnostics for task, best in ended]
    return network, history
