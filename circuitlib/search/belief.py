"""What is believed of every head's reward: a Gaussian prior from estimates, and what measurements do to it.

The prior is learned from behaviours whose rewards are known, by a network that looks at every head alike (and at what the
others of its episode are like), so that it knows no head by its number and works on a model of another shape. Rewards of
episodes differ in scale; inside, everything is in units of the episode's own :func:`scale_of`.

Shapes: e episodes, b pairs of a prompt and a span, h heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from circuitlib.ablation.attribution import Through
from circuitlib.search.meter import Estimate, Readings
from circuitlib.search.trials import Trials

GRADIENT, DIRECT = "gradient", "direct effect"
ESTIMATES: dict[str, Through] = {GRADIENT: "everything", DIRECT: "residual"}
"""The estimates that a prior is made of, and what each goes through; see :mod:`circuitlib.ablation.attribution`."""

FEATURES = 12
"""Numbers per head that :func:`features` makes."""


@dataclass(frozen=True)
class Belief:
    """Independent Gaussians: each head's mean and deviation before anything is measured, the deviation of one pair's reward
    about the head's mean (``noise``), all in units of ``scale``."""

    mean: Float[Tensor, "e h"]
    deviation: Float[Tensor, "e h"]
    noise: Float[Tensor, "e h"]
    scale: Float[Tensor, "e 1"]

    def given(self, readings: Readings) -> tuple[Float[Tensor, "e h"], Float[Tensor, "e h"]]:
        """Mean and deviation of each head's reward after what was measured: the conjugate normal with known noise."""
        precision, more = self.deviation**-2, readings.count / self.noise.square()
        mean = (precision * self.mean + more * readings.mean / self.scale) / (precision + more)
        return mean, (precision + more).rsqrt()


def scale_of(rewards: Float[Tensor, "e h"]) -> Float[Tensor, "e 1"]:
    """The unit of an episode: the root mean square of its ten largest estimated rewards, by size."""
    return rewards.abs().topk(min(10, rewards.shape[1])).values.square().mean(1, keepdim=True).sqrt()


def features(estimates: Mapping[str, Estimate], layers: int) -> tuple[Float[Tensor, "e h f"], Float[Tensor, "e 1"]]:
    """What a prior is made of, for every head, and the episode's scale: estimated rewards by gradient and by direct effect,
    of the task and in general, their errors over prompts, the head's rank, its depth, and its layer's and the whole model's
    estimates."""
    gradient, direct = estimates[GRADIENT], estimates[DIRECT]
    reward = gradient.rewards.mean(1)
    scale, (episodes, batch, heads) = scale_of(reward), gradient.task.shape
    unit = scale[:, None]

    def error(x: Tensor) -> Tensor:
        return x.std(1) / batch**0.5

    depth = torch.arange(heads) // (heads // layers) / max(layers - 1, 1)
    layer = reward.unflatten(1, (layers, -1))
    rank = reward.argsort(descending=True).argsort() / heads
    columns = (
        _squashed(gradient.task.mean(1) / scale),
        _squashed(10 * gradient.general.mean(1) / scale),
        _squashed(direct.task.mean(1) / scale),
        _squashed(3 * error(gradient.task) / scale),
        _squashed(3 * error(direct.task) / scale),
        (gradient.task / unit).sign().mean(1),
        rank,
        depth.expand(episodes, -1),
        (depth == 0).to(reward).expand(episodes, -1),
        torch.exp(-8 * depth).expand(episodes, -1),
        _squashed((layer.sum(2) / scale).repeat_interleave(heads // layers, 1)),
        _squashed((layer.abs().sum(2) / scale).repeat_interleave(heads // layers, 1)),
    )
    return torch.stack(columns, 2), scale


def _squashed(x: Tensor) -> Tensor:
    """Near the identity for small numbers, logarithmic for large ones."""
    return x.sign() * x.abs().log1p()


class Prior(nn.Module):
    """From features to a belief; the same function of every head. A belief starts at the estimate by gradient and departs from
    it as far as training tasks say."""

    def __init__(self, seed: int, hidden: int = 48) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = (FEATURES, hidden, hidden, 4)
        self.layers = nn.ModuleList(nn.utils.skip_init(nn.Linear, a, b) for a, b in pairwise(sizes))
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight, 1.0, generator)
            nn.init.zeros_(layer.bias)
        self.layers[-1].weight.data *= 0.01

    def forward(self, estimates: Mapping[str, Estimate], layers: int) -> Belief:
        """The belief before anything is measured; layers: of the subject."""
        seen, scale = features(estimates, layers)
        x = seen
        for layer in self.layers[:-1]:
            x = torch.nn.functional.silu(layer(x))
        shift, slope, deviation, noise = self.layers[-1](x).unbind(2)
        reward = estimates[GRADIENT].rewards
        mean = reward.mean(1) / scale * (1 + slope) + shift
        spread = reward.std(1) / scale
        return Belief(mean, 0.1 * deviation.exp(), (spread + 0.05) * noise.exp(), scale)


def likelihood(belief: Belief, trials: Trials) -> Float[Tensor, ""]:
    """The mean log-likelihood of what heads really pay: of their means under the prior and of single pairs about them."""
    true = trials.rewards / belief.scale
    pairs = trials.rows / belief.scale[:, None]
    means = torch.distributions.StudentT(4.0, belief.mean, belief.deviation).log_prob(true)
    about = torch.distributions.Normal(true[:, None], belief.noise[:, None]).log_prob(pairs)
    return means.mean() + about.mean()


def fit_prior(trials: list[Trials], layers: int, seed: int, steps: int = 600, batch: int = 16) -> Prior:
    """A prior learned from trials of several tasks: each step a few episodes of each of four tasks, Adam."""
    prior, generator = Prior(seed), Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = torch.zeros(())
        for task in torch.randperm(len(trials), generator=generator)[:4].tolist():
            rows = torch.randperm(len(trials[task].rows), generator=generator)[:batch]
            some = trials[task].some(rows)
            loss = loss - likelihood(prior(some.estimates, layers), some)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return prior
