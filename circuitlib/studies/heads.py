"""Every head on every task: means over all rows of damage tables."""

from collections.abc import Mapping

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.tables import DamageTable, reward


def head_rewards(table: DamageTable, control: DamageTable, penalty: float) -> Float[Tensor, " heads"]:
    """The mean reward of each head over all rows of a task's and the control's tables; ``penalty`` is lambda."""
    return reward(table.damage.mean(0), control.damage.mean(0), penalty)


def head_means(tables: Mapping[str, DamageTable], control: DamageTable, penalty: float) -> pd.DataFrame:
    """tables: by task. Columns: task, head, damage (task metric), general (nats), reward, share (reward as a share of the
    mean clean metric)."""
    parts = []
    for task, table in tables.items():
        rewards = head_rewards(table, control, penalty)
        columns = {"damage": table.damage.mean(0), "general": control.damage.mean(0), "reward": rewards}
        columns["share"] = rewards / table.clean.mean()
        names = {"task": task, "head": range(len(rewards))}
        parts.append(pd.DataFrame(names | {name: values.numpy() for name, values in columns.items()}))
    return pd.concat(parts, ignore_index=True)
