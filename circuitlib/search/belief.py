"""What is believed of every head's reward: a Gaussian prior from estimates, and what measurements do to it.

The prior is learned from behaviours whose rewards are known, by a network that looks at every head alike (and at what the
others of its episode are like), so that it knows no head by its number and works on a model of another shape. Rewards of
episodes differ in scale; inside, everything is in units of the episode's own :func:`scale_of`.

Shapes: e episodes, b pairs of a prompt and a span, h heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.distributions import StudentT

from circuitlib.ablation.attribution import Through
from circuitlib.search.meter import Estimate, Readings
from circuitlib.search.trials import Trials

GRADIENT, DIRECT = "gradient", "direct effect"
ESTIMATES: dict[str, Through] = {GRADIENT: "everything", DIRECT: "residual"}
"""The estimates that a prior is made of, and what each goes through; see :mod:`circuitlib.ablation.attribution`."""

FEATURES = 12
"""Numbers per head that :func:`see` makes."""


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


@dataclass(frozen=True)
class Seen:
    """What a prior is made of. features: ``FEATURES`` numbers per head. scale: the episode's unit. mean, spread: of each head's
    estimated rewards by gradient over its pairs, in that unit."""

    features: Float[Tensor, "e h f"]
    scale: Float[Tensor, "e 1"]
    mean: Float[Tensor, "e h"]
    spread: Float[Tensor, "e h"]

    def __getitem__(self, episodes: Int[Tensor, " some"]) -> "Seen":
        return Seen(*(getattr(self, name)[episodes] for name in ("features", "scale", "mean", "spread")))


def see(estimates: Mapping[str, Estimate], layers: int) -> Seen:
    """Of every head: its estimated reward by gradient and by direct effect, of the task and in general, their errors over
    prompts, its rank, its depth, and its layer's estimates."""
    gradient, direct = estimates[GRADIENT], estimates[DIRECT]
    reward = gradient.rewards.mean(1)
    scale, (episodes, batch, heads) = scale_of(reward), gradient.task.shape

    def error(x: Tensor) -> Tensor:
        return x.std(1) / batch**0.5 / scale

    across = heads // layers
    depth = torch.arange(heads) // across / max(layers - 1, 1)
    layer = reward.unflatten(1, (layers, -1)) / scale[..., None]
    columns = (
        _squashed(gradient.task.mean(1) / scale),
        _squashed(10 * gradient.general.mean(1) / scale),
        _squashed(direct.task.mean(1) / scale),
        _squashed(3 * error(gradient.task)),
        _squashed(3 * error(direct.task)),
        gradient.task.sign().mean(1),
        reward.argsort(descending=True).argsort() / heads,
        depth.expand(episodes, -1),
        (depth == 0).to(reward).expand(episodes, -1),
        torch.exp(-8 * depth).expand(episodes, -1),
        _squashed(layer.sum(2).repeat_interleave(across, 1)),
        _squashed(layer.abs().sum(2).repeat_interleave(across, 1)),
    )
    return Seen(torch.stack(columns, 2), scale, reward / scale, gradient.rewards.std(1) / scale)


def _squashed(x: Tensor) -> Tensor:
    """Near the identity for small numbers, logarithmic for large ones."""
    return x.sign() * x.abs().log1p()


class Prior(nn.Module):
    """From what is seen to a belief; the same function of every head. A belief starts at the estimate by gradient and departs
    from it as far as training tasks say."""

    def __init__(self, seed: int, hidden: int = 48) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = (FEATURES, hidden, hidden, 4)
        layers = [nn.utils.skip_init(nn.Linear, a, b) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, 1.0, generator)
            nn.init.zeros_(layer.bias)
        layers[-1].weight.data *= 0.01
        self.layers = nn.ModuleList(layers)

    def forward(self, seen: Seen) -> Belief:
        """The belief before anything is measured."""
        x = seen.features
        for layer in self.layers[:-1]:
            x = F.silu(layer(x))
        shift, slope, deviation, noise = self.layers[-1](x).unbind(2)
        mean = seen.mean * (1 + slope) + shift
        return Belief(mean, 0.1 * deviation.exp(), (seen.spread + 0.05) * noise.exp(), seen.scale)


TAILS = 4.0
"""Degrees of freedom of the t distribution by which a prior is fitted: a few heads are far from what any estimate says."""


def likelihood(belief: Belief, true: Float[Tensor, "e h"], variance: Float[Tensor, "e h"]) -> Float[Tensor, ""]:
    """The mean log-likelihood of what heads really pay, in units of the scale: of their means under the prior, and of single
    pairs, with this ``variance``, about them."""
    means = StudentT(TAILS, belief.mean, belief.deviation).log_prob(true)
    about = -belief.noise.log() - 0.5 * variance / belief.noise.square()
    return means.mean() + about.mean()


def fit_prior(trials: Sequence[Trials], layers: int, seed: int, steps: int = 800, batch: int = 32) -> Prior:
    """A prior learned from trials of several tasks: each step ``batch`` episodes of any of them, AdamW."""
    prior, generator = Prior(seed), Generator().manual_seed(seed)
    seen = [see(some.estimates, layers) for some in trials]
    everything = Seen(
        *(torch.cat([getattr(x, name) for x in seen]) for name in ("features", "scale", "mean", "spread"))
    )
    true = torch.cat([some.rewards for some in trials]) / everything.scale
    variance = torch.cat([some.rows.var(1, correction=0) for some in trials]) / everything.scale.square()
    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(true), (batch,), generator=generator)
        optimizer.zero_grad()
        (-likelihood(prior(everything[rows]), true[rows], variance[rows])).backward()
        optimizer.step()
        schedule.step()
    return prior
