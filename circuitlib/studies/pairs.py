"""Pairs of heads, ablated together: is either of the two enough?"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pandas as pd
import torch

from circuitlib.ablation.build import ablation_of
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.hooks import hooked_scores
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Task

SUPERADDITIVE = 0.1
"""A pair is redundant where its interaction is above this share of the larger of the two damages."""

Row = tuple[str, int, int, float, float, float, float, float, float]


def measure_pairs(
    subject: Subject, heads: Mapping[Task, Sequence[int]], count: int, seed: int, kind: AblationKind, text: Text
) -> pd.DataFrame:
    """Every pair of each task's ``heads``, by hooks, on ``count`` prompts drawn with ``seed``.

    kind, text: what takes a head's place, see :func:`circuitlib.ablation.build.ablation_of`.

    Columns: task, first, second (heads), damage_first, damage_second, damage_both, and interaction =
    both - first - second: above zero where one of the two is nearly enough; excess, of the interaction over ``SUPERADDITIVE`` of the larger
    damage, and error, the standard error of the excess over prompts. Task damage, in logits."""
    ablation = ablation_of(kind, subject.tokenizer, text)

    def rows() -> Iterator[Row]:
        for task, these in heads.items():
            pairs = list(combinations(these, 2))
            sets: list[tuple[int, ...]] = [*((head,) for head in these), *pairs]
            scores = hooked_scores(subject, task, count, seed, sets, ablation)
            damage = dict(zip(sets, scores.damage.double().T, strict=True))
            for first, second in pairs:
                each = damage[first,], damage[second,], damage[first, second]
                interaction = each[2] - each[0] - each[1]
                excess = interaction - SUPERADDITIVE * max(each[:2], key=torch.mean)
                error = excess.std() / len(excess) ** 0.5
                means = (values.mean().item() for values in (*each, interaction, excess))
                yield task.name, first, second, *means, error.item()

    damages = ["damage_first", "damage_second", "damage_both"]
    return pd.DataFrame(rows(), columns=["task", "first", "second", *damages, "interaction", "excess", "error"])
