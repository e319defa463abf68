"""The tables of training say what its histories and damage tables do, read in another way."""

import json
from typing import Any

import numpy as np
import pytest

from circuitlib.ablation.tables import CONTROL, load_table
from circuitlib.companion import training_tables as tables
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import REFERENCE
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2

BOTH = pytest.mark.parametrize("run", [Run(PUBLISHED[name]) for name in (EMBEDDED, SMOLLM2)], ids=[EMBEDDED, SMOLLM2])

Found = dict[tuple[str, int], list[tuple[int, int, float]]]
"""By task and k: update, seed and what was found."""


def committed(run: Run) -> Found:
    found: Found = {}
    for k in (1, 5):
        for row in load_frame(run.folder / f"training_k{k}.parquet").to_dict("records"):
            found.setdefault((row["task"], k), []).append((row["update"], row["seed"], row["best"]))
    return found


@BOTH
def test_the_oracle_of_training(run: Run) -> None:
    oracle = tables.training_oracle(run)
    assert [*oracle] == [*run.training_tasks]
    general = load_table(run.table_path(CONTROL, "train")).damage.double().numpy()
    for task, mean in oracle.items():
        damage, best = load_table(run.table_path(task, "train")).damage.double().numpy(), []
        for seed in range(EPISODE_SEED, EPISODE_SEED + 200):
            rng = np.random.default_rng(seed)
            prompts, spans = (rng.choice(len(rows), 32, replace=False) for rows in (damage, general))
            best.append((damage[prompts].mean(0) - run.settings.penalty * general[spans].mean(0)).max())
        assert mean == pytest.approx(np.mean(best), rel=1e-5)


@BOTH
def test_stages(run: Run) -> None:
    found, oracle = committed(run), {task: 2.0 + i for i, task in enumerate(run.training_tasks)}
    table: Any = tables.stages_table(run.training_history(), oracle)
    assert {*table.index} == {*found}
    for (task, k), plays in found.items():
        last = max(update for update, _, _ in plays)
        stages = [range(1, 2), range(2, 11), range(last * 9 // 10, last + 1)]
        means = [np.mean([best for update, _, best in plays if update in stage]) / oracle[task] for stage in stages]
        assert table.loc[(task, k)].tolist() == pytest.approx(means, rel=1e-6)
    assert [*table.columns] == ["first update", "updates 2 to 10", "last tenth"]


@BOTH
def test_seeds(run: Run) -> None:
    found = committed(run)
    table: Any = tables.seeds_table(run.training_history())
    assert {*table.index} == {*found}
    for (task, k), plays in found.items():
        last = max(update for update, _, _ in plays)
        late = [(seed, best) for update, seed, best in plays if update > last / 2]
        means = [np.mean([best for of, best in late if of == seed]) for seed in range(run.settings.seeds)]
        assert table.loc[(task, k)].tolist() == pytest.approx([np.mean(means), max(means) - min(means)], rel=1e-5)


def test_published_stages() -> None:
    """The paper's own numbers, of both policies, on the tasks that are asked for."""
    published: Any = tables.published_stages(["ioi", "induction", "docstring"])
    training = json.loads((REFERENCE / "mechrl_v1.json").read_text())["training"]
    assert sorted(zip(published["trained with k"], published["task"], strict=True)) == [
        (k, task) for k in (1, 5) for task in ("induction", "ioi")
    ]
    for task, k, share in published.itertuples(index=False):
        of_policy = training[f"k{k}"]
        assert share * of_policy["final_eval_30_episodes"][task] == pytest.approx(
            of_policy["eval_after_first_update"][task]
        )
