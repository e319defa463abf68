"""The paper's environment: pick heads one after another, each is ablated alone and pays its reward.

:class:`HeadAblationEnv` is one episode at a time, for any Gymnasium agent; :class:`HeadAblationVectorEnv`
is many at once, each step one array operation. Both follow MechRL (arXiv 2605.26343).
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from circuitlib.search.episodes import RewardSource

BUDGET = 50


REPEAT_PENALTY = -1.0


SCORE_SCALE = 5.0


SCORE_LIMIT = 1e4


def _spaces(source: RewardSource, budget: int) -> tuple[spaces.Box, spaces.Discrete]:
    if not 1 <= budget <= source.heads:
        raise ValueError(
            f"budget must be between 1 and {source.heads}, the heads there are, not {budget}"
        )
    size = len(source.tasks) + 2 * source.heads
    low = np.full(size, -SCORE_LIMIT, dtype=np.float32)
    low[: len(source.tasks) + source.heads] = 0.0
    high = np.full(size, SCORE_LIMIT, dtype=np.float32)
    high[: len(source.tasks) + source.heads] = 1.0
    return spaces.Box(low, high, dtype=np.float32), spaces.Discrete(source.heads)


class HeadAblationEnv(gym.Env):
    """Find the heads that a task depends on.

    ## Action Space
    ``Discrete(heads)``: the head to ablate, ``heads_per_layer * layer + head``. A head that was tried
    in this episode is masked: ``info["action_mask"]`` and :meth:`action_masks` (1 where allowed).

    ## Observation Space
    ``Box(tasks + 2 heads)``, 290 numbers in the paper: one-hot of the task, 1 for each tried head, and
    the reward of each tried head divided by 5 (logits, 0 where untried).

    ## Rewards
    Task damage (the task metric's unit) minus lambda times general damage (nats) of the picked head
    alone, on this episode's batch. -1 for a head already tried, which is otherwise without effect.

    ## Starting State
    A task drawn uniformly, a fresh batch of 32 prompts and 32 control spans, no head tried.

    ## Episode End
    Terminated after ``budget`` picks (50): the budget is part of the task. Never truncated.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, source: RewardSource, budget: int = BUDGET) -> None:
        self.observation_space, self.action_space = _spaces(source, budget)
        self.source = source
        self.budget = budget
        self._rewards = np.zeros(source.heads, dtype=np.float32)
        self._observation = np.zeros(self.observation_space.shape, dtype=np.float32)
        self._picks = 0

    def action_masks(self) -> np.ndarray:
        """``int8 [heads]``, 1 where a head is untried; the convention of sb3-contrib."""
        tried = self._observation[len(self.source.tasks) :][: self.source.heads]
        return (tried == 0).astype(np.int8)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks()}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        episode = self.source.draw(self.np_random)
        self._rewards = episode.rewards
        self._observation[:] = 0
        self._observation[episode.task] = 1
        self._picks = 0
        return self._observation.copy(), self._info()

    def step(
        self, action: int | np.integer
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Ablate one head."""
        tried = len(self.source.tasks) + int(action)
        reward = REPEAT_PENALTY
        if self._observation[tried] == 0:
            reward = float(self._rewards[action])
            self._observation[tried] = 1
            self._observation[tried + self.source.heads] = reward / SCORE_SCALE
        self._picks += 1
        return self._observation.copy(), reward, self._picks >= self.budget, False, self._info()


class HeadAblationVectorEnv(VectorEnv):
    """Many :class:`HeadAblationEnv` in step, with the same spaces, rewards and episodes.

    All end together and are reset in the step that ends them; ``info["final_obs"]`` then holds the
    last observations and ``info["final_best"]`` each episode's largest reward.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, source: RewardSource, num_envs: int, budget: int = BUDGET) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}")
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = _spaces(source, budget)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.source = source
        self.budget = budget
        self._rngs: list[np.random.Generator] = []
        self._rows = np.arange(num_envs)
        self._rewards = np.zeros((num_envs, source.heads), dtype=np.float32)
        self._observation = np.zeros(
            (num_envs, *self.single_observation_space.shape), dtype=np.float32
        )
        tasks = len(source.tasks)
        self._tried = self._observation[:, tasks : tasks + source.heads]
        self._scores = self._observation[:, tasks + source.heads :]
        self._best = np.full(num_envs, -np.inf, dtype=np.float32)
        self._picks = 0

    def action_masks(self) -> np.ndarray:
        """``int8 [envs, heads]``, 1 where a head is untried."""
        return (self._tried == 0).view(np.int8)

    def measure(self, heads: np.ndarray) -> np.ndarray:
        """The reward ``[envs, k]`` that each of ``heads [envs, k]`` would pay now. Measuring is what
        costs a forward pass: best-of-k planning measures k heads and takes one."""
        return self._rewards[self._rows[:, None], heads]

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all episodes. An integer seed stands for seed, seed + 1, ..., as in Gymnasium."""
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
            self._rngs = [gym.utils.seeding.np_random(one)[0] for one in seeds]
        elif not self._rngs:
            self._rngs = [gym.utils.seeding.np_random()[0] for _ in range(self.num_envs)]
        self._start()
        return self._observation.copy(), {"action_mask": self.action_masks()}

    def _start(self) -> None:
        self._observation[:] = 0
        for i, rng in enumerate(self._rngs):
            episode = self.source.draw(rng)
            self._rewards[i] = episode.rewards
            self._observation[i, episode.task] = 1
        self._best[:] = -np.inf
        self._picks = 0

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Ablate one head in each episode."""
        at = self._rows, actions
        paid = self._rewards[at]
        rewards = np.where(self._tried[at] == 0, paid, np.float32(REPEAT_PENALTY))
        self._tried[at] = 1
        self._scores[at] = paid / np.float32(SCORE_SCALE)
        np.maximum(self._best, rewards, out=self._best)
        self._picks += 1
        ended = self._picks >= self.budget
        info: dict[str, Any] = {}
        if ended:
            info = {"final_obs": self._observation.copy(), "final_best": self._best.copy()}
            self._start()
        info["action_mask"] = self.action_masks()
        terminated = np.full(self.num_envs, ended)
        return self._observation.copy(), rewards, terminated, np.zeros_like(terminated), info

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs to go on exactly from here."""
        return {
            "rngs": [rng.bit_generator.state for rng in self._rngs],
            "rewards": self._rewards.copy(),
            "observation": self._observation.copy(),
            "best": self._best.copy(),
            "picks": self._picks,
        }

    def restore(self, state: dict[str, Any]) -> np.ndarray:
        """Go back to a :meth:`state`; returns the observations there."""
        self._rngs = [gym.utils.seeding.np_random(0)[0] for _ in state["rngs"]]
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        self._rewards[:] = state["rewards"]
        self._observation[:] = state["observation"]
        self._best[:] = state["best"]
        self._picks = state["picks"]
        return self._observation.copy()
