"""Which head to measure next, and on how many prompts: looking one measurement ahead.

The knowledge gradient (Frazier, Powell and Dayanik 2008, doi 10.1137/070693424) of n further prompts of one head is how much better the head named
afterwards is expected to be. Per price, it says at once where to measure and how much. Of a mixture it is taken as if the
measurement told which component the head is of, which favours few prompts where that is open.

Shapes: e episodes, h heads, a amounts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.special import ndtr

from circuitlib.search.belief import DIRECT_ON_FEW, GRADIENT_ON_FEW, Belief, Believer
from circuitlib.search.meter import Meter, Readings

AMOUNTS = (2, 4, 8)
"""On how many further prompts a head can be measured at once."""

LEAST = 1e-12
"""Added to gains before their logarithm is taken, and the least by which a mean is supposed to move, squared."""


def gains(belief: Belief, readings: Readings) -> Float[Tensor, "e h a"]:
    """The knowledge gradient of each head and amount, in units of the belief's scale: by how much the head is expected to rise above the best
    of the others or, of the one that would be named now, to fall below it.

    In double precision, and without a difference of expectations: most gains are so small that rounding would decide between them.
    """
    belief = belief.double()
    after = belief.given(readings)
    now = after.expected
    two = now.topk(2).values
    is_named = now == two[:, :1]
    rival = torch.where(is_named, two[:, 1:], two[:, :1])[..., None, None]
    count = readings.count[..., None] + torch.tensor(AMOUNTS)
    # How far a component's mean is expected to move: what the prompts take from its variance.
    then = belief.deviation[..., None] ** -2 + belief.precision(count)[..., None, :]
    moves = (after.deviation.square()[..., None] - then.reciprocal()).clamp(min=LEAST).sqrt()
    ahead = (after.mean[..., None] - rival) / moves * torch.where(is_named, -1, 1)[..., None, None]
    passes = moves * (ahead * ndtr(ahead) + (-0.5 * ahead.square()).exp() / (2 * pi) ** 0.5)
    return (after.log_weight.exp()[..., None] * passes).sum(2).clamp(min=0)


def allowed(readings: Readings, left: Int[Tensor, " e"], batch: int) -> Bool[Tensor, "e h a"]:
    """Which amounts there are left to measure, and to pay. left: pairs that can still be paid."""
    further = torch.tensor(AMOUNTS)
    return (readings.count[..., None] + further <= batch) & (further <= left[:, None, None])


def rates(belief: Belief, readings: Readings) -> Float[Tensor, "e h a"]:
    """The logarithm of the knowledge gradient per prompt."""
    return (gains(belief, readings) + LEAST).log() - torch.tensor(AMOUNTS).double().log()


@dataclass(frozen=True)
class LookAhead:
    """Buys both estimates on few prompts, believes what a :class:`circuitlib.search.belief.Believer` does, and measures where the knowledge gradient
    per price is largest.

    thompson: instead, 4 prompts at a time, the head that is best in a draw from the belief (Thompson 1933, doi 10.1093/biomet/25.3-4.285).
    """

    believer: Believer
    thompson: bool = field(default=False, kw_only=True)

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`. With a budget too small for the estimates nothing is done."""

        def keys(belief: Belief, readings: Readings, possible: Tensor, left: Tensor) -> Tensor:
            if not self.thompson:
                return rates(belief, readings).flatten(1)
            drawn = belief.given(readings).draw(generator)
            return (drawn[..., None] - torch.tensor([float(amount != 4) for amount in AMOUNTS]) * 1e6).flatten(1)

        play(meter, budget, self.believer, keys)


Keys = Callable[[Belief, Readings, Bool[Tensor, "e h a"], Float[Tensor, " e"]], Float[Tensor, "e actions"]]
"""How good each action is, by what is believed, what has been read, what is possible, and the share of the price that is left."""


@torch.no_grad()
def play(meter: Meter, budget: float | int, believer: Believer, keys: Keys) -> None:
    """Buy both estimates on few prompts; then do the possible action of the largest key until nothing more can be paid, naming the head of the
    largest mean after each. With a budget too small for the estimates nothing is done."""
    bought = (GRADIENT_ON_FEW, DIRECT_ON_FEW)
    if not meter.affords(budget, *bought):
        return
    belief = believer.belief({name: meter.estimate(name) for name in bought})
    meter.name(belief.expected.argmax(1))
    whole = pairs_left(meter, budget).clamp(min=1)
    while True:
        readings, left = meter.readings(), pairs_left(meter, budget)
        possible = allowed(readings, left, meter.batch)
        going = possible.flatten(1).any(1)
        if not going.any():
            return
        best = keys(belief, readings, possible, left / whole).where(possible.flatten(1), -torch.inf).argmax(1)
        measure(meter, best, going)
        meter.name(belief.given(meter.readings()).expected.argmax(1))


def pairs_left(meter: Meter, budget: float | int) -> Int[Tensor, " e"]:
    """Pairs of a prompt and a span that each episode can still pay."""
    return ((budget - meter.price) * meter.batch).long()


def measure(meter: Meter, actions: Int[Tensor, " e"], going: Bool[Tensor, " e"]) -> None:
    """Do what an action says, a head times the amounts plus an amount, in the episodes that are ``going`` on."""
    amounts = torch.tensor(AMOUNTS)[actions % len(AMOUNTS)] * going
    meter.further((actions // len(AMOUNTS))[:, None], amounts[:, None])
