"""What is asked of a subject and of a task, whether they do it, and which heads lead, as tables for reading."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.build import SEEDS
from circuitlib.subjects.card import Card
from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks import TASKS

PAPERS = ("induction", "ioi", "docstring")
"""The tasks of the paper."""

PAPERS_RIGHT, PAPERS_MEAN, OTHERS_RIGHT = 0.95, 3.0, 0.90
"""What ``gpt2-mini`` was to reach, set before it was trained; SmolLM2 was not made to. On the paper's tasks: the share of prompts answered right, and the mean of the metric (logits); on the others:
that share alone."""


def bars_table(behaviours: pd.DataFrame) -> pd.DataFrame:
    """A row per task: its metric, how many prompts, the share answered right and the metric's mean; the bars of both, the second empty where there is none; and whether the task meets those that it has.

    behaviours: of :func:`circuitlib.companion.frames.behaviours`."""
    tasks = behaviours.query("task != 'prose'").set_index("task")
    papers = tasks.index.to_series().isin(PAPERS)
    right, mean = papers.map({True: PAPERS_RIGHT, False: OTHERS_RIGHT}), papers.map({True: PAPERS_MEAN, False: np.nan})
    meets = (tasks["right"] >= right) & ~(tasks["mean"] < mean)
    bars: dict[str, pd.Series] = {"bar": right, "bar of the mean": mean}
    return tasks.assign(**bars, **{"meets its bars": meets.map({True: "yes", False: "no"})})


def different_table(tasks: Sequence[str], tokenizer: Tokenizer, count: int) -> pd.DataFrame:
    """A row per task: of ``count`` prompts drawn for training, and as many for evaluation, how many are different, and how many are in both."""
    rows = []
    for name in tasks:
        drawn = [TASKS[name].prompts(tokenizer, count, seed) for seed in SEEDS.values()]
        train, evaluation = ({text for group in groups for text in group.text} for groups in drawn)
        rows.append((name, len(train), len(evaluation), len(train & evaluation)))
    return pd.DataFrame(rows, columns=["task", "different in train", "in evaluation", "in both"])


def beginnings_table(beginnings: pd.DataFrame) -> pd.DataFrame:
    """A row per token that prompts begin with, and task.

    beginnings: of :func:`circuitlib.companion.frames.beginnings`."""
    titles = {"clean": "mean metric", "shared_5": "of the five best, shared"}
    return beginnings.set_index(["bos", "task"]).rename(columns=titles)


def failed_checks(reports: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per check that a task has failed, by name; what was not measured has not failed.

    reports: of :func:`circuitlib.ablation.check_task.check_task`."""
    checks = pd.concat([report.assign(task=name) for name, report in reports.items()], ignore_index=True)
    failed = checks[checks["passed"].eq(False).fillna(False)]
    return failed[["task", "check", "value", "bar", "kind", "message"]]


def counted_heads(card: Card, heads: Int[Tensor, " e"]) -> str:
    """The heads by name, each with how many times it is there, the most first: ``L0.H4 26, L1.H4 4``."""
    return ", ".join(f"{card.head_name(head)} {count}" for head, count in Counter(heads.tolist()).most_common())


def leading_table(damages: Mapping[str, Float[Tensor, " heads"]], names: Sequence[str], count: int = 5) -> pd.DataFrame:
    """A row per task: its ``count`` leading heads by mean damage, how many of them lead on the first task, and how the damages of all heads correlate with those there."""
    first, *_ = damages.values()
    leading, rows = {*first.topk(count).indices.tolist()}, []
    for task, damage in damages.items():
        best = damage.topk(count).indices.tolist()
        correlation = np.corrcoef(damage.numpy(), first.numpy())[0, 1]
        rows.append((task, ", ".join(names[head] for head in best), len(leading.intersection(best)), correlation))
    columns = [
        "task",
        f"{count} leading heads, by damage",
        "of them leading on the first",
        "correlation with the first",
    ]
    return pd.DataFrame(rows, columns=columns)
