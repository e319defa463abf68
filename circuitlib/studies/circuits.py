"""Circuits: are some heads enough for a task, and does the model need them? Heads kept, or ablated, all together.

A single-head reward says what one head is worth while all others work; a circuit is a set, and a set can be worth more or less than
its heads. It is *enough* where the score stays with every other head ablated (faithfulness), and *needed* where nothing of the score
is left with it ablated, which is one case of completeness, that of all of its subsets (Wang et al. 2022, arXiv 2211.00593, who put means in the heads'
place). MLPs are left alone.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd

from circuitlib.ablation.build import ablation_of
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.hooks import hooked_scores
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Task

Rankings = Mapping[str, Sequence[Sequence[int]]]
"""By name, orders of heads, best first; more than one where a ranking is drawn by chance."""

DECIMALS = 4
"""Of a score in logits or nats: what rounding leaves of it."""


def measure_circuits(
    subject: Subject,
    rankings: Mapping[Task, Rankings],
    sizes: Sequence[int],
    count: int,
    seed: int,
    kinds: Sequence[AblationKind],
    text: Text,
) -> pd.DataFrame:
    """The first n heads of each task's rankings, for each of ``sizes`` and for none, by hooks, on ``count`` prompts drawn with ``seed``.

    kinds, text: what takes a head's place, see :func:`circuitlib.ablation.build.ablation_of`.

    Columns: task, ablation (the kind), ranking, order (of those of the ranking), heads (n), prompt, and two scores of the task's metric on
    it: kept (all other heads ablated; of no heads: all) and ablated (these; of no heads: none).

    Raises ``ValueError``, before anything is measured, for an order without so many different heads of the subject."""
    for task, orders in rankings.items():
        for ranking, several in orders.items():
            for order in several:
                if len(set(order[: max(sizes)]) & set(range(subject.heads))) < max(sizes):
                    raise ValueError(
                        f"{task.name}, {ranking}: no order of {max(sizes)} different heads, of 0 to {subject.heads - 1}"
                    )
    frames = []
    every = range(subject.heads)
    for (task, orders), kind in product(rankings.items(), kinds):
        asked = [
            ((ranking, i, n), tuple(head for head in every if head not in order[:n]), tuple(sorted(order[:n])))
            for ranking, several in orders.items()
            for i, order in enumerate(several)
            for n in (0, *sizes)
        ]
        # Many of them are the same set: n heads of any ranking that agrees on them.
        sets = list(dict.fromkeys(heads for _, *both in asked for heads in both))
        scores = hooked_scores(subject, task, count, seed, sets, ablation_of(kind, subject.tokenizer, text)).ablated
        of = dict(zip(sets, scores.T.numpy().round(DECIMALS), strict=True))
        for (ranking, i, n), rest, circuit in asked:
            names = {"task": task.name, "ablation": kind, "ranking": ranking, "order": i, "heads": n}
            frames.append(
                pd.DataFrame(names | {"prompt": range(len(scores)), "kept": of[rest], "ablated": of[circuit]})
            )
    return pd.concat(frames, ignore_index=True)
