"""What a head does, read off its attention and its weights: who looks from where to where, and who writes what it reads.

Attention scores are mean attention weights between positions that a prompt's roles name, the way the literature found
its heads: an induction head looks from the second A to the token after the first (Olsson et al. 2022, arXiv 2209.11895), a
duplicate-token head from the second S to the first, an S-inhibition head from the end to the second S, a name mover
from the end to the indirect object (Wang et al. 2022, arXiv 2211.00593, section 3). Copying scores, after the same (section 3.1), say what
a head would write if it attended to a name and nothing else: the name itself, or its opposite. Theirs are over names
where prompts have them; here each name that answers a prompt stands alone, right after the beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitlib.subjects.beginning import beginning
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Prompts, Task
from circuitlib.tasks.docstring import DOCSTRING
from circuitlib.tasks.induction import INDUCTION
from circuitlib.tasks.ioi import IOI

END = "END"

COPIED = 5
"""A name is copied when it is among so many tokens of the largest logits."""


@dataclass(frozen=True)
class Attention:
    """Mean attention from one role to another on a task's prompts; ``END`` is the scored position."""

    name: str
    task: Task
    looks_from: str
    looks_at: str

    @property
    def reads(self) -> str:
        """What it reads, in words."""
        return f"attention from {self.looks_from} to {self.looks_at}"

    def scores(self, subject: Subject, groups: Sequence[Prompts]) -> Float[Tensor, " heads"]:
        """The score of every head, 0 to 1."""
        weights = [attention(subject, group, self.looks_from, self.looks_at) for group in groups]
        return torch.cat(weights).mean(0)


@dataclass(frozen=True)
class Copying:
    """The share of a task's answers that a head copies when it attends to them, or suppresses (``sign`` -1)."""

    name: str
    task: Task
    sign: int

    @property
    def reads(self) -> str:
        """What it reads, in words."""
        return f"{COPIED} largest logits of {'' if self.sign > 0 else 'minus '}the OV circuit"

    def scores(self, subject: Subject, groups: Sequence[Prompts]) -> Float[Tensor, " heads"]:
        """The score of every head, 0 to 1."""
        answers = torch.cat([group.candidates.flatten() for group in groups]).unique()
        return copied(subject, answers, self.sign).double().mean(0)


DETECTORS: tuple[Attention | Copying, ...] = (
    Attention("previous token", INDUCTION, "B", "A1"),
    Attention("duplicate token", IOI, "S2", "S1"),
    Attention("induction", INDUCTION, "A2", "B"),
    Attention("S-inhibition", IOI, END, "S2"),
    Attention("name mover", IOI, END, "IO"),
    Copying("copies names", IOI, 1),
    Copying("suppresses names", IOI, -1),
    Attention("argument mover", DOCSTRING, END, "D"),
)


@torch.inference_mode()
def attention(subject: Subject, prompts: Prompts, looks_from: str, looks_at: str) -> Float[Tensor, "batch heads"]:
    """Each head's attention weight from one role's position to another's, prompt by prompt."""
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(subject.layers)]
    _, cache = subject.bridge.run_with_cache(
        prompts.tokens.to(subject.bridge.W_E.device), names_filter=lambda name: name in names
    )
    end = torch.full((len(prompts),), prompts.last)
    source = end if looks_from == END else prompts.roles[looks_from]
    rows = torch.arange(len(prompts))
    target = prompts.roles[looks_at]
    return torch.cat([cache[name][rows, :, source, target] for name in names], dim=1).cpu()


@torch.inference_mode()
def copied(subject: Subject, tokens: Int[Tensor, " n"], sign: int) -> Bool[Tensor, "n heads"]:
    """Whether each head, attending to nothing but a token, writes that token: it is among the ``COPIED`` largest
    logits of what the head would write, times ``sign``.

    The head reads what the token has become after the first block, right after the beginning of every prompt.
    """
    bridge, columns = subject.bridge, []
    tokens = tokens.to(bridge.W_E.device)
    first = torch.tensor(beginning(subject.tokenizer), dtype=tokens.dtype, device=tokens.device).expand(len(tokens), -1)
    begun = torch.cat([first, tokens[:, None]], dim=1)
    name = "blocks.0.hook_out"
    _, cache = bridge.run_with_cache(begun, names_filter=lambda hook: hook == name)
    for block in bridge.blocks:
        values = torch.einsum("nm,kmd->nkd", block.ln1(cache[name][:, -1:])[:, 0], block.attn.W_V)
        if block.attn.b_V is not None:  # of raw weights; folded, it is part of the output's bias
            values = values + block.attn.b_V.view(values.shape[1:])
        shared = subject.heads_per_layer // values.shape[1]  # heads with the same values
        for head in range(subject.heads_per_layer):
            written = sign * values[:, head // shared] @ block.attn.W_O[head]
            largest = bridge.unembed(bridge.ln_final(written[:, None]))[:, 0].topk(COPIED).indices
            columns.append((largest == tokens[:, None]).any(-1))
    return torch.stack(columns, dim=1).cpu()


def detect(subject: Subject, detectors: Sequence[Attention | Copying], count: int, seed: int) -> pd.DataFrame:
    """The score of every head on every detector, on ``count`` prompts of its task, drawn with ``seed``: columns detector, task, head, score
    (0 to 1)."""
    rows: list[tuple[str, str, int, float]] = []
    for detector in detectors:
        scores = detector.scores(subject, detector.task.prompts(subject.tokenizer, count, seed))
        rows += [(detector.name, detector.task.name, head, score) for head, score in enumerate(scores.tolist())]
    return pd.DataFrame(rows, columns=["detector", "task", "head", "score"])
