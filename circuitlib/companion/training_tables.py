"""What policies find while they are trained, as tables for reading."""

from collections.abc import Sequence

import pandas as pd

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.paper import mechrl
from circuitlib.companion.run import Run
from circuitlib.companion.settings import CANDIDATES
from circuitlib.search.oracle import best_reward
from circuitlib.search.trials import PricedTables, draw_trials

EPISODES = 200
"""Episodes that a training task's oracle is the mean of."""


def training_oracle(run: Run) -> dict[str, float]:
    """The oracle's mean reward on each training task, in the metric's unit, in episodes drawn from the tables that policies are trained on, other ones than theirs."""
    control = run.table(CONTROL, "train")
    pools = {task: PricedTables(run.table(task, "train"), control) for task in run.training_tasks}
    episodes = {task: draw_trials(pool, EPISODES, run.settings.penalty) for task, pool in pools.items()}
    return {task: best_reward(trials.rewards).mean().item() for task, trials in episodes.items()}


def stages_table(history: pd.DataFrame, oracle: dict[str, float]) -> pd.DataFrame:
    """A row per training task and k, a column per stage of training: what episodes find, mean over its updates and all seeds, as a fraction of the oracle's mean reward on the task.

    history: of :meth:`circuitlib.companion.run.Run.training_history`. oracle: of :func:`training_oracle`."""
    shares, last = history["best"] / history["task"].map(oracle), history["update"].max()
    stages = {"first update": (1, 1), "updates 2 to 10": (2, 10), "last tenth": (int(0.9 * last), last)}
    columns = {stage: shares.where(history["update"].between(*ends)) for stage, ends in stages.items()}
    return pd.DataFrame(columns).groupby([history["task"], history["trained_k"]]).mean()


def published_stages(tasks: Sequence[str]) -> pd.DataFrame:
    """A row per k and training task that the paper has, of ``tasks``: what its policy found after the first update, as a share of what it found in the end."""
    columns = ["task", "trained with k", "after one update, share of its final score"]
    rows = []
    for k in CANDIDATES:
        of_policy = mechrl()["training"][f"k{k}"]
        first, end = of_policy["eval_after_first_update"], of_policy["final_eval_30_episodes"]
        rows += [(task, k, first[task] / end[task]) for task in tasks if task in end]
    return pd.DataFrame(rows, columns=columns)


def seeds_table(history: pd.DataFrame) -> pd.DataFrame:
    """A row per training task and k: what episodes of the second half of training find, in the task's unit, mean over seeds, and how much more the seed that finds most finds than the one that finds least.

    history: of :meth:`circuitlib.companion.run.Run.training_history`."""
    half = history[history["update"] > history["update"].max() / 2]
    by_seed = half.pivot_table("best", ["task", "trained_k"], "seed")
    difference = by_seed.max(axis=1) - by_seed.min(axis=1)
    return pd.DataFrame({"mean over seeds": by_seed.mean(axis=1), "largest difference between seeds": difference})
