"""The meter: hidden rewards, answered head by head, and a bill.

One unit of price is one head measured on the 32 prompts and 32 control spans of an episode; n prompts bring n spans and
cost n / 32. Searchers see nothing but the answers; comparing them means reading the log.

Shapes: e episodes, h heads, k heads of one call, n entries of a log.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Log:
    """Every head that was measured, in order.

    price: paid per episode once the entry was answered. head, answer: one per episode. whole: whether on all prompts.
    """

    price: Float[Tensor, " n"]
    head: Int[Tensor, "e n"]
    answer: Float[Tensor, "e n"]
    prompts: Int[Tensor, " n"]
    whole: Bool[Tensor, " n"]

    def found(self, rewards: Float[Tensor, "e h"]) -> Float[Tensor, "e n"]:
        """After each entry, the largest reward among heads measured on all prompts; minus infinity before the first.
        Never falls, and ends at the oracle once all heads are measured."""
        paid = rewards.gather(1, self.head)
        return paid.where(self.whole, -torch.inf).cummax(1).values

    def named(self, rewards: Float[Tensor, "e h"]) -> Float[Tensor, "e n"]:
        """After each entry, the true reward of the head that a searcher would name: the one whose estimate is largest,
        each head's estimate being its answer on the most prompts. May fall."""
        estimate = torch.full_like(rewards, -torch.inf)
        prompts = torch.zeros(rewards.shape, dtype=torch.int64)
        values = []
        for head, answer, count in zip(self.head.T, self.answer.T, self.prompts, strict=True):
            head = head[:, None]
            better = count >= prompts.gather(1, head)
            estimate.scatter_(1, head, answer[:, None].where(better, estimate.gather(1, head)))
            prompts.scatter_(1, head, prompts.gather(1, head).clamp(min=count))
            values.append(rewards.gather(1, estimate.argmax(1, keepdim=True)))
        return torch.cat(values, 1)

    def at(self, curve: Float[Tensor, "e n"], price: float | int) -> Float[Tensor, " e"]:
        """A curve's value once so much has been paid. Raises ``ValueError`` before the first entry."""
        entries = int(torch.searchsorted(self.price, price, right=True))
        if not entries:
            raise ValueError(f"nothing was measured for a price of {price}")
        return curve[:, entries - 1]


class Meter:
    """Answers for a batch of episodes in step; each call charges every episode the same.

    rows: what each head pays on each pair of a prompt and a span; an episode's reward is their mean.
    features: what ``features_price`` buys before anything is measured, such as gradients.
    """

    def __init__(
        self,
        rows: Float[Tensor, "e batch h"],
        features: Float[Tensor, "e h features"] | None = None,
        features_price: float | int = 0,
    ) -> None:
        self.episodes, self.batch, self.heads = rows.shape
        self.features_price = features_price
        self._rows, self._features = rows, features
        self._means: dict[int, Tensor] = {}
        self._passes = 0.0
        self._measured = 0  # pairs of a prompt and a span, an integer, so that prices are exact
        self._entries: list[tuple[Tensor, Tensor, Tensor, int]] = []

    @property
    def price(self) -> float:
        """What each episode has been charged."""
        return self._passes + self._measured / self.batch

    @property
    def features(self) -> Float[Tensor, "e h features"] | None:
        """The features, once :meth:`pay` has been called for them, and None before."""
        return self._features if self._passes >= self.features_price else None

    def pay(self, passes: float | int) -> None:
        """Charge every episode for forward passes over its batch that were not heads measured; a gradient is 3."""
        if passes < 0:
            raise ValueError(f"passes must not be negative, and {passes} is")
        self._passes += passes

    def measure(self, heads: Int[Tensor, "e k"], prompts: int | None = None) -> Float[Tensor, "e k"]:
        """The mean of each head's first ``prompts`` rows, by default all; charges k x ``prompts`` / batch.

        Raises ``ValueError`` for heads or prompts that are not there.
        """
        count = self.batch if prompts is None else prompts
        if not 1 <= count <= self.batch:
            raise ValueError(f"prompts must be between 1 and {self.batch}, not {count}")
        if heads.shape[:1] != (self.episodes,) or heads.dim() != 2:
            raise ValueError(f"heads must be [{self.episodes}, k], some for each episode, not {list(heads.shape)}")
        if heads.numel() and not 0 <= int(heads.min()) <= int(heads.max()) < self.heads:
            raise ValueError(f"heads must be between 0 and {self.heads - 1}, not {heads.tolist()}")
        if count not in self._means:
            self._means[count] = self._rows[:, :count].mean(1)
        answer = self._means[count].gather(1, heads)
        turn = torch.arange(1, heads.shape[1] + 1, dtype=torch.float64)
        price = self._passes + (self._measured + count * turn) / self.batch
        self._measured += count * heads.shape[1]
        self._entries.append((price, heads.clone(), answer, count))
        return answer.clone()

    @property
    def log(self) -> Log:
        """What was measured so far. Raises ``ValueError`` when that is nothing."""
        if not self._entries:
            raise ValueError("nothing has been measured")
        prices, heads, answers, counts = zip(*self._entries, strict=True)
        prompts = torch.tensor(counts).repeat_interleave(torch.tensor([len(x) for x in prices]))
        whole = prompts == self.batch
        return Log(torch.cat(prices), torch.cat(heads, 1), torch.cat(answers, 1), prompts, whole)
