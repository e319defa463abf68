"""What a head does, read off its attention: who looks from where to where.

The scores are mean attention weights between positions that a prompt's roles name, the way the
literature found its heads: an induction head looks from the second A to the token after the first
(Olsson et al. 2022), a duplicate-token head from the second S to the first, an S-inhibition head from
the end to the second S, a name mover from the end to the indirect object (Wang et al. 2022, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS, Prompts

END = "END"


@dataclass(frozen=True)
class Detector:
    """Mean attention from one role to another on a task's prompts; ``END`` is the scored position,"""

    name: str
    task: str
    looks_from: str
    looks_at: str


DETECTORS = (
    Detector("previous token", "induction", "B", "A1"),
    Detector("duplicate token", "ioi", "S2", "S1"),
    Detector("induction", "induction", "A2", "B"),
    Detector("S-inhibition", "ioi", END, "S2"),
    Detector("name mover", "ioi", END, "IO"),
    Detector("argument mover", "docstring", END, "D"),
)


@torch.inference_mode()
def attention(subject: Subject, prompts: Prompts, looks_from: str, looks_at: str) -> Float[Tensor, "batch heads"]:
    """Each head's attention weight from one role's position to another's, prompt by prompt."""
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(subject.layers)]
    _, cache = subject.bridge.run_with_cache(prompts.tokens, names_filter=lambda name: name in names)
    end = torch.full((len(prompts),), prompts.last)
    source = end if looks_from == END else prompts.roles[looks_from]
    rows = torch.arange(len(prompts))
    target = prompts.roles[looks_at]
    return torch.cat([cache[name][rows, :, source, target] for name in names], dim=1)


def detect(subject: Subject, tasks: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """The score of every head on every detector of these tasks: columns detector, head, score (0 to 1)."""
    rows: list[tuple[str, int, float]] = []
    for detector in DETECTORS:
        if detector.task in tasks:
            groups = TASKS[detector.task].prompts(subject.tokenizer, count, seed)
            looks = detector.looks_from, detector.looks_at
            scores = torch.cat([attention(subject, group, *looks) for group in groups]).mean(0)
            rows += [(detector.name, head, score) for head, score in enumerate(scores.tolist())]
    return pd.DataFrame(rows, columns=["detector", "head", "score"])
