"""The paper's Markov decision process (MechRL, arXiv:2605.26343v1), written once.

Pick heads one after another; each is ablated alone and pays its reward. :class:`HeadAblationVectorEnv` plays many
episodes at once, each step one array operation; :class:`HeadAblationEnv` is the vector environment of one.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Float, Int, Int8

from circuitlib.search.episodes import EpisodeSource

BUDGET = 50  # picks per episode
REPEAT_PENALTY = -1.0  # the reward of a head that was already tried
SCORE_SCALE = 5.0  # rewards are divided by this in observations
SCORE_LIMIT = 1e4  # bound of the observation space; rewards are orders of magnitude smaller


def budget_for(heads: int) -> int:
    """The paper's 50 picks, or one per head of a subject that has fewer heads."""
    return min(BUDGET, heads)


class HeadAblationVectorEnv(VectorEnv):
    """Many episodes in step: see :class:`HeadAblationEnv` for spaces, rewards and when an episode ends.

    All episodes end together. With ``autoreset`` they are reset in the step that ends them, whose ``info`` holds
    ``final_obs``, the last observations, and for each episode ``final_best``, its largest reward, and ``final_task``,
    its task's name. Without, ``reset`` has to be called. ``blind``: observations show zeros in place of rewards.

    Raises ``TypeError`` for a source that draws no episodes and numbers that are not whole, ``ValueError`` for a budget that is not
    between 1 and the number of heads.
    """

    def __init__(
        self,
        source: EpisodeSource,
        num_envs: int,
        budget: int | None = None,
        autoreset: bool = True,
        blind: bool = False,
    ) -> None:
        if not isinstance(source, EpisodeSource):
            raise TypeError(f"source must draw episodes, as TableEpisodes does, not {type(source).__name__} {source!r}")
        for name, value in {"num_envs": num_envs, "budget": 1 if budget is None else budget}.items():
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
        tasks, heads = len(source.tasks), source.heads
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}")
        self.budget = budget_for(heads) if budget is None else budget
        if not 1 <= self.budget <= heads:
            raise ValueError(f"budget must be between 1 and {heads}, the heads, not {self.budget}")
        self.source, self.num_envs, self.autoreset, self.blind = source, num_envs, autoreset, blind
        mode = AutoresetMode.SAME_STEP if autoreset else AutoresetMode.DISABLED
        self.metadata = {"render_modes": [], "autoreset_mode": mode}
        ends = np.array([[0, -SCORE_LIMIT], [1, SCORE_LIMIT]], dtype=np.float32)
        low, high = np.repeat(ends, [tasks + heads, heads], axis=1)
        self.single_observation_space = spaces.Box(low, high, dtype=np.float32)
        self.single_action_space = spaces.Discrete(heads)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rngs: list[np.random.Generator] = []
        self._each = np.arange(num_envs)
        self._rewards = np.zeros((num_envs, heads), dtype=np.float32)
        self._observation = np.zeros((num_envs, tasks + 2 * heads), dtype=np.float32)
        self._signal, self._tried, self._scores = np.split(self._observation, [tasks, tasks + heads], axis=1)
        self._best = np.full(num_envs, -np.inf, dtype=np.float32)
        self._tasks = [""] * num_envs
        self._left = 0

    def action_masks(self) -> Int8[np.ndarray, "envs heads"]:
        """1 where a head is untried."""
        return (self._tried == 0).view(np.int8)

    def measure(self, heads: Any) -> Float[np.ndarray, "envs k"]:
        """What each of ``heads``, ``[envs, k]``, would pay. It is measuring that costs passes of the subject: best-of-k planning
        measures k heads and takes one. Raises ``InvalidAction`` for anything but integers of heads that are there, some for each episode, and
        ``ResetNeeded`` where :meth:`step` does."""
        if not self._left:
            raise ResetNeeded("no episode is being played: call reset before measure")
        return self._rewards[self._each[:, None], self._checked(heads, 2)]

    def _checked(self, heads: Any, dimensions: int) -> Int[np.ndarray, "envs *k"]:
        """Heads of each episode as an array. Raises ``InvalidAction`` for anything else, and for heads that are not there."""
        most = self._rewards.shape[1] - 1
        try:
            array = np.asarray(heads)
        except ValueError:  # lists of different lengths
            array = np.empty(0)
        integers = array.ndim == dimensions and len(array) == self.num_envs and np.issubdtype(array.dtype, np.integer)
        if not integers or (array.size and not 0 <= array.min() <= array.max() <= most):
            what = "a head" if dimensions == 1 else "a row of heads"
            raise InvalidAction(
                f"each of {self.num_envs} episodes needs {what}, integers from 0 to {most}, not {heads!r}"
            )
        return array

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Any = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all episodes. An integer seed stands for seed, seed + 1, ..., as in Gymnasium; there are no ``options``, and none is read. Raises ``TypeError`` for seeds that are
        no whole numbers, ``ValueError`` for negative ones and for another number of them than the environments."""
        if seed is not None or not self.rngs:
            first = [None] * self.num_envs if seed is None else seed
            for one in first if isinstance(first, Sequence) else [first]:
                if isinstance(one, bool) or not isinstance(one, (int, np.integer, type(None))):
                    raise TypeError(f"a seed must be a whole number, not {one!r}")
                if one is not None and one < 0:
                    raise ValueError(f"a seed must be at least 0, not {one}")
            seeds = first if isinstance(first, Sequence) else range(first, first + self.num_envs)
            if len(seeds) != self.num_envs:
                raise ValueError(f"there must be {self.num_envs} seeds, one per environment, not {len(seeds)}")
            self.rngs = [gym.utils.seeding.np_random(None if one is None else int(one))[0] for one in seeds]
        self._start()
        return self._observation.copy(), {"action_mask": self.action_masks()}

    def _start(self) -> None:
        self._observation[:] = 0
        for i, rng in enumerate(self.rngs):
            episode = self.source.draw(rng)
            self._rewards[i], self._signal[i], self._tasks[i] = episode.rewards, episode.signal, episode.task
        self._best[:] = -np.inf
        self._left = self.budget

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Ablate one head per episode.

        Raises ``InvalidAction`` for anything but one head per episode, and ``ResetNeeded`` before the first reset and,
        without ``autoreset``, after the end.
        """
        if not self._left:
            raise ResetNeeded("no episode is being played: call reset before step")
        at = self._each, self._checked(actions, 1)
        paid = self._rewards[at]
        rewards = np.where(self._tried[at] == 0, paid, np.float32(REPEAT_PENALTY))
        self._tried[at] = 1
        if not self.blind:
            self._scores[at] = paid / np.float32(SCORE_SCALE)
        np.maximum(self._best, rewards, out=self._best)
        self._left -= 1
        terminated = np.full(self.num_envs, not self._left)
        info: dict[str, Any] = {}
        if not self._left and self.autoreset:
            info = {"final_obs": self._observation.copy(), "final_best": self._best.copy()}
            info["final_task"] = np.array(self._tasks)
            self._start()
        info["action_mask"] = self.action_masks()
        return self._observation.copy(), rewards, terminated, np.zeros_like(terminated), info

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs to go on exactly from here: arrays, and what JSON can hold."""
        return {
            "rewards": self._rewards.copy(),
            "observation": self._observation.copy(),
            "best": self._best.copy(),
            "tasks": list(self._tasks),
            "left": self._left,
            "rngs": [rng.bit_generator.state for rng in self.rngs],
        }

    def restore(self, state: dict[str, Any]) -> np.ndarray:
        """Go back to a :meth:`state`; returns the observations there.

        Raises ``ValueError``, and changes nothing, for one that is not whole, or of environments of another number, tasks or heads.
        """
        if missing := sorted(self.state().keys() - dict(state).keys()):
            raise ValueError(f"a state must be what state() returns; this one lacks {', '.join(missing)}")
        for name, array in (("rewards", self._rewards), ("observation", self._observation), ("best", self._best)):
            if (shape := np.shape(state[name])) != array.shape:
                raise ValueError(
                    f"{name} of this state is {shape}, and here {array.shape}: it is of other environments"
                )
        if not (len(state["tasks"]) == self.num_envs and 0 <= state["left"] <= self.budget):
            raise ValueError(
                f"{len(state['tasks'])} episodes with {state['left']} picks left are of other environments"
            )
        rngs = [gym.utils.seeding.np_random(0)[0] for _ in state["rngs"]]
        if len(rngs) not in (0, self.num_envs):
            raise ValueError(f"{len(rngs)} random generators are of other environments than these {self.num_envs}")
        for rng, saved in zip(rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        self._rewards[:] = state["rewards"]
        self._observation[:] = state["observation"]
        self._best[:] = state["best"]
        self._tasks, self._left, self.rngs = list(state["tasks"]), state["left"], rngs
        return self._observation.copy()


class HeadAblationEnv(gym.Env):
    """Find the heads that a task depends on.

    ## Action Space
    ``Discrete(heads)``: the head to ablate, ``heads_per_layer * layer + head``. A head that was tried in this
    episode is masked: ``info["action_mask"]`` and :meth:`action_masks` (1 where allowed).

    ## Observation Space
    ``Box(tasks + 2 heads)``, 290 numbers in the paper: the signal (one-hot of the task, or zeros where the policy is
    told nothing), 1 for each tried head, and the reward of each tried head divided by 5 (0 where untried, and with ``blind``
    everywhere).

    ## Rewards
    Task damage (the task metric's unit) minus lambda times general damage (nats) of the picked head alone, on this
    episode's batch. -1 for a head already tried, which is otherwise without effect.

    ## Starting State
    A task drawn uniformly, a fresh batch of 32 prompts and 32 control spans, no head tried.

    ## Episode End
    Terminated after ``budget`` picks (by default 50, or one per head where there are fewer): the budget is part of
    the task. Never truncated. Then, as before the first ``reset``, ``step`` raises ``ResetNeeded``.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, source: EpisodeSource, budget: int | None = None, blind: bool = False) -> None:
        self._one = HeadAblationVectorEnv(source, 1, budget, autoreset=False, blind=blind)
        self.source, self.budget = source, self._one.budget
        self.observation_space = self._one.single_observation_space
        self.action_space = self._one.single_action_space

    def action_masks(self) -> Int8[np.ndarray, " heads"]:
        """1 where a head is untried; the convention of sb3-contrib."""
        return self._one.action_masks()[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; there are no ``options``, and none is read."""
        super().reset(seed=seed)
        self._one.rngs = [self.np_random]
        observation, _ = self._one.reset()
        return observation[0], {"action_mask": self.action_masks()}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Ablate one head. Raises as :meth:`HeadAblationVectorEnv.step` does."""
        observation, reward, ended, _, info = self._one.step(np.asarray([action]))
        return observation[0], float(reward[0]), bool(ended[0]), False, {"action_mask": info["action_mask"][0]}
