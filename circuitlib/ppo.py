"""Proximal policy optimisation over heads, read from top to bottom: network, advantages, update, loop.

Schulman et al. 2017 (arXiv 1707.06347), with the settings of MechRL (arXiv 2605.26343) as defaults.

Several seeds are trained at once: every parameter has a leading seed dimension and every product is a
batched one, which on a small network costs little more than one seed alone. Seeds share nothing: each has
its own initial weights, environments, samples and minibatches.

Shapes: s seeds, n environments a seed, t steps, h heads, o observations, k candidates.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from circuitlib.env import BUDGET, HeadAblationVectorEnv
from circuitlib.provenance import written_whole
from circuitlib.rewards import RewardSource


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


class ActorCritic(nn.Module):
    """Two tanh layers shared by a categorical over heads and a value, once for each seed.

    Initialised orthogonally, gain sqrt 2; the actor's layer 0.01, the critic's 1. ``tasks`` is the
    length of the one-hot that starts an observation.
    """

    def __init__(self, seeds: Sequence[int], tasks: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.seeds, self.tasks, self.heads, self.hidden = list(seeds), tasks, heads, hidden
        sizes = {
            "hidden_1": (tasks + 2 * heads, hidden, 2**0.5),
            "hidden_2": (hidden, hidden, 2**0.5),
            "actor": (hidden, heads, 0.01),
            "critic": (hidden, 1, 1.0),
        }
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        for name, (fan_in, fan_out, gain) in sizes.items():
            weights = [
                nn.init.orthogonal_(torch.empty(fan_out, fan_in), gain, generator=g).T
                for g in generators
            ]
            self.register_parameter(
                f"{name}_weight", nn.Parameter(torch.stack(weights).contiguous())
            )
            bias = torch.zeros(len(self.seeds), 1, fan_out)
            self.register_parameter(f"{name}_bias", nn.Parameter(bias))

    def _layer(self, name: str, x: Tensor) -> Tensor:
        return torch.baddbmm(getattr(self, f"{name}_bias"), x, getattr(self, f"{name}_weight"))

    def forward(
        self, observations: Float[Tensor, "s n o"]
    ) -> tuple[Float[Tensor, "s n h"], Float[Tensor, "s n"]]:
        """Log-probabilities of the heads, those of tried heads at -1e9, and values."""
        x = self._layer("hidden_1", observations).tanh()
        x = self._layer("hidden_2", x).tanh()
        tried = observations[..., self.tasks : self.tasks + self.heads] > 0
        logits = self._layer("actor", x).masked_fill(tried, -1e9)
        return logits.log_softmax(-1), self._layer("critic", x).squeeze(-1)

    def of_seed(self, index: int) -> "ActorCritic":
        """The network of one seed alone."""
        alone = ActorCritic(self.seeds[index : index + 1], self.tasks, self.heads, self.hidden)
        state = {key: value[index : index + 1] for key, value in self.state_dict().items()}
        alone.load_state_dict(state)
        return alone


def sample_without_replacement(
    log_probs: Float[Tensor, "s n h"], k: int, generators: Sequence[torch.Generator]
) -> Int[Tensor, "s n k"]:
    """k different heads drawn in turn from a categorical, by the Gumbel-top-k trick (Kool et al. 2019).

    Each seed draws from its own generator. With k = 1 this is an ordinary sample.
    """
    noise = torch.stack([
        torch.empty(log_probs.shape[1:]).exponential_(generator=g) for g in generators
    ])  # fmt: skip
    keys = log_probs - noise.log()
    return keys.argmax(-1, keepdim=True) if k == 1 else keys.topk(k, dim=-1).indices


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
    estimates = torch.empty_like(rewards)
    running = torch.zeros_like(last_value)
    following = last_value
    for step in reversed(range(len(rewards))):
        alive = 1.0 - ended[step]
        delta = rewards[step] + gamma * alive * following - values[step]
        running = delta + gamma * gae_lambda * alive * running
        estimates[step], following = running, values[step]
    return estimates


def clip_gradients(parameters: Sequence[Tensor], max_norm: float) -> None:
    """Clip the gradient of each seed to its own norm, over all parameters."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
    scale = (max_norm / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, 1, 1))


class Trainer:
    """Trains one policy a seed on a reward source; can stop at any update and go on."""

    def __init__(self, source: RewardSource, config: PPOConfig, seeds: Sequence[int]) -> None:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds must be different, and at least one: {list(seeds)}")
        self.config, self.seeds = config, list(seeds)
        self.env = HeadAblationVectorEnv(source, len(seeds) * config.environments, config.budget)
        self.network = ActorCritic(seeds, len(source.tasks), source.heads, config.hidden)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), config.learning_rate, eps=config.adam_eps, fused=True
        )
        self.generators = [torch.Generator().manual_seed(1_000_003 * (seed + 1)) for seed in seeds]
        self.history: list[dict[str, Any]] = []
        env_seeds = [1_000 * seed + i for seed in seeds for i in range(config.environments)]
        self._observation = self.env.reset(seed=env_seeds)[0]

    def _observe(self) -> Float[Tensor, "s n o"]:
        return torch.from_numpy(self._observation).view(
            len(self.seeds), self.config.environments, -1
        )

    @torch.no_grad()
    def rollout(self) -> dict[str, Tensor]:
        """Play ``rollout`` steps; tensors ``[s, t * n, ...]`` ready for minibatches."""
        c, s = self.config, len(self.seeds)
        kept: dict[str, list[Tensor]] = {
            name: [] for name in ("observation", "head", "log_prob", "value", "reward", "ended")
        }
        for _ in range(c.rollout):
            observation = self._observe()
            log_probs, value = self.network(observation)
            heads = sample_without_replacement(log_probs, c.candidates, self.generators)
            if c.candidates > 1:
                measured = self.env.measure(heads.flatten(0, 1).numpy())
                best = torch.from_numpy(measured).view(heads.shape).argmax(-1, keepdim=True)
                heads = heads.gather(-1, best)
            step = self.env.step(heads.flatten().numpy())
            self._observation = step[0]
            kept["observation"].append(observation)
            kept["head"].append(heads[..., 0])
            kept["log_prob"].append(log_probs.gather(-1, heads)[..., 0])
            kept["value"].append(value)
            kept["reward"].append(torch.from_numpy(step[1]).view(s, c.environments))
            kept["ended"].append(torch.from_numpy(step[2]).view(s, c.environments).float())
            if "final_best" in step[4]:
                self._log_episodes(step[4])
        stacked = {name: torch.stack(tensors) for name, tensors in kept.items()}
        last_value = self.network(self._observe())[1]
        stacked["advantage"] = advantages(
            stacked["reward"], stacked["value"], stacked["ended"], last_value, c.gamma, c.gae_lambda
        )
        stacked["return"] = stacked["advantage"] + stacked["value"]
        return {name: x.transpose(0, 1).flatten(1, 2) for name, x in stacked.items()}

    def _log_episodes(self, info: dict[str, Any]) -> None:
        c, s = self.config, len(self.seeds)
        best = info["final_best"].reshape(s, c.environments)
        tasks = info["final_obs"][:, : self.network.tasks].argmax(1).reshape(s, c.environments)
        for i, seed in enumerate(self.seeds):
            for task, name in enumerate(self.env.source.tasks):
                these = best[i][tasks[i] == task]
                if len(these):
                    self.history.append(
                        {
                            "seed": seed,
                            "update": self.done + 1,
                            "task": name,
                            "best": float(these.mean()),
                        }
                    )

    done = 0

    def update(self, batch: dict[str, Tensor]) -> None:
        """``epochs`` x ``minibatches`` steps on the clipped surrogate (Schulman et al. 2017, equation 9)."""
        c, s = self.config, len(self.seeds)
        size = c.environments * c.rollout
        seed_index = torch.arange(s)[:, None]
        parameters = list(self.network.parameters())
        for _ in range(c.epochs):
            order = torch.stack([torch.randperm(size, generator=g) for g in self.generators])
            for rows in order.split(size // c.minibatches, dim=1):
                at = {name: x[seed_index, rows] for name, x in batch.items()}
                log_probs, value = self.network(at["observation"])
                ratio = (
                    log_probs.gather(-1, at["head"].unsqueeze(-1))[..., 0] - at["log_prob"]
                ).exp()
                gain = at["advantage"]
                gain = (gain - gain.mean(1, keepdim=True)) / (gain.std(1, keepdim=True) + 1e-8)
                clipped = ratio.clamp(1 - c.clip, 1 + c.clip)
                surrogate = torch.minimum(ratio * gain, clipped * gain).mean(1)
                entropy = -(log_probs.exp() * log_probs).sum(-1).mean(1)
                value_loss = 0.5 * (value - at["return"]).square().mean(1)
                loss = (c.value * value_loss - surrogate - c.entropy * entropy).sum()
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                clip_gradients(parameters, c.max_grad_norm)
                self.optimizer.step()

    def train(
        self,
        checkpoint: Path | None = None,
        every: int = 50,
        stop: Callable[[], bool] = lambda: False,
    ) -> ActorCritic:
        """Train to the end, or until ``stop()``; resume from ``checkpoint`` if it exists and keep it up
        to date every ``every`` updates."""
        c = self.config
        if checkpoint is not None and checkpoint.exists():
            self.restore(checkpoint)
        progress = tqdm(
            total=c.updates,
            initial=self.done,
            desc=f"PPO k={c.candidates}",
            unit="update",
            disable=None,
        )
        while self.done < c.updates and not stop():
            factor = 1 - (1 - c.final_learning_rate) * self.done / c.updates
            self.optimizer.param_groups[0]["lr"] = c.learning_rate * factor
            self.update(self.rollout())
            self.done += 1
            progress.update()
            if checkpoint is not None and (self.done % every == 0 or self.done == c.updates):
                self.save(checkpoint)
        return self.network

    def save(self, path: Path) -> None:
        """Write everything that :meth:`restore` needs."""
        state = {
            "config": asdict(self.config), "seeds": self.seeds, "done": self.done, "history": self.history,
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generators": [g.get_state() for g in self.generators], "env": self.env.state(),
        }  # fmt: skip
        with written_whole(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint. Raises ``ValueError`` when it belongs to another run."""
        state = torch.load(path, weights_only=False)
        if state["config"] != asdict(self.config) or state["seeds"] != self.seeds:
            raise ValueError(
                f"{path} is the checkpoint of another configuration; delete it to start anew"
            )
        self.done, self.history = state["done"], state["history"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)
        self._observation = self.env.restore(state["env"])


def save_policy(network: ActorCritic, path: Path, provenance: dict[str, Any]) -> None:
    """Write the policies of all seeds and where they came from, in half precision: 290 x 256 numbers a
    seed matter less than a small repository, and sampling does not notice the ninth bit."""
    tensors = {
        key: value.detach().to(torch.float16).contiguous()
        for key, value in network.state_dict().items()
    }
    shape = {"seeds": network.seeds, "tasks": network.tasks, "heads": network.heads}
    metadata = {"provenance": json.dumps(provenance, sort_keys=True), "shape": json.dumps(shape)}
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_policy(path: Path) -> tuple[ActorCritic, dict[str, Any]]:
    """Read policies, in float32, and their provenance."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    shape = json.loads(metadata["shape"])
    hidden = tensors["hidden_2_weight"].shape[-1]
    network = ActorCritic(shape["seeds"], shape["tasks"], shape["heads"], hidden)
    network.load_state_dict(tensors)
    return network, json.loads(metadata["provenance"])


def rounded(network: ActorCritic) -> ActorCritic:
    """The network as :func:`save_policy` stores it, so that evaluating before or after saving agrees."""
    network.load_state_dict(
        {k: v.to(torch.float16).float() for k, v in network.state_dict().items()}
    )
    return network


def training_curve(history: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """A trainer's history as columns: seed, update, task, best."""
    return {
        name: np.array([row[name] for row in history])
        for name in ("seed", "update", "task", "best")
    }
