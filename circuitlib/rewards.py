"""What an episode pays for each head: task damage minus lambda times general damage.

An episode is one task and one fresh batch of prompts and control spans. Its rewards come from damage
tables (a mean of rows) or from a subject that is swept live; both give the same numbers on the same
prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation import engine
from circuitlib.control import Part, Text, control_spans, default_text
from circuitlib.damage import DamageTable
from circuitlib.subjects import Subject
from circuitlib.tasks import TASKS, Prompts

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
        rewards = damage[rows].mean(0) - self.penalty * self._control[spans].mean(0)
        return Episode(task, rewards.astype(np.float32))


class LiveRewards:
    """Episodes swept on fresh prompts at every draw, as in the paper. No table, and no speed.

    text: the control text; the subject's own by default.
    """

    def __init__(
        self,
        subject: Subject,
        tasks: Sequence[str],
        part: Part = "train",
        penalty: float = 1.0,
        batch: int = BATCH,
        text: Text | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.heads = subject.heads
        self.batch = batch
        self.penalty = penalty
        self._subject = subject
        self._part: Part = part
        self._text = text or default_text(subject.name)
        self._engine = engine(subject)

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly, on prompts drawn for it alone."""
        task = int(rng.integers(len(self.tasks)))
        tokenizer = self._subject.tokenizer
        prompts = TASKS[self.tasks[task]].prompts(tokenizer, self.batch, int(rng.integers(2**31)))
        spans = control_spans(
            tokenizer, self.batch, int(rng.integers(2**31)), self._part, self._text
        )
        return Episode(task, self.rewards_of(self.tasks[task], prompts, spans))

    def rewards_of(self, task: str, prompts: Sequence[Prompts], spans: Tensor) -> np.ndarray:
        """The reward of each head ``[heads]`` on these prompts and spans."""
        damages = []
        for group in prompts:
            clean, ablated = self._engine.task(group, TASKS[task].metric)
            damages.append(clean[:, None] - ablated)
        clean, ablated = self._engine.control(spans)
        general = (ablated - clean[:, None]).mean(0)
        return (torch.cat(damages).mean(0) - self.penalty * general).numpy()
