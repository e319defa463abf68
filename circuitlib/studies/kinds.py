"""What a head is worth depends on what takes its place: zeros, its mean, or its values on another prompt
(:data:`circuitlib.ablation.engine.AblationKind`)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pandas as pd
import torch

from circuitlib.ablation.build import Measurement, Recipe
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.tables import DamageTable
from circuitlib.subjects.load import Subject


def measure_kinds(subject: Subject, tables: Sequence[tuple[Recipe, DamageTable]], count: int) -> pd.DataFrame:
    """Damage of every head under every kind of ablation, on the same ``count`` rows of each table, of one kind.

    Columns: task, head, zero, mean, resample (mean damage in the table's unit), and again: the tables' own kind on their other rows,
    which tells how much of a difference is that of the prompts."""
    parts = []
    for recipe, table in tables:
        chosen, means = recipe.some_rows(count), {}
        for kind in get_args(AblationKind):
            damage = table.damage[chosen]
            if kind != recipe.ablation:
                damage = Measurement(subject, replace(recipe, ablation=kind)).rows(chosen).damage
            means[kind] = damage.mean(0).numpy()
        others = torch.ones(len(table.damage), dtype=torch.bool)
        others[chosen] = False
        means["again"] = table.damage[others].mean(0).numpy()
        parts.append(pd.DataFrame({"task": recipe.name, "head": range(subject.heads)} | means))
    return pd.concat(parts, ignore_index=True)
