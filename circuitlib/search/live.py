"""Episodes swept on fresh prompts at every draw, as in the paper. No table, and no speed."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.engine import ZERO, Ablation
from circuitlib.ablation.sweep import engine
from circuitlib.ablation.tables import reward
from circuitlib.search.episodes import BATCH, Episode, refuse_penalty, signal_of
from circuitlib.subjects.load import Subject
from circuitlib.tasks.base import Prompts, Task
from circuitlib.tasks.control_text import Part, Text, control_spans, other_spans


class LiveEpisodes:
    """Episodes of a subject, each on a batch of its own.

    part, text: the control text, the subject's own by default. penalty: lambda.
    Raises ``ValueError`` for a penalty that is not a finite number, no prompts in a batch, no task, or one of them twice.
    """

    def __init__(
        self,
        subject: Subject,
        tasks: Sequence[Task],
        ablation: Ablation = ZERO,
        part: Part = "train",
        penalty: float = 1.0,
        batch: int = BATCH,
        text: Text | None = None,
    ) -> None:
        refuse_penalty(penalty)
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.tasks = tuple(task.name for task in tasks)
        if not 0 < len(set(self.tasks)) == len(self.tasks):
            raise ValueError(f"tasks must be different, and at least one: {', '.join(self.tasks) or 'none'}")
        self.heads = subject.heads
        self.batch, self.penalty = batch, penalty
        self._tasks, self._ablation, self._tokenizer = tasks, ablation, subject.tokenizer
        self._control = partial(
            control_spans, self._tokenizer, batch, part=part, text=text or subject.card.control_text
        )
        self._engine = engine(subject, ablation)

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly, on prompts drawn for it alone."""
        task = self._tasks[int(rng.integers(len(self.tasks)))]
        first, second = (int(rng.integers(2**31)) for _ in range(2))
        prompts, spans = task.prompts(self._tokenizer, self.batch, first), self._control(second)
        return Episode(signal_of(self.tasks, task.name), self.rewards_of(task, prompts, spans), task.name)

    def rewards_of(
        self, task: Task, prompts: Sequence[Prompts], spans: Int[Tensor, "spans pos"]
    ) -> Float[np.ndarray, " heads"]:
        """What each head pays on these prompts and spans."""
        damage = torch.cat([self._engine.task(group, task.metric).damage for group in prompts])
        other = other_spans(spans) if self._ablation.kind == "resample" else None
        general = self._engine.control(spans, other).damage
        return reward(damage.mean(0), general.mean(0), self.penalty).numpy()
