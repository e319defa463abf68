"""Pairs of heads, ablated together: do two heads back each other up?"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pandas as pd
import torch

from circuitlib.ablation.build import ablation_of
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.hooks import hooked_task
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS

Row = tuple[str, int, int, float, float, float, float]


def measure_pairs(
    subject: Subject, heads: Mapping[str, Sequence[int]], count: int, seed: int, kind: AblationKind, text: Text
) -> pd.DataFrame:
    """Every pair of a task's ``heads``, by hooks, on ``count`` prompts drawn with ``seed``.

    kind, text: what takes a head's place, see :func:`circuitlib.ablation.build.ablation_of`.

    Columns: task, first, second (heads), damage_first, damage_second, damage_both, and interaction =
    both - first - second: above zero where the two back each other up. Task damage, in logits."""
    ablation = ablation_of(kind, subject.tokenizer, text)

    def rows() -> Iterator[Row]:
        for name, these in heads.items():
            task, pairs = TASKS[name], list(combinations(these, 2))
            sets: list[tuple[int, ...]] = [(), *((head,) for head in these), *pairs]
            groups = task.prompts(subject.tokenizer, count, seed)
            scores = torch.cat([hooked_task(subject, group, task.metric, sets, ablation) for group in groups])
            means = scores.double().mean(0)
            damage = dict(zip(sets, (means[0] - means).tolist(), strict=True))
            for first, second in pairs:
                one, two, both = damage[first,], damage[second,], damage[first, second]
                yield name, first, second, one, two, both, both - one - two

    damages = ["damage_first", "damage_second", "damage_both"]
    return pd.DataFrame(rows(), columns=["task", "first", "second", *damages, "interaction"])
