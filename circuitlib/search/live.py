"""Episodes swept on fresh prompts at every draw, as in the paper."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitlib.ablation.sweep import engine
from circuitlib.ablation.tables import reward
from circuitlib.search.episodes import BATCH, Episode
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS, Prompts
from circuitlib.tasks.control_text import Part, Text, control_spans, default_text


class LiveRewards:
    """Episodes swept on fresh prompts at every draw, as in the paper. No table, and no speed.

    text: the control text; the subject's own by default.
    """

    def __init__(
        self,
        subject: Subject,
        tasks: Sequence[str],
        part: Part = "train",
        penalty: float = 1.0,
        batch: int = BATCH,
        text: Text | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.heads = subject.heads
        self.batch = batch
        self.penalty = penalty
        self._subject = subject
        self._part: Part = part
        self._text = text or default_text(subject.name)
        self._engine = engine(subject)

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode of a task drawn uniformly, on prompts drawn for it alone."""
        task = int(rng.integers(len(self.tasks)))
        tokenizer = self._subject.tokenizer
        prompts = TASKS[self.tasks[task]].prompts(tokenizer, self.batch, int(rng.integers(2**31)))
        spans = control_spans(
            tokenizer, self.batch, int(rng.integers(2**31)), self._part, self._text
        )
        return Episode(task, self.rewards_of(self.tasks[task], prompts, spans))

    def rewards_of(self, task: str, prompts: Sequence[Prompts], spans: Tensor) -> np.ndarray:
        """The reward of each head ``[heads]`` on these prompts and spans."""
        damage = torch.cat([self._engine.task(g, TASKS[task].metric).damage for g in prompts])
        general = self._engine.control(spans).damage
        return reward(damage.mean(0), general.mean(0), self.penalty).numpy()
