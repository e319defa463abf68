"""PPO on many seeds of the paper's network: the fast twin of :mod:`circuitlib.search.ppo`, equal to it up to rounding.

Seeds share nothing: each has its own initial weights, environments, samples and minibatches. A :class:`Learner` holds a
few side by side, each parameter with a leading seed dimension and each product a batched one, which hides what an
operation costs beside its arithmetic; the gradient is written by hand, because at this size autograd's bookkeeping
takes as long as the products; learners are spread over threads of one core each, which beats many cores per product.

Shapes: s seeds, n environments or rows of a minibatch, t steps, h heads, o observations, p parameters.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from jaxtyping import Float
from torch import Tensor

from circuitlib.manifest import is_stored, load_tensors, save_tensors
from circuitlib.search.env import HeadAblationVectorEnv
from circuitlib.search.episodes import EpisodeSource
from circuitlib.search.network import ActorCritic
from circuitlib.search.planning import best_of, candidates, gumbel
from circuitlib.search.ppo import PPOConfig, advantages, found, random_numbers
from circuitlib.threads import training_threads

SIDE_BY_SIDE = 5
"""Seeds per learner, at most. Fewer, and threads wait for Python's lock between operations this short; more, and
their weights, gradients and moments (2.8 MB per seed) leave the cache."""


WHOLE_VECTORS = 16
"""A row of parameters is as long as a multiple of this, its end zeros. Adam rounds numbers that fill no vector of the processor otherwise
than the rest: the last seed would depend on how many are beside it."""


def product(
    left: Float[Tensor, "s a b"], right: Float[Tensor, "s b c"], out: Tensor | None = None
) -> Float[Tensor, "s a c"]:
    """Batched products, by numpy's library. On a processor; no gradient passes through."""
    return torch.from_numpy(np.matmul(left.numpy(), right.numpy(), out=None if out is None else out.numpy()))


def tanh(x: Tensor) -> Tensor:
    """tanh, in place, by numpy, whose is much faster than torch's."""
    np.tanh(x.numpy(), out=x.numpy())
    return x


class ActorCritics:
    """Several :class:`circuitlib.search.network.ActorCritic` side by side.

    Actor and critic are one layer: its columns are the heads, and the value last. All parameters, and all gradients,
    are views of one row per seed, so that clipping and Adam are one pass.
    """

    def __init__(self, networks: Sequence[ActorCritic]) -> None:
        self.tasks, self.heads = networks[0].tasks, networks[0].heads
        self._networks = networks
        hidden, observation = networks[0].hidden_1.weight.shape
        layers = (observation, hidden), (hidden, hidden), (hidden, self.heads + 1)
        shapes = [shape for inputs, outputs in layers for shape in ((inputs, outputs), (1, outputs))]
        sizes = [rows * columns for rows, columns in shapes]
        count = sum(sizes)
        self.parameters = nn.Parameter(torch.zeros(len(networks), count + -count % WHOLE_VECTORS))
        self.parameters.grad = torch.zeros_like(self.parameters)
        self.gradients = self.parameters.grad[:, :count]

        def views(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
            own = rows[:, :count].split(sizes, 1)
            seen = [x.unflatten(1, shape) for x, shape in zip(own, shapes, strict=True)]
            return list(zip(seen[::2], seen[1::2], strict=True))

        self._weights, self._grads = views(self.parameters.detach()), views(self.parameters.grad)
        for layer, weight, bias in self._linear(networks):
            weight.copy_(layer.weight.detach())
            bias.copy_(layer.bias.detach())

    def _linear(self, networks: Sequence[ActorCritic]) -> Iterator[tuple[nn.Linear, Tensor, Tensor]]:
        """Each layer of each network, with the views of its weight and bias here."""
        for i, network in enumerate(networks):
            (weight_1, bias_1), (weight_2, bias_2), (weight, bias) = ((w[i].T, b[i, 0]) for w, b in self._weights)
            yield network.hidden_1, weight_1, bias_1
            yield network.hidden_2, weight_2, bias_2
            yield network.actor, weight[:-1], bias[:-1]
            yield network.critic, weight[-1:], bias[-1:]

    def networks(self) -> list[ActorCritic]:
        """The networks one by one, copies."""
        copies = deepcopy(list(self._networks))
        for layer, weight, bias in self._linear(copies):
            layer.weight.data, layer.bias.data = weight.clone(), bias.clone()
        return copies

    def activations(self, observations: Float[Tensor, "s n o"]) -> tuple[Tensor, ...]:
        """Both hidden layers ``[s, n, hidden]``, logits ``[s, n, h]``, those of tried heads lowered by 1e9, and
        values ``[s, n]``."""
        (weight_1, bias_1), (weight_2, bias_2), (weight, bias) = self._weights
        hidden_1 = tanh(product(observations, weight_1).add_(bias_1))
        hidden_2 = tanh(product(hidden_1, weight_2).add_(bias_2))
        output = product(hidden_2, weight).add_(bias)
        tried = observations[..., self.tasks : self.tasks + self.heads]
        return hidden_1, hidden_2, torch.add(output[..., :-1], tried, alpha=-1e9), output[..., -1]

    def backward(self, batch: dict[str, Tensor], config: PPOConfig) -> tuple[Tensor, ...]:
        """Write the gradient of :func:`circuitlib.search.ppo.loss` for each seed into ``parameters.grad``.

        ``batch`` has ``observation [s, n, o]`` and ``head``, ``log_prob``, ``gain``, ``return`` ``[s, n]``. Returns what
        the diagnostics are made of: probability ratios, entropies and errors of the values, ``[s, n]``.
        """
        x, head, gain = batch["observation"], batch["head"][..., None], batch["gain"]
        hidden_1, hidden_2, logits, values = self.activations(x)
        log_probs, n = logits.log_softmax(-1), x.shape[1]

        ratio = (log_probs.gather(-1, head)[..., 0] - batch["log_prob"]).exp_()
        surrogate = ratio * gain
        clipped = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef) * gain
        # The surrogate is min(surrogate, clipped); its derivative by the log-probability of the head taken is
        # itself where it is not clipped. By the logits, log_probs[head] has derivative 1[head] - p and the
        # entropy H has -p (log p + H).
        taken = surrogate.where(surrogate <= clipped, 0.0).mul_(-1 / n)[..., None]
        p = logits.softmax(-1)
        weighted = p * log_probs
        entropy = weighted.sum(-1, keepdim=True).neg_()
        logits_grad = weighted.addcmul_(p, entropy).mul_(config.ent_coef / n)
        logits_grad.addcmul_(p, taken, value=-1).scatter_add_(-1, head, taken)
        errors = values - batch["return"]

        grad = torch.cat([logits_grad, (errors * (config.vf_coef / n))[..., None]], -1)
        for layer, inputs in ((2, hidden_2), (1, hidden_1), (0, x)):
            weight_grad, bias_grad = self._grads[layer]
            product(inputs.mT, grad, weight_grad)
            torch.sum(grad, 1, keepdim=True, out=bias_grad)
            if layer:
                grad = product(grad, self._weights[layer][0].mT)
                grad = torch.ops.aten.tanh_backward(grad, inputs)
        return ratio, entropy[..., 0], errors


def clip_gradients(gradients: Float[Tensor, "s p"], max_norm: float) -> None:
    """Scale the gradient of each seed down to a norm of at most ``max_norm``."""
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    gradients.mul_((max_norm / (norms + 1e-6)).clamp_(max=1.0))


def below(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """What a state names with this prefix, named without."""
    return {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}


class Learner:
    """A few seeds, side by side in every operation: networks, optimizer, environments, random numbers."""

    def __init__(self, source: EpisodeSource, config: PPOConfig, seeds: Sequence[int], blind: bool = False) -> None:
        self.config, self.seeds = config, list(seeds)
        self.env = HeadAblationVectorEnv(source, len(seeds) * config.num_envs, config.budget, blind=blind)
        tasks, heads = len(source.tasks), source.heads
        self.network = ActorCritics([ActorCritic(tasks, heads, config.hidden, seed) for seed in seeds])
        self.optimizer = torch.optim.Adam([self.network.parameters], eps=config.adam_eps, fused=True)
        numbers = [random_numbers(seed, config.num_envs) for seed in seeds]
        self.generators = [generator for generator, _ in numbers]
        self._observation = self.env.reset(seed=[one for _, some in numbers for one in some])[0]

    @torch.no_grad()
    def learn(self, learning_rate: float) -> list[dict[str, Any]]:
        """Play one rollout and learn from it. Returns the history's rows."""
        batch, ended = self.rollout()
        self.optimizer.param_groups[0]["lr"] = learning_rate
        diagnostics = self.update(batch)
        return [{"seed": self.seeds[i], "task": task, "best": best} | diagnostics[i] for i, task, best in ended]

    def rollout(self) -> tuple[dict[str, Tensor], list[tuple[int, str, float]]]:
        """Play ``num_steps`` steps; tensors ``[s, t * n, ...]``, and what each seed's episodes that ended found."""
        c, s, n = self.config, len(self.seeds), self.config.num_envs
        noise = torch.stack([gumbel((c.num_steps, n, self.network.heads), g) for g in self.generators], dim=1)
        steps: list[tuple[np.ndarray, ...]] = []
        best: list[tuple[int, str, float]] = []
        for step_noise in noise:
            observation = self._observation
            _, _, logits, value = self.network.activations(torch.from_numpy(observation).view(s, n, -1))
            heads = candidates(self.env, (logits + step_noise).flatten(0, 1), c.candidates)
            picked = best_of(self.env, heads) if c.candidates > 1 else heads[:, 0]
            self._observation, paid, over, _, info = self.env.step(picked)
            steps.append((observation, picked, logits.numpy(), value.numpy(), paid, over))
            for i in range(s):
                best += [(i, *one) for one in found(self.env, info, slice(i * n, (i + 1) * n))]
        x, head, logits, value, reward, ended = (
            torch.from_numpy(np.stack(column)).view(c.num_steps, s, n, -1).squeeze(-1)
            for column in zip(*steps, strict=True)
        )
        last_value = self.network.activations(torch.from_numpy(self._observation).view(s, n, -1))[3]
        log_prob = logits.log_softmax(-1).gather(-1, head[..., None])[..., 0]
        advantage = advantages(reward, value, ended.float(), last_value, c.gamma, c.gae_lambda)
        batch = {"observation": x, "head": head, "log_prob": log_prob, "value": value}
        batch |= {"advantage": advantage, "return": advantage + value}
        return {name: x.transpose(0, 1).flatten(1, 2) for name, x in batch.items()}, best

    def update(self, batch: dict[str, Tensor]) -> list[dict[str, float]]:
        """Learn from a rollout. Returns each seed's diagnostics."""
        c = self.config
        size = c.num_envs * c.num_steps
        flat = {name: x.flatten(0, 1) for name, x in batch.items() if name != "value"}
        for _ in range(c.update_epochs):
            orders = [torch.randperm(size, generator=g) + i * size for i, g in enumerate(self.generators)]
            # [s, size] to [minibatches, s, size / minibatches]
            order = torch.stack(orders).unflatten(1, (c.num_minibatches, -1)).transpose(0, 1)
            shuffled = {name: x.index_select(0, order.flatten()).unflatten(0, order.shape) for name, x in flat.items()}
            gain = shuffled.pop("advantage")
            mean, std = gain.mean(-1, keepdim=True), gain.std(-1, keepdim=True)
            shuffled["gain"] = (gain - mean) / (std + 1e-8)
            seen = []
            for i in range(c.num_minibatches):
                seen.append(self.network.backward({name: x[i] for name, x in shuffled.items()}, c))
                clip_gradients(self.network.gradients, c.max_grad_norm)
                self.optimizer.step()
        # Of the last epoch, and all at once: a diagnostic per minibatch would slow the training.
        ratio, entropy, errors = (torch.cat(x, 1) for x in zip(*seen, strict=True))
        diagnostics = {
            "approx_kl": (ratio - 1 - ratio.log()).mean(1),
            "clipfrac": ((ratio - 1).abs() > c.clip_coef).float().mean(1),
            "entropy": entropy.mean(1),
            "value_loss": 0.5 * errors.square().mean(1),
            "explained_variance": 1 - (batch["return"] - batch["value"]).var(1) / batch["return"].var(1),
        }
        return [{name: x[i].item() for name, x in diagnostics.items()} for i in range(len(self.seeds))]

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs: tensors, and what JSON can hold."""
        env = {k: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for k, x in self.env.state().items()}
        return {
            "parameters": self.network.parameters.detach(),
            "generators": torch.stack([g.get_state() for g in self.generators]),
            **{f"adam.{name}": x for name, x in self.optimizer.state[self.network.parameters].items()},
            **{f"env.{name}": x for name, x in env.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on exactly from a :meth:`state`."""
        self.network.parameters.data.copy_(state["parameters"])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved.clone())
        self.optimizer.state[self.network.parameters] = below(state, "adam.")
        self._observation = self.env.restore(below(state, "env."))


class Trainer:
    """Trains one policy per seed; can stop at any update and go on. ``blind``: of policies that never see a reward."""

    def __init__(self, source: EpisodeSource, config: PPOConfig, seeds: Sequence[int], blind: bool = False) -> None:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds must be different, and at least one: {list(seeds)}")
        self.config, self.seeds = config, list(seeds)
        groups = np.array_split(self.seeds, -(-len(seeds) // SIDE_BY_SIDE))
        self.learners = [Learner(source, config, group.tolist(), blind) for group in groups]
        self.history: list[dict[str, Any]] = []
        self.done = 0
        # Of a source that draws something new each time, all that can be told is which tasks and how many heads.
        identity = getattr(source, "identity", [*source.tasks, source.heads])
        self._recorded = {"config": asdict(config), "seeds": self.seeds, "source": identity, "blind": blind}

    def networks(self) -> dict[int, ActorCritic]:
        """The network of each seed, copies."""
        networks = (network for learner in self.learners for network in learner.network.networks())
        return dict(zip(self.seeds, networks, strict=True))

    def train(
        self,
        checkpoint: Path | None = None,
        every: int = 50,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int], object] = lambda updates: None,
    ) -> dict[int, ActorCritic]:
        """Train to the end, or until ``stop()``; resume from ``checkpoint`` if it is there and keep it up to date
        every ``every`` updates. ``progress`` is told of updates that are done. Returns :meth:`networks`."""
        if checkpoint is not None and is_stored(checkpoint):
            self.restore(checkpoint)
        progress(self.done)
        with training_threads(len(self.learners)) as pool:
            while self.done < self.config.updates and not stop():
                rate = self.config.annealed(self.done)
                rows = list(pool.map(Learner.learn, self.learners, repeat(rate)))
                self.done += 1
                self.history += [{"update": self.done} | row for some in rows for row in some]
                progress(1)
                if checkpoint is not None and (self.done % every == 0 or self.done == self.config.updates):
                    self.save(checkpoint)
        return self.networks()

    def save(self, path: Path) -> None:
        """Write everything that :meth:`restore` needs, a ``.safetensors`` file and its manifest."""
        states = {f"{i}.{name}": x for i, one in enumerate(self.learners) for name, x in one.state().items()}
        tensors = {name: x for name, x in states.items() if isinstance(x, Tensor)}
        rest = {name: x for name, x in states.items() if name not in tensors}
        provenance = {"done": self.done, "history": self.history, "states": rest}
        save_tensors(path, tensors, self._recorded | provenance)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint. Raises ``ValueError`` when it is corrupt or belongs to another run."""
        tensors, provenance = load_tensors(path)
        if any(provenance.get(name) != value for name, value in self._recorded.items()):
            raise ValueError(
                f"{path} is the checkpoint of another configuration or of other rewards; delete it to start anew"
            )
        self.done, self.history = provenance["done"], provenance["history"]
        states = tensors | provenance["states"]
        for i, learner in enumerate(self.learners):
            learner.restore(below(states, f"{i}."))
