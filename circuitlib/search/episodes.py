"""Episodes: what a policy is told, and what each head pays.

An episode is one task on one batch of 32 prompts and 32 control spans. Its rewards are means of rows of damage
tables, or of a live sweep (:mod:`circuitlib.search.live`): the same numbers on the same prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from circuitlib.ablation.tables import CONTROL, DamageTable, reward
from circuitlib.manifest import as_json, short_hash

ALIKE = ("subject", "ablation", "part", "through")
"""What tables of one episode must have in common, by their provenance."""

BATCH = 32  # prompts, and control spans, per episode (MechRL)
NOTHING = "none"  # the signal that names no task


@dataclass(frozen=True)
class Episode:
    """signal: what the policy is told of the task, see :func:`signal_of`. rewards: what each head pays. task: its name,
    which the policy never sees."""

    signal: Float[np.ndarray, " tasks"]
    rewards: Float[np.ndarray, " heads"]
    task: str


def signal_of(tasks: Sequence[str], told: str = NOTHING) -> Float[np.ndarray, " tasks"]:
    """The one-hot of the task that a policy is told, or zeros where it is told nothing.

    Raises ``ValueError`` for a task that is not one of ``tasks``, those that policies are trained on.
    """
    if told != NOTHING and told not in tasks:
        raise ValueError(f"a policy is told one of {[*tasks, NOTHING]}, not {told!r}")
    return np.array([float(task == told) for task in tasks], dtype=np.float32)


@runtime_checkable
class EpisodeSource(Protocol):
    """Draws episodes. ``tasks``: names, in the order of the signal's one-hot."""

    tasks: tuple[str, ...]
    heads: int

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly."""
        ...


def refuse_penalty(penalty: float) -> None:
    """Raise ``ValueError`` for a lambda that is not a finite number."""
    if not isfinite(penalty):
        raise ValueError(f"penalty must be finite, not {penalty}")


def refuse_mixed(task_tables: Sequence[DamageTable], control: DamageTable) -> None:
    """Raise ``ValueError`` when a table has fewer rows than an episode or values that are not finite, tables differ in their heads or in
    what they are of (``ALIKE``), or the control table is a task's or a task's the control's."""
    for table in (*task_tables, control):
        if len(table) < BATCH:
            raise ValueError(f"the {table.name} table has {len(table)} rows; an episode takes {BATCH}")
        if table.damage.shape[1] != control.damage.shape[1]:
            raise ValueError(f"the {table.name} and control tables differ in their number of heads")
        if not (table.damage.isfinite().all() and table.clean.isfinite().all()):
            raise ValueError(f"the {table.name} table has values that are not finite")
        for what in ALIKE:
            mine, others = (one.provenance.get(what) for one in (table, control))
            if mine != others:
                raise ValueError(f"{what} of the {table.name} table is {mine!r}, and of the control table {others!r}")
        if (table.name == CONTROL) != (table is control):
            raise ValueError(
                f"a table of {table.name} stands where one of {CONTROL if table is control else 'a task'} should"
            )


class TableEpisodes:
    """Episodes from rows of damage tables.

    task_tables: one per task. control: general damage. penalty: lambda.
    Raises ``ValueError`` when two tables are of one task, there are none, or the penalty is not a finite number, and what
    :func:`refuse_mixed` raises.
    """

    def __init__(self, task_tables: Sequence[DamageTable], control: DamageTable, penalty: float = 1.0) -> None:
        refuse_mixed(task_tables, control)
        refuse_penalty(penalty)
        self.tasks = tuple(table.name for table in task_tables)
        if not self.tasks:
            raise ValueError("there must be a table of one task at least")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"a task has one table, and these are of {', '.join(self.tasks)}")
        self.heads = control.damage.shape[1]
        self.penalty = penalty
        self._damage = {table.name: table.damage.numpy() for table in task_tables}
        self._control = control.damage.numpy()
        content = b"".join(array.tobytes() for array in (*self._damage.values(), self._control))
        self.identity = short_hash(as_json([self.tasks, penalty]).encode() + content)

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly, its rows without replacement."""
        task = self.tasks[rng.integers(len(self.tasks))]
        damage, general = (
            table[rng.choice(len(table), size=BATCH, replace=False)].mean(0)
            for table in (self._damage[task], self._control)
        )
        rewards = reward(damage, general, self.penalty).astype(np.float32)
        return Episode(signal_of(self.tasks, task), rewards, task)
