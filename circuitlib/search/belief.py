"""What is believed of every head's reward: a prior from estimates, and what measurements do to it.

A head may pay about what the estimates say, or something quite different: a mixture of two Gaussians says how surely which. The
prior is learned from behaviours whose rewards are known, by networks that look at every head alike (and at what the others of
its episode are like), so that it knows no head by its number and works on a model of another shape; what a head pays in other
behaviours of its model is seen where it is known. Rewards of episodes differ in scale; inside, everything is in units of the
episode's own :func:`scale_of`.

Shapes: e episodes, b pairs of a prompt and a span, h heads, c components: near the estimates, and far from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.distributions import Normal

from circuitlib.ablation.estimates import Through
from circuitlib.search.episodes import BATCH
from circuitlib.search.meter import Estimate, Readings
from circuitlib.search.network import orthogonal
from circuitlib.search.trials import Trials

GRADIENT, DIRECT = "gradient", "direct effect"
ESTIMATES: dict[str, Through] = {GRADIENT: "everything", DIRECT: "residual"}
"""The estimates that a prior is made of, and what each goes through; see :mod:`circuitlib.ablation.attribution`."""

FEW, ALONE = 8, 10
"""First pairs of an episode on which estimates are bought rather than on all: both on ``FEW`` for the price of one head measured,
or the gradient by itself on ``ALONE`` for a little less. A belief takes the first: more pairs would
leave less to measure, and fewer say less; chosen on the behaviours that a prior is learned from, each by one that was not fitted to it."""

GRADIENT_ON_FEW, DIRECT_ON_FEW, GRADIENT_ALONE = (
    f"{GRADIENT} on {FEW} prompts",
    f"{DIRECT} on {FEW} prompts",
    f"{GRADIENT} on {ALONE} prompts",
)

LEAST = 1e-6
"""Of the variance of one pair, what is left of it once all have been measured; so that nothing is divided by nothing."""

FEATURES = 18
"""Numbers per head that :func:`see` makes."""


@dataclass(frozen=True)
class OfEpisodes:
    """Tensors that have a row for each episode."""

    def __getitem__(self, episodes: Int[Tensor, " some"]) -> Self:
        return type(self)(*(getattr(self, field.name)[episodes] for field in fields(self)))

    @classmethod
    def of_all(cls, parts: Sequence[Self]) -> Self:
        """Those of several batches of episodes as one."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Belief(OfEpisodes):
    """Of every head a mixture of Gaussians: each component's mean, deviation and the logarithm of its weight; and the deviation of
    one pair's reward about the head's mean (``noise``). All but weights in units of ``scale``."""

    mean: Float[Tensor, "e h c"]
    deviation: Float[Tensor, "e h c"]
    log_weight: Float[Tensor, "e h c"]
    noise: Float[Tensor, "e h"]
    scale: Float[Tensor, "e 1"]

    @property
    def expected(self) -> Float[Tensor, "e h"]:
        """The mean of each head's reward."""
        return (self.log_weight.exp() * self.mean).sum(2)

    @property
    def spread(self) -> Float[Tensor, "e h"]:
        """Its standard deviation."""
        about = self.deviation.square() + (self.mean - self.expected[..., None]).square()
        return (self.log_weight.exp() * about).sum(2).sqrt()

    def precision(self, count: Int[Tensor, "e h *a"]) -> Float[Tensor, "e h *a"]:
        """Of the mean over so many of an episode's pairs, as an estimate of the mean over all: none of no pair, and as good as
        boundless of all."""
        noise = self.noise.square().reshape(*self.noise.shape, *[1] * (count.dim() - 2))
        return (count > 0) / (noise * (1 / count.clamp(min=1).to(noise) - 1 / BATCH).clamp(min=LEAST))

    def given(self, readings: Readings) -> "Belief":
        """What is believed after what was measured: every component the conjugate normal with known noise, its weight by how well
        it had predicted the mean that was measured."""
        count, measured = readings.count[..., None], (readings.mean / self.scale)[..., None]
        precision, more = self.deviation**-2, self.precision(readings.count)[..., None]
        mean = (precision * self.mean + more * measured) / (precision + more)
        predicted = Normal(self.mean, (self.deviation.square() + more.clamp(min=LEAST).reciprocal()).sqrt())
        weight = self.log_weight + torch.where(count > 0, predicted.log_prob(measured), 0.0)
        return replace(self, mean=mean, deviation=(precision + more).rsqrt(), log_weight=weight.log_softmax(2))

    def double(self) -> "Belief":
        """The same in double precision."""
        return Belief(*(getattr(self, field.name).double() for field in fields(self)))

    def draw(self, generator: Generator) -> Float[Tensor, "e h"]:
        """A reward of every head as it may be."""
        noise = torch.randn(self.noise.shape, generator=generator)
        far = torch.rand(self.noise.shape, generator=generator) < self.log_weight[..., 1].exp()
        return (self.mean + self.deviation * noise[..., None]).gather(2, far[..., None].long())[..., 0]


def with_few(trials: Trials) -> Trials:
    """Trials of which estimates on few pairs can be bought as well, for as large a share of the price."""
    gradient, direct = trials.estimates[GRADIENT], trials.estimates[DIRECT]
    cheaper = {
        GRADIENT_ON_FEW: _first(gradient, FEW),
        DIRECT_ON_FEW: _first(direct, FEW),
        GRADIENT_ALONE: _first(gradient, ALONE),
    }
    return replace(trials, estimates={**trials.estimates, **cheaper})


def _first(estimate: Estimate, pairs: int) -> Estimate:
    price = estimate.price * pairs / BATCH
    return replace(estimate, price=price, task=estimate.task[:, :pairs], general=estimate.general[:, :pairs])


def scale_of(rewards: Float[Tensor, "e h"]) -> Float[Tensor, "e 1"]:
    """The unit of an episode: the root mean square of its ten largest estimated rewards, by size."""
    return rewards.abs().topk(min(10, rewards.shape[1])).values.square().mean(1, keepdim=True).sqrt()


def paid_elsewhere(rewards: Float[Tensor, "tasks h"]) -> Float[Tensor, "h k"]:
    """What heads pay in other behaviours of their model, as shares of the best head of each: that it is known (1), five times the mean,
    the three largest (zero at least), and five times the share of behaviours in which it is more than a fifth."""
    shares = rewards / rewards.amax(1, keepdim=True)
    most = torch.cat([shares, torch.zeros(3, shares.shape[1])]).topk(3, 0).values
    return torch.stack([torch.ones_like(most[0]), 5 * shares.mean(0), *most, 5 * (shares > 0.2).float().mean(0)], 1)


@dataclass(frozen=True)
class Seen(OfEpisodes):
    """What a prior is made of. features: ``FEATURES`` numbers per head. scale: the episode's unit. mean, spread: of each head's
    estimated rewards by gradient over its pairs, in that unit."""

    features: Float[Tensor, "e h f"]
    scale: Float[Tensor, "e 1"]
    mean: Float[Tensor, "e h"]
    spread: Float[Tensor, "e h"]


def see(estimates: Mapping[str, Estimate], layers: int, elsewhere: Float[Tensor, "h k"] | None = None) -> Seen:
    """Of every head, by estimates on few pairs (:func:`with_few`): its estimated damage to the task by gradient and by direct effect, their errors over prompts, in general by
    gradient, on which share of prompts it is harm, its rank by reward, its depth and whether it is in the first layer, its layer's
    estimates, and what :func:`paid_elsewhere` says, where that is known."""
    gradient, direct = estimates[GRADIENT_ON_FEW], estimates[DIRECT_ON_FEW]
    reward = gradient.rewards.mean(1)
    scale, (episodes, batch, heads) = scale_of(reward), gradient.task.shape

    def error(x: Tensor) -> Tensor:
        return x.std(1) / batch**0.5 / scale

    across = heads // layers
    depth = depth_of(heads, layers)
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
    known = torch.zeros(heads, FEATURES - len(columns)) if elsewhere is None else elsewhere
    features = torch.cat([torch.stack(columns, 2), known.expand(episodes, -1, -1)], 2)
    return Seen(features, scale, reward / scale, gradient.rewards.std(1) / scale)


def depth_of(heads: int, layers: int) -> Float[Tensor, " h"]:
    """Each head's layer as a share of the depth: 0 for the first, 1 for the last."""
    return torch.arange(heads) // (heads // layers) / max(layers - 1, 1)


def _squashed(x: Tensor) -> Tensor:
    """Near the identity for small numbers, logarithmic for large ones."""
    return x.sign() * x.abs().log1p()


HIDDEN = 48
"""Width of a prior's networks."""

MEMBERS = 3
"""Networks of a prior, of which the mean is taken: what one says of heads that no estimate points at hangs on how it began."""


class Prior(nn.Module):
    """From what is seen to a belief; the same function of every head. A belief starts at the estimate by gradient, nearly sure that
    it is right, and departs from that as far as training tasks say."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.members = nn.ModuleList(_network((FEATURES, HIDDEN, HIDDEN, 7), generator) for _ in range(MEMBERS))

    def forward(self, seen: Seen) -> Belief:
        """The belief before anything is measured."""
        return _belief(torch.stack([member(seen.features) for member in self.members]).mean(0), seen)


def _network(sizes: tuple[int, ...], generator: Generator) -> nn.Sequential:
    layers = [orthogonal(fan_in, fan_out, 1.0, generator) for fan_in, fan_out in pairwise(sizes)]
    layers[-1].weight.data *= 0.01
    first, *others = layers
    return nn.Sequential(first, *(module for layer in others for module in (nn.SiLU(), layer)))


def _belief(said: Float[Tensor, "e h 7"], seen: Seen) -> Belief:
    shift, slope, near, noise, odds, further, far = said.unbind(2)
    mean = seen.mean * (1 + slope) + shift
    return Belief(
        torch.stack([mean, mean + further], 2),
        torch.stack([0.1 * near.exp(), 0.7 * far.exp()], 2),
        F.logsigmoid(torch.stack([4 - odds, odds - 4], 2)),
        (seen.spread + 0.05) * noise.exp(),
        seen.scale,
    )


def likelihood(belief: Belief, true: Float[Tensor, "e h"], variance: Float[Tensor, "e h"]) -> Float[Tensor, ""]:
    """The mean log-likelihood of what heads really pay, in units of the scale: of their means under the prior, and of single
    pairs, with this ``variance``, about them."""
    means = Normal(belief.mean, belief.deviation).log_prob(true[..., None]) + belief.log_weight
    about = -belief.noise.log() - 0.5 * variance / belief.noise.square()
    return means.logsumexp(2).mean() + about.mean()


def fit_prior(trials: Sequence[Trials], seen: Sequence[Seen], seed: int, steps: int = 800, batch: int = 32) -> Prior:
    """A prior learned from trials of several tasks and what :func:`see` makes of them (a task may be there twice, seen otherwise): of
    each member each step ``batch`` episodes of any of them, AdamW."""
    prior, generator = Prior(seed), Generator().manual_seed(seed)
    everything = Seen.of_all(seen)
    true = torch.cat([some.rewards for some in trials]) / everything.scale
    variance = torch.cat([some.rows.var(1, correction=0) for some in trials]) / everything.scale.square()
    for member in prior.members:
        optimizer = torch.optim.AdamW(member.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            rows = torch.randint(len(true), (batch,), generator=generator)
            optimizer.zero_grad()
            believed = _belief(member(everything[rows].features), everything[rows])
            (-likelihood(believed, true[rows], variance[rows])).backward()
            optimizer.step()
            schedule.step()
    return prior


@dataclass(frozen=True)
class Believer:
    """A prior on a model: what it makes of the estimates of an episode. layers: of the model. elsewhere: what its heads pay in other
    behaviours, as :func:`paid_elsewhere` says it, where that is known."""

    prior: Prior
    layers: int
    elsewhere: Float[Tensor, "h k"] | None = None

    @torch.no_grad()
    def belief(self, estimates: Mapping[str, Estimate]) -> Belief:
        """The belief before anything is measured."""
        return self.prior(see(estimates, self.layers, self.elsewhere))
