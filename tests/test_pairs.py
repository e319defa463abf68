"""Pairs of heads: what is more than the sum, and how surely, prompt by prompt."""

from itertools import combinations

import numpy as np
import pytest
import torch
from by_hand import OWN

from circuitlib.ablation.hooks import hooked_task
from circuitlib.studies.pairs import measure_pairs
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS, Task


@pytest.mark.parametrize("task", [TASKS["ioi"], OWN], ids=lambda task: task.name)
def test_excess_and_its_error_prompt_by_prompt(task: Task, odd: Subject) -> None:
    heads, count = (2, 8, 11), 6
    frame = measure_pairs(odd, {task: heads}, count, 3, "zero", "docstrings")
    assert set(frame["task"]) == {task.name}
    assert list(zip(frame["first"], frame["second"], strict=True)) == list(combinations(heads, 2))
    groups = task.prompts(odd.tokenizer, count, 3)
    for row in frame.to_dict("records"):
        sets = [(), (row["first"],), (row["second"],), (row["first"], row["second"])]
        scores = torch.cat([hooked_task(odd, group, task.metric, sets) for group in groups]).double().numpy()
        one, two, both = (scores[:, :1] - scores[:, 1:]).T
        assert row["damage_first"] == pytest.approx(one.mean(), abs=1e-5)
        assert row["damage_both"] == pytest.approx(both.mean(), abs=1e-5)
        assert row["interaction"] == pytest.approx((both - one - two).mean(), abs=1e-5)
        excess = both - one - two - 0.1 * (one if one.mean() > two.mean() else two)
        assert row["excess"] == pytest.approx(excess.mean(), abs=1e-5)
        assert row["error"] == pytest.approx(excess.std(ddof=1) / np.sqrt(count), abs=1e-5)
