"""What hangs on what prompts begin with: the subject's own token, another, or none."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from circuitlib.ablation.build import SEEDS, Measurement, Recipe
from circuitlib.ablation.hooks import hooked_at_once, hooked_scores, run
from circuitlib.ablation.tables import DamageTable
from circuitlib.subjects.beginning import NO_TOKEN, beginning
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.load import Subject
from circuitlib.tasks.base import encode_texts
from circuitlib.tasks.control_text import control_paragraphs
from circuitlib.tasks.prose import SPAN


def measure_beginnings(
    subject: Subject,
    others: Sequence[str],
    tables: Sequence[tuple[Recipe, DamageTable]],
    count: int,
    text: Text,
    spans: int,
) -> pd.DataFrame:
    """Prompts that begin as the subject's do, with each of the ``others``, and what its ``tables`` of tasks say then.

    count: rows of each table on which heads are ablated. spans: of the control ``text``, for the loss.

    Columns: bos, loss (nats, clean, of the same tokens of control text each time), task, clean (mean metric over the
    prompts of the table), right (share of them with a positive metric), and, over ``count`` of them, rank_correlation of the
    heads' damages and shared_5 (of the five heads that do most damage, those that are the same) with the subject's own."""

    def rows() -> Iterator[tuple[object, ...]]:
        tokens = _without_beginning(subject, text, spans)
        for begun in (subject, *map(subject.with_bos, others)):
            loss = _loss(begun, tokens)
            for recipe, table in tables:
                if recipe.task is None:
                    raise ValueError("there must be tables of tasks, and one is of the control text")
                chosen = recipe.some_rows(count)
                own = damage = table.damage[chosen].mean(0)
                clean = table.clean
                if begun is not subject:
                    damage = Measurement(begun, recipe).rows(chosen).damage.mean(0)
                    clean = hooked_scores(begun, recipe.task, recipe.count, SEEDS[recipe.part]).clean
                correlation = pd.Series(damage).rank().corr(pd.Series(own).rank())
                shared = set(damage.topk(5).indices.tolist()) & set(own.topk(5).indices.tolist())
                right = (clean > 0).double().mean().item()
                yield begun.card.bos, loss, recipe.name, clean.mean().item(), right, correlation, len(shared)

    columns = ["bos", "loss", "task", "clean", "right", "rank_correlation", "shared_5"]
    return pd.DataFrame(rows(), columns=columns)


def _without_beginning(subject: Subject, text: Text, count: int) -> Int[Tensor, "n pos"]:
    """The first tokens of the first ``count`` paragraphs of a control text that are long enough."""
    paragraphs = encode_texts(subject.with_bos(NO_TOKEN).tokenizer, control_paragraphs(text))
    return torch.tensor([ids[: SPAN - 1] for ids in paragraphs if len(ids) >= SPAN - 1][:count])


def _loss(subject: Subject, tokens: Int[Tensor, "n pos"]) -> float:
    """The mean loss (nats) of these tokens but the first, after what the subject's prompts begin with."""
    tokens = tokens.to(subject.bridge.W_E.device)
    losses, first = [], torch.tensor(beginning(subject.tokenizer), dtype=tokens.dtype, device=tokens.device)
    for some in tokens.split(hooked_at_once(subject)):
        begun = torch.cat([first.expand(len(some), -1), some], dim=1)
        logits = run(subject.bridge, begun)[:, len(first) : -1]
        losses.append(F.cross_entropy(logits.mT, some[:, 1:], reduction="none").mean(1))
    return torch.cat(losses).mean().item()
