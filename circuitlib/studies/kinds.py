"""What a head is worth depends on what takes its place: zeros, its mean, or its values on another prompt
(:data:`circuitlib.ablation.engine.AblationKind`)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pandas as pd
import torch

from circuitlib.ablation.build import Recipe, measure_rows
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.tables import DamageTable
from circuitlib.subjects.load import Subject


def measure_kinds(subject: Subject, tables: Sequence[tuple[Recipe, DamageTable]], count: int) -> pd.DataFrame:
    """Damage of every head under every kind of ablation, on the same ``count`` rows of each table, of one kind.

    Columns: task, head, zero, mean, resample (mean damage in the table's unit), and again: the tables' own kind on their other rows,
    which tells how much of a difference is that of the prompts."""
    parts = []
    for recipe, table in tables:
        chosen = recipe.some_rows(count)
        others = torch.ones(len(table.damage), dtype=torch.bool)
        others[chosen] = False
        means = {"again": table.damage[others].mean(0).numpy()}
        for kind in get_args(AblationKind):
            own = kind == recipe.ablation
            damage = (
                table.damage[chosen] if own else measure_rows(subject, replace(recipe, ablation=kind), chosen).damage
            )
            means[kind] = damage.mean(0).numpy()
        names = {"task": recipe.name, "head": range(subject.heads)}
        parts.append(pd.DataFrame(names | {name: means[name] for name in (*get_args(AblationKind), "again")}))
    return pd.concat(parts, ignore_index=True)
