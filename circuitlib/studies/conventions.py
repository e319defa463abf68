"""What zeroing a head does under either convention (:data:`circuitlib.subjects.card.Convention`)."""

from collections.abc import Sequence
from typing import get_args

import pandas as pd

from circuitlib.ablation.build import Measurement, Recipe
from circuitlib.ablation.tables import DamageTable
from circuitlib.subjects.card import Convention
from circuitlib.subjects.load import Subject


def other_than(convention: Convention) -> Convention:
    """The other of the two."""
    first, second = get_args(Convention)
    return second if convention == first else first


def measure_conventions(other: Subject, tables: Sequence[tuple[Recipe, DamageTable]], count: int) -> pd.DataFrame:
    """Damage of every head under both conventions, on the same ``count`` rows of each table.

    other: the subject under the convention that the tables are not of. Columns: task, head, folded, raw (mean damage in
    the table's unit)."""
    parts = []
    for recipe, table in tables:
        chosen = recipe.some_rows(count)
        damages = {
            other.convention: Measurement(other, recipe).rows(chosen).damage,
            other_than(other.convention): table.damage[chosen],
        }
        means = {convention: damages[convention].mean(0).numpy() for convention in get_args(Convention)}
        parts.append(pd.DataFrame({"task": recipe.name, "head": range(other.heads)} | means))
    return pd.concat(parts, ignore_index=True)
