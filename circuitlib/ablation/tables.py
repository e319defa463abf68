"""Damage tables: what ablating each head does to each prompt. Light: reading one loads no model library.

Prompts do not interact, so an episode of the paper (a batch of 32 prompts and 32 control spans) is the mean of
32 + 32 rows of two tables, exact to float rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from circuitlib.manifest import StaleResult, load_tensors, save_tensors

CONTROL = "control"
"""The name of the table of the control text, and of no task."""

Value = TypeVar("Value", float, np.ndarray, Tensor)


@dataclass(frozen=True)
class DamageTable:
    """Damage of every head on every prompt of one task, or on every span of the control text.

    clean: the clean metric (task) or loss in nats (control).
    damage: positive where ablating the head does harm, in the metric's unit or nats.
    provenance: what made it; compared when the table is read.
    """

    clean: Float[Tensor, " prompts"]
    damage: Float[Tensor, "prompts heads"]
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def name(self) -> str:
        """The task's name, or ``CONTROL``."""
        return str(self.provenance["task"])


def reward(damage: Value, general: Value, penalty: float = 1.0) -> Value:
    """Task damage minus lambda times general damage (MechRL, arXiv:2605.26343v1).

    ``penalty`` is lambda. Logits and nats are subtracted one for one, as in the paper.
    """
    return damage - penalty * general


def save_table(table: DamageTable, path: Path) -> None:
    """Write a table and its provenance."""
    save_tensors(path, {"clean": table.clean, "damage": table.damage}, table.provenance)


def load_table(path: Path, wanted: Mapping[str, Any] | None = None) -> DamageTable:
    """Read a table and verify it.

    Raises :class:`circuitlib.manifest.StaleResult` when it is corrupt, or its provenance is not ``wanted``.
    """
    tensors, provenance = load_tensors(path, wanted)
    for name in ("clean", "damage"):
        if name not in tensors:
            raise StaleResult(f"{path.name} has no tensor {name!r}: it is no damage table")
    return DamageTable(tensors["clean"], tensors["damage"], provenance)
