"""What an episode pays for each head: task damage minus lambda times general damage.

An episode is one task and one fresh batch of prompts and control spans. Its rewards come from damage
tables (a mean of rows) or from a subject that is swept live; both give the same numbers on the same
prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from circuitlib.ablation.tables import DamageTable, reward

BATCH = 32
"""Prompts, and control spans, of an episode (MechRL)."""


@dataclass(frozen=True)
class Episode:
    """The reward of each head ``[heads]``, on one batch of the task with index ``task``."""

    task: int
    rewards: Float[np.ndarray, " heads"]


@runtime_checkable
class RewardSource(Protocol):
    """Draws episodes. ``tasks`` are their names in the order of the observation's one-hot."""

    tasks: tuple[str, ...]
    heads: int

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly."""
        ...


class TableRewards:
    """Episodes that are rows of damage tables.

    task_tables: one a task. control: general damage. penalty: lambda.
    Raises ``ValueError`` when a table has fewer rows than an episode, or tables differ in their heads.
    """

    def __init__(
        self,
        task_tables: Sequence[DamageTable],
        control: DamageTable,
        penalty: float = 1.0,
        batch: int = BATCH,
    ) -> None:
        for table in (*task_tables, control):
            if len(table) < batch:
                raise ValueError(
                    f"the {table.name} table has {len(table)} rows; an episode takes {batch}"
                )
            if table.damage.shape[1] != control.damage.shape[1]:
                raise ValueError(
                    f"the {table.name} and control tables differ in their number of heads"
                )
        self.tasks = tuple(table.name for table in task_tables)
        self.heads = control.damage.shape[1]
        self.batch = batch
        self.penalty = penalty
        self._damage = [table.damage.numpy() for table in task_tables]
        self._control = control.damage.numpy()

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly, its rows without replacement."""
        return self.draw_of(int(rng.integers(len(self.tasks))), rng)

    def draw_of(self, task: int, rng: np.random.Generator) -> Episode:
        """One episode of the task with this index."""
        damage = self._damage[task]
        rows = rng.choice(len(damage), size=self.batch, replace=False)
        spans = rng.choice(len(self._control), size=self.batch, replace=False)
        rewards = reward(damage[rows].mean(0), self._control[spans].mean(0), self.penalty)
        return Episode(task, rewards.astype(np.float32))
