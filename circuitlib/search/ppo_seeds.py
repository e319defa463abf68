"""PPO on many seeds side by side: the fast twin of :mod:`circuitlib.search.ppo`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from circuitlib.manifest import written_whole
from circuitlib.search.env import HeadAblationVectorEnv
from circuitlib.search.episodes import RewardSource
from circuitlib.search.ppo import PPOConfig, advantages
from circuitlib.threads import threads_of_one_core


def product(
    left: Float[Tensor, "s a b"], right: Float[Tensor, "s b c"], out: Tensor | None = None
) -> Float[Tensor, "s a c"]:
    """Batched products, by numpy's library. On a processor; no gradient passes through."""
    into = None if out is None else out.numpy()
    return torch.from_numpy(np.matmul(left.detach().numpy(), right.detach().numpy(), out=into))


SIDE_BY_SIDE = 5
"""Seeds of a learner, at most. Fewer, and threads wait for Python's lock between operations this short;
more, and their weights, gradients and moments (2.8 MB a seed) leave the cache."""


def tanh(x: Tensor) -> Tensor:
    """tanh, in place where no gradient is recorded: numpy's takes a sixth of the time of torch's."""
    if x.requires_grad:
        return x.tanh()
    np.tanh(x.numpy(), out=x.numpy())
    return x


class ActorCritic(nn.Module):
    """Two tanh layers shared by a categorical over heads and a value, once for each seed.

    Actor and critic are one layer: its columns are the heads, and the value last. Initialised orthogonally,
    gain sqrt 2; the actor 0.01, the critic 1. ``tasks`` is the length of the one-hot that starts an observation.
    """

    def __init__(self, seeds: Sequence[int], tasks: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.seeds, self.tasks, self.heads, self.hidden = list(seeds), tasks, heads, hidden
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def orthogonal(fan_in: int, fan_out: int, gain: float) -> Tensor:
            weights = [
                nn.init.orthogonal_(torch.empty(fan_out, fan_in), gain, generator=g).T
                for g in generators
            ]
            return torch.stack(weights)

        observation = tasks + 2 * heads
        layers = {
            "hidden_1": orthogonal(observation, hidden, 2**0.5),
            "hidden_2": orthogonal(hidden, hidden, 2**0.5),
            "output": torch.cat([orthogonal(hidden, heads, 0.01), orthogonal(hidden, 1, 1.0)], -1),
        }
        for name, weight in layers.items():
            bias = torch.zeros(len(self.seeds), 1, weight.shape[-1])
            self.register_parameter(f"{name}_weight", nn.Parameter(weight.contiguous()))
            self.register_parameter(f"{name}_bias", nn.Parameter(bias))

    def _layer(self, name: str, x: Tensor) -> Tensor:
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        return x @ weight + bias if torch.is_grad_enabled() else product(x, weight).add_(bias)

    def activations(self, observations: Float[Tensor, "s n o"]) -> tuple[Tensor, ...]:
        """Both hidden layers ``[s, n, hidden]``, logits ``[s, n, h]``, those of tried heads lowered by 1e9, and
        values ``[s, n]``."""
        hidden_1 = tanh(self._layer("hidden_1", observations))
        hidden_2 = tanh(self._layer("hidden_2", hidden_1))
        tried = observations[..., self.tasks : self.tasks + self.heads]
        output = self._layer("output", hidden_2)
        return hidden_1, hidden_2, torch.add(output[..., :-1], tried, alpha=-1e9), output[..., -1]

    def forward(
        self, observations: Float[Tensor, "s n o"]
    ) -> tuple[Float[Tensor, "s n h"], Float[Tensor, "s n"]]:
        """Log-probabilities of the heads and values."""
        _, _, logits, values = self.activations(observations)
        return logits.log_softmax(-1), values

    def of_seed(self, index: int) -> "ActorCritic":
        """The network of one seed alone, a copy."""
        alone = ActorCritic(self.seeds[index : index + 1], self.tasks, self.heads, self.hidden)
        state = {key: value[index : index + 1] for key, value in self.state_dict().items()}
        alone.load_state_dict(state)
        return alone

    @staticmethod
    def of_all(networks: Sequence["ActorCritic"]) -> "ActorCritic":
        """The networks of all these seeds in one, a copy."""
        seeds = [seed for network in networks for seed in network.seeds]
        together = ActorCritic(seeds, networks[0].tasks, networks[0].heads, networks[0].hidden)
        states = [network.state_dict() for network in networks]
        together.load_state_dict({key: torch.cat([x[key] for x in states]) for key in states[0]})
        return together


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, from uniform numbers: torch draws exponential ones at a third of the speed."""
    return torch.rand(tuple(shape), generator=generator).log_().neg_().log_().neg_()


def largest(keys: Float[Tensor, "s n h"], k: int) -> Int[Tensor, "s n k"]:
    """Where the k largest keys are, largest first."""
    return keys.argmax(-1, keepdim=True) if k == 1 else keys.topk(k, dim=-1).indices


def sample_without_replacement(
    log_probs: Float[Tensor, "s n h"], k: int, generators: Sequence[torch.Generator]
) -> Int[Tensor, "s n k"]:
    """k different heads drawn in turn from a categorical, by the Gumbel-top-k trick (Kool et al. 2019).

    Each seed draws from its own generator. With k = 1 this is an ordinary sample.
    """
    noise = torch.stack([gumbel(log_probs.shape[1:], g) for g in generators])
    return largest(log_probs + noise, k)


def loss_gradients(network: ActorCritic, batch: dict[str, Tensor], config: PPOConfig) -> None:
    """Write the gradient of a minibatch's loss into the ``grad`` of every parameter, which must be there.

    The loss is the clipped surrogate (Schulman et al. 2017, equation 9), with the entropy and half the
    squared error of the value, by hand: at this size autograd's bookkeeping takes as long as the products.
    ``batch`` has ``observation [s, n, o]`` and ``head``, ``log_prob``, ``gain``, ``return`` ``[s, n]``.
    """
    x, head, gain = batch["observation"], batch["head"][..., None], batch["gain"]
    hidden_1, hidden_2, logits, values = network.activations(x)
    log_probs, n = logits.log_softmax(-1), x.shape[1]

    ratio = (log_probs.gather(-1, head)[..., 0] - batch["log_prob"]).exp_()
    surrogate = ratio * gain
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip) * gain
    # The surrogate is min(surrogate, clipped); its derivative by the log-probability of the head taken is
    # itself where it is not clipped. By the logits, log_probs[head] has derivative 1[head] - p and the
    # entropy H has -p (log p + H).
    taken = surrogate.where(surrogate <= clipped, 0.0).mul_(-1 / n)[..., None]
    p = logits.softmax(-1)
    weighted = p * log_probs
    entropy = weighted.sum(-1, keepdim=True).neg_()
    logits_grad = (
        weighted.addcmul_(p, entropy).mul_(config.entropy / n).addcmul_(p, taken, value=-1)
    )
    logits_grad.scatter_add_(-1, head, taken)
    values_grad = (values - batch["return"]).mul_(config.value / n)[..., None]

    def layer(name: str, inputs: Tensor, outputs_grad: Tensor) -> Tensor:
        weight, bias = getattr(network, f"{name}_weight"), getattr(network, f"{name}_bias")
        product(inputs.mT, outputs_grad, weight.grad)
        torch.sum(outputs_grad, 1, keepdim=True, out=bias.grad)
        return weight

    output_grad = torch.cat([logits_grad, values_grad], -1)
    weight = layer("output", hidden_2, output_grad)
    hidden_grad = product(output_grad, weight.mT)
    hidden_grad = torch.ops.aten.tanh_backward(hidden_grad, hidden_2)
    weight = layer("hidden_2", hidden_1, hidden_grad)
    hidden_grad = torch.ops.aten.tanh_backward(product(hidden_grad, weight.mT), hidden_1)
    layer("hidden_1", x, hidden_grad)


def clip_gradients(gradients: Float[Tensor, "s p"], max_norm: float) -> None:
    """Scale the gradient of each seed down to a norm of at most ``max_norm``."""
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    gradients.mul_((max_norm / (norms + 1e-6)).clamp_(max=1.0))


class Learner:
    """A few seeds, side by side in every operation: networks, optimizer, environments, random numbers."""

    def __init__(self, source: RewardSource, config: PPOConfig, seeds: Sequence[int]) -> None:
        self.config, self.seeds = config, list(seeds)
        self.env = HeadAblationVectorEnv(source, len(seeds) * config.environments, config.budget)
        self.network = ActorCritic(seeds, len(source.tasks), source.heads, config.hidden)
        # Parameters and gradients are views of one row a seed, so that clipping and Adam are one pass.
        parameters = list(self.network.parameters())
        rows = torch.cat([p.detach().flatten(1) for p in parameters], 1)
        self.parameters = nn.Parameter(rows)
        self.parameters.grad = torch.zeros_like(rows)
        sizes = [p[0].numel() for p in parameters]
        views = self.parameters.detach().split(sizes, 1), self.parameters.grad.split(sizes, 1)
        for parameter, data, grad in zip(parameters, *views, strict=True):
            shape = parameter.shape[1:]
            parameter.data, parameter.grad = data.unflatten(1, shape), grad.unflatten(1, shape)
        self.optimizer = torch.optim.Adam(
            [self.parameters], config.learning_rate, eps=config.adam_eps, fused=True
        )
        self.generators = [torch.Generator().manual_seed(1_000_003 * (seed + 1)) for seed in seeds]
        env_seeds = [1_000 * seed + i for seed in seeds for i in range(config.environments)]
        self._observation = self.env.reset(seed=env_seeds)[0]

    @torch.no_grad()
    def learn(self, learning_rate: float) -> list[tuple[int, str, float]]:
        """Play one rollout and learn from it. Returns what episodes that ended found: the seed, the task
        and the mean of their largest rewards."""
        batch, found = self.rollout()
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.update(batch)
        return found

    def rollout(self) -> tuple[dict[str, Tensor], list[tuple[int, str, float]]]:
        """Play ``rollout`` steps; tensors ``[s, t * n, ...]``, and what episodes that ended found."""
        c, s, n = self.config, len(self.seeds), self.config.environments
        noise = torch.stack(
            [gumbel((c.rollout, n, self.network.heads), g) for g in self.generators], dim=1
        )
        kept: dict[str, list[np.ndarray]] = {
            name: [] for name in ("observation", "head", "logits", "value", "reward", "ended")
        }
        found = []
        for step in range(c.rollout):
            observation = self._observation
            x = torch.from_numpy(observation).view(s, n, -1)
            _, _, logits, value = self.network.activations(x)
            heads = largest(logits + noise[step], c.candidates).flatten(0, 1).numpy()
            if c.candidates > 1:
                best = self.env.measure(heads).argmax(1)
                heads = np.take_along_axis(heads, best[:, None], axis=1)
            head = heads[:, 0]
            self._observation, reward, ended, _, info = self.env.step(head)
            now = observation, head, logits.numpy(), value.numpy(), reward, ended
            for arrays, array in zip(kept.values(), now, strict=True):
                arrays.append(array)
            if "final_best" in info:
                found += self._found(info)
        batch = {
            name: torch.from_numpy(np.stack(arrays)).view(c.rollout, s, n, -1).squeeze(-1)
            for name, arrays in kept.items()
        }
        last_value = self.network(torch.from_numpy(self._observation).view(s, n, -1))[1]
        log_probs = batch.pop("logits").log_softmax(-1)
        batch["log_prob"] = log_probs.gather(-1, batch["head"][..., None])[..., 0]
        batch["advantage"] = advantages(
            batch["reward"],
            batch["value"],
            batch["ended"].float(),
            last_value,
            c.gamma,
            c.gae_lambda,
        )
        batch["return"] = batch["advantage"] + batch["value"]
        return {name: x.transpose(0, 1).flatten(1, 2) for name, x in batch.items()}, found

    def _found(self, info: dict[str, Any]) -> list[tuple[int, str, float]]:
        shape = len(self.seeds), self.config.environments
        tasks = info["final_obs"][:, : self.network.tasks].argmax(1).reshape(shape)
        best = info["final_best"].reshape(shape)
        return [
            (seed, name, float(best[i][tasks[i] == task].mean()))
            for i, seed in enumerate(self.seeds)
            for task, name in enumerate(self.env.source.tasks)
            if (tasks[i] == task).any()
        ]

    def update(self, batch: dict[str, Tensor]) -> None:
        """``epochs`` x ``minibatches`` steps of Adam. Advantages are normalised in each minibatch."""
        c = self.config
        gradient = self.parameters.grad
        assert gradient is not None
        size = c.environments * c.rollout
        names = ("observation", "head", "log_prob", "advantage", "return")
        flat = {name: batch[name].flatten(0, 1) for name in names}
        for _ in range(c.epochs):
            orders = [
                torch.randperm(size, generator=g) + i * size for i, g in enumerate(self.generators)
            ]
            # [s, size] to [minibatches, s, size / minibatches]
            order = torch.stack(orders).unflatten(1, (c.minibatches, -1)).transpose(0, 1)
            shuffled = {
                name: x.index_select(0, order.flatten()).unflatten(0, order.shape)
                for name, x in flat.items()
            }
            gain = shuffled.pop("advantage")
            mean, std = gain.mean(-1, keepdim=True), gain.std(-1, keepdim=True)
            shuffled["gain"] = (gain - mean) / (std + 1e-8)
            for i in range(c.minibatches):
                loss_gradients(self.network, {name: x[i] for name, x in shuffled.items()}, c)
                clip_gradients(gradient, c.max_grad_norm)
                self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs."""
        return {
            "parameters": self.parameters.detach(), "optimizer": self.optimizer.state_dict(),
            "generators": [g.get_state() for g in self.generators], "env": self.env.state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on exactly from a :meth:`state`."""
        self.parameters.data.copy_(state["parameters"])
        self.optimizer.load_state_dict(state["optimizer"])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)
        self._observation = self.env.restore(state["env"])


class Trainer:
    """Trains one policy a seed on a reward source; can stop at any update and go on."""

    def __init__(self, source: RewardSource, config: PPOConfig, seeds: Sequence[int]) -> None:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds must be different, and at least one: {list(seeds)}")
        self.config, self.seeds = config, list(seeds)
        groups = np.array_split(self.seeds, -(-len(seeds) // SIDE_BY_SIDE))
        self.learners = [Learner(source, config, group.tolist()) for group in groups]
        self.history: list[dict[str, Any]] = []
        self.done = 0

    @property
    def network(self) -> ActorCritic:
        """A copy of the networks of all seeds."""
        return ActorCritic.of_all([learner.network for learner in self.learners])

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
        with threads_of_one_core(len(self.learners)) as pool:
            while self.done < c.updates and not stop():
                rate = c.learning_rate * (1 - (1 - c.final_learning_rate) * self.done / c.updates)
                found = list(pool.map(Learner.learn, self.learners, repeat(rate)))
                self.done += 1
                self.history += [
                    {"seed": seed, "update": self.done, "task": task, "best": best}
                    for seed, task, best in chain.from_iterable(found)
                ]
                progress.update()
                if checkpoint is not None and (self.done % every == 0 or self.done == c.updates):
                    self.save(checkpoint)
        return self.network

    def save(self, path: Path) -> None:
        """Write everything that :meth:`restore` needs."""
        state = {
            "config": asdict(self.config), "seeds": self.seeds, "done": self.done, "history": self.history,
            "learners": [learner.state() for learner in self.learners],
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
        for learner, saved in zip(self.learners, state["learners"], strict=True):
            learner.restore(saved)
