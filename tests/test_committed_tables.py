"""The committed damage tables are those of plain Hugging Face models, without TransformerLens and without our engines."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_model import PlainModel
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from circuitlib.ablation.build import SEEDS
from circuitlib.ablation.tables import CONTROL, load_table
from circuitlib.companion.settings import PUBLISHED
from circuitlib.paths import RESULTS
from circuitlib.subjects.checkpoints import local_checkpoint
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import control_spans

TABLES = sorted(RESULTS.glob("*/damage_*.safetensors"))


@cache
def plain_model(subject: str) -> tuple[PlainModel, Any]:
    """A subject as transformers loads it, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(local_checkpoint(subject), dtype=torch.float32)
    return PlainModel(model, folded=True), load_subject(subject).tokenizer


def sampled(table: Any, count: int = 2) -> tuple[list[int], list[int]]:
    """Rows drawn with a seed, and heads: the one that does most damage, and some drawn."""
    rng = np.random.default_rng(len(table.name))
    heads = rng.choice(table.damage.shape[1], count, replace=False).tolist()
    best = int(table.damage.mean(0).argmax())
    return sorted(rng.choice(len(table), count, replace=False).tolist()), [best, *heads]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_sampled_heads_agree_with_the_plain_model(path: Any) -> None:
    subject = path.parent.name
    if local_checkpoint(subject) is None:
        pytest.skip(f"{subject} is not here; `make smollm2` fetches it")
    table, (plain, tokenizer) = load_table(path), plain_model(subject)
    part, count = table.provenance["part"], len(table)
    rows, heads = sampled(table)
    if table.name == CONTROL:
        spans = control_spans(tokenizer, count, SEEDS[part], part, table.provenance["text"])
        prompts = [(spans[[row]], lambda logits, row=row: loss_of(logits, spans[row])) for row in rows]
    else:
        groups = TASKS[table.name].prompts(tokenizer, count, SEEDS[part])
        singles = [group[torch.tensor([i])] for group in groups for i in range(len(group))]
        prompts = [
            (single.tokens, lambda logits, single=single: metric_of(logits, single))
            for single in (singles[row] for row in rows)
        ]
    for row, (tokens, score) in zip(rows, prompts, strict=True):
        zero = plain.instead("zero", tokens)
        clean = score(plain.logits(tokens, None, zero))
        assert_close(table.clean[row], clean, atol=1e-4, rtol=0)
        for head in heads:
            ablated = score(plain.logits(tokens, head, zero))
            sign = -1 if table.name == CONTROL else 1
            assert_close(table.damage[row, head], sign * (clean - ablated), atol=1e-4, rtol=0)
    assert table.damage[rows][:, heads].abs().max() > 1e-3, "damages to compare"


def loss_of(logits: Tensor, span: Tensor) -> Tensor:
    """Mean next-token loss in nats."""
    return F.cross_entropy(logits[0, :-1], span[1:])


def metric_of(logits: Tensor, prompt: Any) -> Tensor:
    """The logit difference of two answers, or the difference of the probabilities of two sets."""
    last = logits[0, -1]
    values = last if len(prompt.candidates[0]) == 2 else last.softmax(-1)
    return (prompt.signs[0] * values[prompt.candidates[0]]).sum()


def test_every_published_subject_has_tables() -> None:
    assert {path.parent.name for path in TABLES} == set(PUBLISHED)
