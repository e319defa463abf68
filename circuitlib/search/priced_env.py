"""The search with a price, as an environment: which head to measure next, and on how many further prompts.

Before the first step both estimates are paid, on few prompts. Each step pays for its prompts; the reward is by how much the head that would be
named now is truly better than the one before, as a fraction of the oracle, so that an episode's rewards add up to what is
known in the end. It is told nothing of its task.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitlib.search.belief import DIRECT_ON_FEW, GRADIENT_ON_FEW, Belief
from circuitlib.search.headwise import observe
from circuitlib.search.lookahead import AMOUNTS, allowed
from circuitlib.search.meter import Readings
from circuitlib.search.oracle import best_reward
from circuitlib.search.trials import Trials


class PricedEnv:
    """Many episodes side by side, each begun anew when its price is spent; trials of all tasks in turns by chance.

    beliefs: one per task, of all its episodes; better of a prior that was not fitted to it, since in a new task it will err. layers:
    of the subject.
    budget: units of price, estimates included. Raises ``ValueError`` where tasks have different numbers of episodes or beliefs, and
    for a budget that nothing can be measured with once the estimates are paid.
    """

    def __init__(
        self, trials: Sequence[Trials], beliefs: Sequence[Belief], layers: int, num_envs: int, budget: float | int
    ) -> None:
        if not len(trials) == len(beliefs) > 0:
            raise ValueError(f"every task needs a belief, and there are {len(trials)} and {len(beliefs)}")
        counts = {len(one) for one in (*(some.rows for some in trials), *(belief.mean for belief in beliefs))}
        if len(counts) > 1:
            raise ValueError(f"all tasks and beliefs must be of as many episodes, not of {sorted(counts)}")
        self.num_envs, self.layers = num_envs, layers
        self.batch, heads = trials[0].rows.shape[1:]
        self.tasks, self._beliefs = len(trials), Belief.of_all(beliefs)
        spent = sum(trials[0].estimates[name].price for name in (GRADIENT_ON_FEW, DIRECT_ON_FEW))
        self.pairs = int((budget - spent) * self.batch)
        if self.pairs < min(AMOUNTS):
            raise ValueError(f"a budget of {budget} pays for nothing beside the estimates, which cost {spent:g}")
        self._rows = torch.cat([some.rows for some in trials])
        self._true = torch.cat([some.rewards / best_reward(some.rewards)[:, None] for some in trials])
        self._episode = torch.zeros(num_envs, dtype=torch.int64)
        self._count = torch.zeros(num_envs, heads, dtype=torch.int64)
        self._sum = torch.zeros(num_envs, heads)
        self._left = torch.zeros(num_envs, dtype=torch.int64)
        self._named = torch.zeros(num_envs)
        self._rng = np.random.default_rng(0)

    def reset(self, seed: int) -> Float[Tensor, "n o"]:
        """Begin all episodes anew; the observations, of :func:`circuitlib.search.headwise.observe`."""
        self._rng = np.random.default_rng(seed)
        self._begin(torch.ones(self.num_envs, dtype=torch.bool))
        return self._observe()

    def step(
        self, actions: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n o"], Float[Tensor, " n"], Bool[Tensor, " n"], list[float]]:
        """One action per episode: a head times the amounts, plus an amount, which must be possible. Observations, rewards, which
        episodes are over (and begun anew), and what was known at the end of those, as fractions of the oracle."""
        each, column = torch.arange(self.num_envs), actions // len(AMOUNTS)
        more = torch.tensor(AMOUNTS)[actions % len(AMOUNTS)]
        known, at = self._count[each, column], torch.arange(self.batch)
        fresh = (at >= known[:, None]) & (at < (known + more)[:, None])
        self._sum[each, column] += (self._rows[self._episode, :, column] * fresh).sum(1)
        self._count[each, column] += more
        self._left -= more
        belief, readings = self._now()
        named = self._true[self._episode, belief.given(readings).expected.argmax(1)]
        rewards, self._named = named - self._named, named
        over = ~allowed(readings, self._left, self.batch).flatten(1).any(1)
        if over.any():
            self._begin(over)
        return self._observe(), rewards, over, named[over].tolist()

    def _begin(self, these: Tensor) -> None:
        count = int(these.sum())
        tasks = self._rng.integers(self.tasks, size=count)
        each = len(self._rows) // self.tasks
        self._episode[these] = torch.from_numpy(tasks * each + self._rng.integers(each, size=count))
        self._count[these], self._sum[these], self._left[these] = 0, 0.0, self.pairs
        belief, readings = self._now()
        named = self._true[self._episode, belief.given(readings).expected.argmax(1)]
        self._named = torch.where(these, named, self._named)

    def _now(self) -> tuple[Belief, Readings]:
        seen = self._sum / self._count.clamp(min=1)
        return self._beliefs[self._episode], Readings(self._count, seen)

    def _observe(self) -> Float[Tensor, "n o"]:
        belief, readings = self._now()
        possible = allowed(readings, self._left, self.batch)
        return observe(belief, readings, possible, self._left / self.pairs, self.layers)
