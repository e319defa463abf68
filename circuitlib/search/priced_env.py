"""The search with a price, as an environment: which head to measure next, and on how many further prompts.

Before the first step both estimates are paid. Each step pays for its prompts; the reward is by how much the head that would be
named now is truly better than the one before, as a fraction of the oracle, so that an episode's rewards add up to what is
known in the end. It is told nothing of its task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitlib.search.belief import DIRECT, GRADIENT, Belief, Prior
from circuitlib.search.headwise import observe
from circuitlib.search.lookahead import AMOUNTS, allowed
from circuitlib.search.meter import Readings
from circuitlib.search.oracle import best_reward
from circuitlib.search.trials import Trials


@dataclass(frozen=True)
class Source:
    """What :mod:`circuitlib.search.ppo` asks of where episodes come from. heads: the number of actions."""

    tasks: tuple[str, ...]
    heads: int


class PricedEnv:
    """Many episodes side by side, each begun anew when its price is spent; trials of all tasks in turns by chance.

    prior: frozen. layers: of the subject. budget: units of price, estimates included.
    """

    def __init__(self, trials: Sequence[Trials], prior: Prior, layers: int, num_envs: int, budget: float) -> None:
        self.num_envs, self.layers = num_envs, layers
        self.batch, heads = trials[0].rows.shape[1:]
        self.source = Source(tuple(some.task for some in trials), heads * len(AMOUNTS))
        spent = sum(trials[0].estimates[name].price for name in (GRADIENT, DIRECT))
        self.pairs = int((budget - spent) * self.batch)
        with torch.no_grad():
            beliefs = [prior(some.estimates, layers) for some in trials]
        self._beliefs = [torch.cat([getattr(b, name).expand(-1, heads) for b in beliefs]) for name in _BELIEF]
        self._rows = torch.cat([some.rows for some in trials])
        self._true = torch.cat([some.rewards / best_reward(some.rewards)[:, None] for some in trials])
        self._task = np.repeat(np.array(self.source.tasks), [len(some.rows) for some in trials])
        self._episode = torch.zeros(num_envs, dtype=torch.int64)
        self._count = torch.zeros(num_envs, heads, dtype=torch.int64)
        self._sum = torch.zeros(num_envs, heads)
        self._left = torch.zeros(num_envs, dtype=torch.int64)
        self._named = torch.zeros(num_envs)
        self._rng = np.random.default_rng(0)

    def reset(self, seed: int) -> np.ndarray:
        """Begin all episodes anew; the observations."""
        self._rng = np.random.default_rng(seed)
        self._begin(torch.ones(self.num_envs, dtype=torch.bool))
        return self._observe()

    def measure(self, actions: np.ndarray) -> np.ndarray:
        """Nothing is known of an action before it is paid: planning ahead is not allowed here."""
        return np.zeros(actions.shape, dtype=np.float32)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action per episode: a head times the amounts, plus an amount. Its ``info`` is as that of
        :class:`circuitlib.search.env.HeadAblationVectorEnv`, with an empty task where no episode ended."""
        head, amount = np.divmod(actions, len(AMOUNTS))
        each, column = torch.arange(self.num_envs), torch.from_numpy(head)
        more = torch.tensor(AMOUNTS)[torch.from_numpy(amount)]
        known = self._count[each, column]
        at = torch.arange(self.batch)
        fresh = (at >= known[:, None]) & (at < (known + more)[:, None])
        self._sum[each, column] += (self._rows[self._episode, :, column] * fresh).sum(1)
        self._count[each, column] += more
        self._left -= more
        belief, readings = self._now()
        named = self._true[self._episode, belief.given(readings)[0].argmax(1)]
        rewards, self._named = named - self._named, named
        over = ~allowed(readings, self._left, self.batch).flatten(1).any(1)
        info: dict[str, Any] = {}
        if over.any():
            tasks = np.where(over.numpy(), self._task[self._episode.numpy()], "")
            info = {"final_best": named.numpy().copy(), "final_task": tasks}
            self._begin(over)
        return self._observe(), rewards.numpy(), over.numpy(), np.zeros(self.num_envs, dtype=bool), info

    def _begin(self, these: Tensor) -> None:
        count = int(these.sum())
        tasks = self._rng.integers(len(self.source.tasks), size=count)
        each = len(self._rows) // len(self.source.tasks)
        self._episode[these] = torch.from_numpy(tasks * each + self._rng.integers(each, size=count))
        self._count[these], self._sum[these], self._left[these] = 0, 0.0, self.pairs
        belief, readings = self._now()
        named = self._true[self._episode, belief.given(readings)[0].argmax(1)]
        self._named = torch.where(these, named, self._named)

    def _now(self) -> tuple[Belief, Readings]:
        belief = Belief(*(values[self._episode] for values in self._beliefs[:3]), self._beliefs[3][self._episode, :1])
        mean = self._sum / self._count.clamp(min=1)
        return belief, Readings(self._count, mean, torch.zeros_like(mean))

    def _observe(self) -> np.ndarray:
        belief, readings = self._now()
        possible = allowed(readings, self._left, self.batch)
        return observe(belief, readings, possible, self._left / self.pairs, self.layers).numpy()


_BELIEF = ("mean", "deviation", "noise", "scale")
