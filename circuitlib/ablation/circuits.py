"""Circuits: are some heads enough for a task, and does the model need them? Heads kept, or ablated, all together.

A single-head reward says what one head is worth while all others work; a circuit is a set, and a set can be worth more or less than
its heads. It is *enough* where the score stays with every other head ablated (faithfulness), and *needed* where nothing of the score
is left with it ablated, which is one case of completeness, that of all of its subsets (Wang et al. 2022, arXiv 2211.00593, who put means in the heads'
place). MLPs are left alone.
"""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch

from circuitlib.ablation.build import ablation_of
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.hooks import hooked_task
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS

Rankings = Mapping[str, Sequence[Sequence[int]]]
"""By name, orders of heads, best first; more than one where a ranking is drawn by chance."""


def measure_circuits(
    subject: Subject,
    rankings: Mapping[str, Rankings],
    sizes: Sequence[int],
    count: int,
    seed: int,
    kind: AblationKind,
    text: Text,
) -> pd.DataFrame:
    """The first n heads of each task's rankings, for each of ``sizes``, by hooks, on ``count`` prompts drawn with ``seed``.

    kind, text: what takes a head's place, see :func:`circuitlib.ablation.build.ablation_of`.

    Columns: task, ranking, order (of those of the ranking), heads (n), prompt, and four scores of the task's metric on it: kept (all
    other heads ablated), ablated (these), clean (none), empty (all)."""
    ablation, everything = ablation_of(kind, subject.tokenizer, text), range(subject.heads)

    def frames() -> Iterator[pd.DataFrame]:
        for name, orders in rankings.items():
            task = TASKS[name]
            conditions = [
                (ranking, i, n, set(order[:n]))
                for ranking, several in orders.items()
                for i, order in enumerate(several)
                for n in sizes
            ]
            sets = [(), tuple(everything)]
            for *_, circuit in conditions:
                sets += [tuple(head for head in everything if head not in circuit), tuple(sorted(circuit))]
            groups = task.prompts(subject.tokenizer, count, seed)
            # Many conditions are the same set: n heads of any ranking that agrees on them.
            different = list(dict.fromkeys(sets))
            scores = torch.cat([hooked_task(subject, group, task.metric, different, ablation) for group in groups])
            of = dict(zip(different, scores.T.numpy(), strict=True))
            for i, (ranking, order, n, _) in enumerate(conditions):
                names = {"task": name, "ranking": ranking, "order": order, "heads": n, "prompt": range(len(scores))}
                kept, ablated = sets[2 * i + 2], sets[2 * i + 3]
                what = {"kept": of[kept], "ablated": of[ablated], "clean": of[sets[0]], "empty": of[sets[1]]}
                yield pd.DataFrame(names | what)

    return pd.concat(frames(), ignore_index=True)
