"""A policy that is shown estimates and measurements, and no belief made of them.

It sees per head what each estimate says and how much that varies over prompts, its depth, on how many prompts the head was measured, what that gave and how surely, and how far the measured heads
of its layer were from their estimates; and the price that is left. It names by the belief all the same, so that it is judged by where it measures alone. Its network, its
training and the number of its steps are the headwise policy's, but that it begins as no rule. A price that is fixed, and spent, need not be taken from what it is paid.

Shapes: n observations, h heads, a amounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.optim import Adam

from circuitlib.search.belief import DIRECT_ON_FEW, FEW, GRADIENT_ON_FEW, Belief, Believer, Seen, depth_of, see
from circuitlib.search.episodes import BATCH
from circuitlib.search.headwise import Headwise
from circuitlib.search.lookahead import allowed, play
from circuitlib.search.meter import Meter, Readings
from circuitlib.search.ppo import PPOConfig, update
from circuitlib.search.priced_env import PricedEnv
from circuitlib.search.priced_policy import rollout
from circuitlib.search.trials import Trials

ESTIMATED = 5
"""The first of the features that :func:`circuitlib.search.belief.see` makes: damage to the task by gradient and by direct effect with their errors over prompts, and in general."""


def observe(
    seen: Seen, readings: Readings, possible: Bool[Tensor, "n h a"], left: Float[Tensor, " n"], layers: int
) -> Float[Tensor, "n o"]:
    """The observation, in the parts of :func:`circuitlib.search.headwise.observe`, other numbers per head, and zeros where that has what looking ahead says. In the episode's unit; estimates as
    :func:`circuitlib.search.belief.see` has them.

    possible: which amounts there are left to measure. left: price, as a share of what there was after the estimates."""
    heads, count = seen.mean.shape[1], readings.count
    measured, mean = (count > 0).to(seen.mean), readings.mean / seen.scale
    error = seen.spread * (1 / count.clamp(min=1) - 1 / BATCH).sqrt() * measured
    surprise = (mean - seen.mean) * measured
    in_layer = measured.unflatten(1, (layers, -1)).sum(2)
    layer = surprise.unflatten(1, (layers, -1)).sum(2) / in_layer.clamp(min=1)
    across = heads // layers
    columns = (
        *seen.features[..., :ESTIMATED].unbind(2),
        seen.spread / FEW**0.5,
        depth_of(heads, layers).expand_as(mean),
        measured,
        count / BATCH,
        mean.clamp(-3, 3),
        error.clamp(max=3),
        layer.repeat_interleave(across, 1).clamp(-3, 3),
        in_layer.repeat_interleave(across, 1) / across,
    )
    best = (mean.where(count > 0, -torch.inf)).amax(1).clamp(min=0)
    whole = torch.stack([left.to(mean), measured.sum(1) / 32, best], 1)
    possible = possible.to(mean)
    return torch.cat(
        [whole, torch.cat([torch.stack(columns, 2), torch.zeros_like(possible), possible], 2).flatten(1)], 1
    )


class WithoutBeliefEnv(PricedEnv):
    """The search with a price, shown as :func:`observe` shows it."""

    def __init__(
        self, trials: Sequence[Trials], beliefs: Sequence[Belief], layers: int, num_envs: int, budget: float | int
    ) -> None:
        super().__init__(trials, beliefs, layers, num_envs, budget)
        self._seen = Seen.of_all([see(some.estimates, layers) for some in trials])

    def _observe(self) -> Float[Tensor, "n o"]:
        _, readings = self._now()
        possible = allowed(readings, self._left, self.batch)
        return observe(self._seen[self._episode], readings, possible, self._left / self.pairs, self.layers)


def train_without_belief(
    trials: Sequence[Trials], beliefs: Sequence[Belief], layers: int, budget: float | int, seed: int, config: PPOConfig
) -> Headwise:
    """A policy trained as :func:`circuitlib.search.priced_policy.train` trains, from nothing: all that it has is what it is shown."""
    network, env = Headwise(seed), WithoutBeliefEnv(trials, beliefs, layers, config.num_envs, budget)
    optimizer = Adam(network.parameters(), eps=config.adam_eps)
    generator, observation = Generator().manual_seed(seed), env.reset(seed)
    for done in range(config.updates):
        batch, observation, _ = rollout(network, env, observation, config, generator)
        optimizer.param_groups[0]["lr"] = config.annealed(done)
        update(network, optimizer, batch, config, generator)
    return network


@dataclass(frozen=True)
class WithoutBelief:
    """Plays as :class:`circuitlib.search.priced_policy.PricedPolicy` does, shown what :func:`observe` shows."""

    network: Headwise
    believer: Believer

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`. With a budget too small for the estimates nothing is done."""
        bought = (GRADIENT_ON_FEW, DIRECT_ON_FEW)
        if not meter.affords(budget, *bought):
            return
        layers = self.believer.layers
        seen = see({name: meter.estimate(name) for name in bought}, layers)

        def keys(belief: Belief, readings: Readings, possible: Tensor, left: Tensor) -> Tensor:
            return self.network(observe(seen, readings, possible, left, layers))[0]

        play(meter, budget, self.believer, keys)
