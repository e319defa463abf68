"""A policy network that sees heads, not numbers: one scorer for every head, and what the heads of an episode have in common.

The paper's network has a weight per head and observation, so that nothing it learns of one task can carry over to another. This
one sees of each head what is believed and known of it, and gives it the same weights wherever it stands; it plays on models with
any number of heads.

Shapes: n observations, h heads, f features, a amounts.
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from circuitlib.search.belief import Belief, depth_of
from circuitlib.search.episodes import BATCH
from circuitlib.search.lookahead import AMOUNTS, rates
from circuitlib.search.meter import Readings
from circuitlib.search.network import orthogonal

GLOBALS, PER_HEAD = 3, 13 + 2 * len(AMOUNTS)
"""Numbers of an observation for the whole episode, and per head."""

WIDTH = 32
"""Features per head inside the network."""


def observe(
    belief: Belief, readings: Readings, possible: Tensor, left: Float[Tensor, " n"], layers: int
) -> Float[Tensor, "n o"]:
    """The observation: the share of the price that is left, how many heads have been measured, the best mean; then, per head,
    what is believed before and after measuring, and how surely it is far from the estimates, on how many prompts it was measured and how much that surprised, how much the
    measured heads of its layer did, its depth, what looking ahead says of each amount, and which amounts are possible.

    possible: ``[n, h, a]``. left: as a share of what there was after the estimates."""
    after = belief.given(readings)
    mean, deviation = after.expected, after.spread
    heads, measured = mean.shape[1], (readings.count > 0).to(mean)
    best = mean.amax(1, keepdim=True)
    before = belief.expected
    surprise = (readings.mean / belief.scale - before) * measured
    layer = surprise.unflatten(1, (layers, -1)).sum(2) / measured.unflatten(1, (layers, -1)).sum(2).clamp(min=1)
    columns = (
        mean - best,
        deviation,
        ((mean - best) / deviation).clamp(-10, 0) / 10,
        mean,
        before,
        belief.spread,
        belief.log_weight[..., 1].exp(),
        after.log_weight[..., 1].exp(),
        belief.noise,
        readings.count / BATCH,
        surprise.clamp(-3, 3),
        layer.repeat_interleave(heads // layers, 1).clamp(-3, 3),
        depth_of(heads, layers).expand_as(mean),
    )
    ahead = rates(belief, readings).clamp(min=-20).to(mean) / 10
    per_head = torch.cat([torch.stack(columns, 2), ahead, possible.to(mean)], 2)
    whole = torch.stack([left.to(mean), measured.sum(1) / 32, best[:, 0]], 1)
    return torch.cat([whole, per_head.flatten(1)], 1)


class Headwise(nn.Module):
    """A :class:`circuitlib.search.network.PolicyNetwork` over heads times amounts, with a shared scorer and attention pooling.

    It begins as a softmax of what looking one measurement ahead says of each action, and learns what to add.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        linear = partial(orthogonal, generator=torch.Generator().manual_seed(seed))
        root = 2**0.5
        self.embed, self.weigh = linear(PER_HEAD, WIDTH, root), linear(WIDTH, 4, 1.0)
        self.pool = linear(4 * WIDTH + GLOBALS, WIDTH, root)
        self.join = linear(2 * WIDTH, WIDTH, root)
        self.actor, self.critic = linear(WIDTH, len(AMOUNTS), 0.01), linear(WIDTH, 1, 1.0)
        self.trust = nn.Parameter(torch.tensor(3.0))

    def forward(self, observations: Float[Tensor, "n o"]) -> tuple[Float[Tensor, "n actions"], Float[Tensor, " n"]]:
        """Log-probabilities of each head and amount, and values."""
        whole, heads = observations[:, :GLOBALS], observations[:, GLOBALS:].unflatten(1, (-1, PER_HEAD))
        ahead, possible = heads[..., -2 * len(AMOUNTS) : -len(AMOUNTS)] * 10, heads[..., -len(AMOUNTS) :]
        x = F.silu(self.embed(heads))
        pooled = (self.weigh(x).softmax(1).mT @ x).flatten(1)
        context = F.silu(self.pool(torch.cat([pooled, whole], 1)))
        joined = F.silu(self.join(torch.cat([x, context[:, None].expand_as(x)], 2)))
        logits = self.actor(joined) + self.trust * ahead - 1e9 * (1 - possible)
        return logits.flatten(1).log_softmax(-1), self.critic(context)[:, 0]
