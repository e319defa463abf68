"""Table ``policies``: our PPO against sb3-contrib's ``MaskablePPO``: same settings, network and damage tables."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from circuitlib.search.episodes import EpisodeSource
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.workshop.benchmark.machine import alone, resident

UPDATES = 10
"""Of PPO, after which memory is measured."""


class Training(Protocol):
    """A training that can be taken a part at a time."""

    seeds: int

    def advance(self, updates: int) -> None:
        """Train until so many updates are done in all."""

    def found(self) -> dict[str, float]:
        """For each task, the mean best reward of the last tenth of the episodes so far."""


class Ours:
    """A :class:`Training`: :class:`circuitlib.search.ppo_seeds.Trainer` on ``seeds`` seeds."""

    def __init__(self, source: EpisodeSource, config: PPOConfig, seeds: int) -> None:
        self.seeds = seeds
        self.trainer = Trainer(source, config, range(seeds))

    def advance(self, updates: int) -> None:
        self.trainer.train(stop=lambda: self.trainer.done >= updates)

    def found(self) -> dict[str, float]:
        history = pd.DataFrame(self.trainer.history)
        late = history[history["update"] > 0.9 * history["update"].max()]
        return late.groupby("task")["best"].mean().to_dict()


def policies(source: EpisodeSource, steps: int, many: int, repeats: int) -> Iterator[pd.DataFrame]:
    """Trainings of ``steps`` steps per seed, cut into ``repeats`` + 1 parts that are trained in turns, yielded
    after each turn; set-up is not timed.

    Columns: method, seeds, steps (of each seed, so far), rate (environment steps per second, of all seeds: the median
    of the parts, without the first), seconds (of all parts), resident (GiB, after ``UPDATES`` updates in a process of its
    own), and for each task the mean best reward of the last tenth of the episodes.
    """
    from circuitlib.companion.maskable import Maskable

    config = PPOConfig(total_timesteps=steps)
    methods: dict[str, Callable[[], Training]] = {
        "MaskablePPO": partial(Maskable, source, config, torch.get_num_threads()),
        "MaskablePPO, one thread": partial(Maskable, source, config, 1),
        "ours": partial(Ours, source, config, 1),
        f"ours, {many} seeds": partial(Ours, source, config, many),
    }
    most = {name: alone(_resident_after, method, config) for name, method in methods.items()}
    trainings = {name: method() for name, method in methods.items()}
    ends = [config.updates * part // (repeats + 1) for part in range(repeats + 2)]
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn, end in enumerate(ends[1:], start=1):
        for name, training in trainings.items():
            began = time.perf_counter()
            training.advance(end)
            seconds[name].append(time.perf_counter() - began)
        steps_of_turns = np.diff(ends[: turn + 1]) * config.num_envs * config.num_steps
        counted = slice(1 if turn > 1 else 0, None)
        rows = []
        for name, training in trainings.items():
            rate = training.seeds * np.median((steps_of_turns / seconds[name])[counted])
            row = {"method": name, "seeds": training.seeds, "steps": steps_of_turns.sum(), "rate": rate}
            rows.append(row | {"seconds": sum(seconds[name]), "resident": most[name]} | training.found())
        yield pd.DataFrame(rows)


def _resident_after(method: Callable[[], Training], config: PPOConfig) -> float:
    method().advance(min(UPDATES, config.updates))
    return resident()
