"""Does a subject do its tasks, and how well does it read prose? Clean passes, no head ablated."""

from collections.abc import Iterator, Sequence

import pandas as pd

from circuitlib.ablation.hooks import hooked_control, hooked_scores
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Task
from circuitlib.tasks.prose import held_out_spans


def measure_behaviours(subject: Subject, tasks: Sequence[Task], count: int, seed: int) -> pd.DataFrame:
    """On ``count`` prompts of each task, drawn with ``seed``. Columns: task, metric, prompts, right (share of prompts with a
    positive metric), mean (of the metric), and the last row ``prose``: next-token loss in nats."""

    def rows() -> Iterator[tuple[str, str, int, float, float]]:
        for task in tasks:
            score = hooked_scores(subject, task, count, seed).clean
            right = (score > 0).double().mean().item()
            yield task.name, task.metric.name, len(score), right, score.mean().item()
        spans = held_out_spans(subject.tokenizer)
        loss = hooked_control(subject, spans, [()]).mean().item()
        yield "prose", "next-token loss", len(spans), float("nan"), loss

    return pd.DataFrame(rows(), columns=["task", "metric", "prompts", "right", "mean"])
