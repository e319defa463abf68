"""The meter: hidden rewards, answered head by head, and a bill.

One unit of price is one head measured on the 32 prompts and 32 control spans of an episode; n prompts bring n spans and
cost n / 32. Estimates of all heads at once have prices of their own. Searchers see nothing but the answers; comparing them
means reading the log.

Shapes: e episodes, b pairs of a prompt and a span, h heads, k heads of one call, n entries of a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitlib.ablation.tables import reward


@dataclass(frozen=True)
class Estimate:
    """What a cheap method says that each head would do, on every prompt (``task``, the metric's unit) and every span
    (``general``, nats) of the episodes. price: of having it for all heads, a multiple of 1 / 32, so that sums are exact."""

    price: float
    task: Float[Tensor, "e b h"]
    general: Float[Tensor, "e b h"]
    penalty: float = 1.0

    @property
    def rewards(self) -> Float[Tensor, "e b h"]:
        """Estimated rewards on each pair."""
        return reward(self.task, self.general, self.penalty)


@dataclass(frozen=True)
class Readings:
    """What has been measured of each head: on how many pairs, and the mean of its rewards there (0 of none)."""

    count: Int[Tensor, "e h"]
    mean: Float[Tensor, "e h"]


@dataclass(frozen=True)
class Curve:
    """Something of each episode that changes as it pays: ``value[:, i]`` from ``price[:, i]`` on."""

    price: Float[Tensor, "e n"]
    value: Float[Tensor, "e n"]

    def at(self, price: float | int) -> Float[Tensor, " e"]:
        """The value once so much has been paid; not a number where it is too little for any."""
        paid = (self.price <= price).sum(1, keepdim=True)
        before = torch.full_like(self.value[:, :1], torch.nan) if self.value.shape[1] else paid * torch.nan
        return torch.cat([before, self.value], 1).gather(1, paid)[:, 0]


@dataclass(frozen=True)
class Log:
    """Every head that was measured, in order, and every head that was named.

    price: paid by each episode once the entry was answered. answer: the mean over all pairs on which the head is known then,
    ``count`` of them; whole: whether those are all.
    """

    price: Float[Tensor, "e n"]
    head: Int[Tensor, "e n"]
    answer: Float[Tensor, "e n"]
    count: Int[Tensor, "e n"]
    whole: Bool[Tensor, "e n"]
    names: tuple[tuple[Float[Tensor, " e"], Int[Tensor, " e"]], ...] = ()

    def found(self, rewards: Float[Tensor, "e h"]) -> Curve:
        """The largest reward among heads measured on all pairs; minus infinity before the first. Never falls, and ends at
        the oracle once all heads are measured."""
        paid = rewards.gather(1, self.head)
        return Curve(self.price, paid.where(self.whole, -torch.inf).cummax(1).values)

    def named(self, rewards: Float[Tensor, "e h"]) -> Curve:
        """The true reward of the head that a searcher names; may fall, and is not a number before the first."""
        price, head = self.naming(rewards.shape[1])
        return Curve(price, rewards.gather(1, head.clamp(min=0)).where(head >= 0, torch.nan))

    def naming(self, heads: int) -> tuple[Float[Tensor, "e n"], Int[Tensor, "e n"]]:
        """The head that a searcher names, of so many ``heads``, and from which price on; -1 before the first. For one that names
        none, the head whose answer is largest, each head's answer being the one on the most pairs."""
        if self.names:
            prices, named = zip(*self.names, strict=True)
            return torch.stack(prices, 1), torch.stack(named, 1)
        answers = torch.full((len(self.head), heads), -torch.inf)
        known = torch.zeros(answers.shape, dtype=torch.int64)
        columns = [torch.full((len(self.head), 0), -1)]
        for head, answer, count in zip(self.head.T, self.answer.T, self.count.T, strict=True):
            head, count = head[:, None], count[:, None]
            better = (count >= known.gather(1, head)) & (count > 0)
            answers.scatter_(1, head, answer[:, None].where(better, answers.gather(1, head)))
            known.scatter_(1, head, known.gather(1, head).maximum(count))
            columns.append(answers.argmax(1, keepdim=True).where(known.any(1, keepdim=True), -1))
        return self.price, torch.cat(columns, 1)


class Meter:
    """Answers for a batch of episodes in step, and charges each for what it asked.

    rows: what each head pays on each pair of a prompt and a span; an episode's reward is their mean. estimates: what can be
    bought of all heads at once, by name. repeats_free: whether pairs on which a head was measured before cost nothing more.
    """

    def __init__(
        self, rows: Float[Tensor, "e b h"], estimates: Mapping[str, Estimate] | None = None, repeats_free: bool = False
    ) -> None:
        self.repeats_free = repeats_free
        self.episodes, self.batch, self.heads = rows.shape
        self._whole = rows.mean(1)
        self._rows = rows
        self._estimates = dict(estimates or {})
        self._bought: set[str] = set()
        self._passes = 0.0
        self._pairs = torch.zeros(self.episodes, dtype=torch.int64)  # measured; integers, so that prices are exact
        self._count = torch.zeros(self.episodes, self.heads, dtype=torch.int64)
        self._sum = torch.zeros(self.episodes, self.heads, dtype=torch.float64)
        self._entries: list[tuple[Tensor, ...]] = []
        self._names: list[tuple[Tensor, Tensor]] = []

    @property
    def price(self) -> Float[Tensor, " e"]:
        """What each episode has been charged."""
        return self._passes + self._pairs / self.batch

    def price_of(self, estimate: str) -> float:
        """What an estimate would cost now: nothing once it has been bought. Raises ``ValueError``, naming those there are, for
        one that cannot be."""
        if estimate not in self._estimates:
            raise ValueError(f"no estimate {estimate!r} can be bought; there are {sorted(self._estimates) or 'none'}")
        return 0.0 if estimate in self._bought else self._estimates[estimate].price

    def affords(self, budget: float | int, *estimates: str) -> bool:
        """Whether so much pays for these estimates on top of what has been paid. Raises as :meth:`price_of` does."""
        return self.price.max().item() + sum(map(self.price_of, estimates)) <= budget

    def estimate(self, name: str) -> Estimate:
        """An estimate of all heads, charged the first time. Raises as :meth:`price_of` does."""
        self._passes += self.price_of(name)
        self._bought.add(name)
        return self._estimates[name]

    def measure(self, heads: Int[Tensor, "e k"]) -> Float[Tensor, "e k"]:
        """The reward of each head, on all pairs, charged whole whatever is known of it already, unless ``repeats_free``.

        Raises ``ValueError`` for heads that are not there, and, with free repeats, for the same twice.
        """
        self._check(heads)
        count = torch.full_like(heads, self.batch)
        if not self.repeats_free:
            return self._answer(heads, count, paid=count)
        self._check_different(heads)
        return self._answer(heads, count, paid=count - self._count.gather(1, heads))

    def further(self, heads: Int[Tensor, "e k"], prompts: int | Int[Tensor, "e k"]) -> Float[Tensor, "e k"]:
        """Measure each head on so many further pairs, the first that are not yet measured, and charge for those: the mean
        over all that are then. An episode that is over asks for 0, and pays nothing.

        Raises ``ValueError`` for heads that are not there, the same twice, or more pairs than there are left.
        """
        self._check(heads)
        paid, known = torch.as_tensor(prompts).expand(heads.shape), self._count.gather(1, heads)
        if not bool(((paid >= 0) & (known + paid <= self.batch)).all()):
            raise ValueError(f"a head can be measured on 0 further pairs or more, up to {self.batch} with those before")
        self._check_different(heads)
        return self._answer(heads, known + paid, paid)

    def readings(self) -> Readings:
        """What is known of every head from what was measured."""
        mean = self._sum / self._count.clamp(min=1)
        return Readings(self._count.clone(), mean.to(self._rows.dtype))

    def name(self, heads: Int[Tensor, " e"]) -> None:
        """Say which head is best, as far as is known now. The last word counts."""
        self._check(heads[:, None])
        self._names.append((self.price, heads.clone()))

    @property
    def log(self) -> Log:
        """What was measured and named so far."""
        nothing = torch.zeros(self.episodes, 0, dtype=torch.int64)
        entries = [(nothing.double(), nothing, nothing.to(self._rows), nothing), *self._entries]
        price, head, answer, count = (torch.cat(column, 1) for column in zip(*entries, strict=True))
        return Log(price, head, answer, count, count == self.batch, tuple(self._names))

    def _check(self, heads: Tensor) -> None:
        if heads.dim() != 2 or heads.shape[:1] != (self.episodes,):
            raise ValueError(f"heads must be [{self.episodes}, k], some for each episode, not {list(heads.shape)}")
        if heads.numel() and not 0 <= int(heads.min()) <= int(heads.max()) < self.heads:
            raise ValueError(f"heads must be between 0 and {self.heads - 1}, not {heads.tolist()}")

    def _check_different(self, heads: Tensor) -> None:
        if bool((heads.sort(1).values.diff(dim=1) == 0).any()):
            raise ValueError("the heads of one call must be different")

    def _answer(self, heads: Tensor, count: Tensor, paid: Tensor) -> Float[Tensor, "e k"]:
        """Know the heads' first ``count`` pairs, having paid for so many."""
        rows = self._rows.gather(2, heads[:, None].expand(-1, self.batch, -1)).double()
        rows = rows * (torch.arange(self.batch)[:, None] < count[:, None])
        self._count.scatter_(1, heads, count)
        self._sum.scatter_(1, heads, rows.sum(1))
        mean = (rows.sum(1) / count.clamp(min=1)).to(self._rows.dtype)
        answer = self._whole.gather(1, heads).where(count == self.batch, mean)
        pairs = self._pairs[:, None] + paid.cumsum(1)
        self._pairs = pairs[:, -1] if heads.shape[1] else self._pairs
        self._entries.append((self._passes + pairs / self.batch, heads.clone(), answer.clone(), count.clone()))
        return answer
