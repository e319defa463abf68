"""The top heads by elimination are those of the full sweep, exactly measured, for less."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from circuitlib.ablation.engine import Engine, Scores
from circuitlib.ablation.head_damage import head_damage
from circuitlib.ablation.hooks import Hooks
from circuitlib.ablation.sweep import Sweep
from circuitlib.ablation.top import FIRST, rounds, top_heads
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.base import LOGIT_DIFFERENCE, Metric, Prompts
from circuitlib.tasks.control_text import control_spans


class Recorded:
    """An engine that looks damages up, ``[prompts, heads]``; a prompt's first token is its row."""

    def __init__(self, damage: Tensor) -> None:
        self.damage, self.asked = damage, 0

    def task(self, prompts: Prompts, metric: Metric, heads: Sequence[int] | None = None) -> Scores:
        """The damages of these prompts."""
        rows = prompts.tokens[:, 0]
        chosen = range(self.damage.shape[1]) if heads is None else heads
        self.asked += len(rows) * len(chosen)
        return Scores(torch.zeros(len(rows)), -self.damage[rows][:, list(chosen)], loss=False)

    def control(self, spans: Tensor, counterfactual: Tensor | None = None, heads: object = None) -> Scores:
        """None are recorded."""
        raise NotImplementedError


def prompts_of(lengths: Sequence[int]) -> list[Prompts]:
    rows = torch.arange(sum(lengths)).split(list(lengths))
    return [Prompts("t", some[:, None], some[:, None], torch.ones(len(some), 1), [""] * len(some), {}) for some in rows]


@given(st.integers(1, 300))
def test_rounds_double_and_end_with_all(count: int) -> None:
    ends = rounds(count)
    assert ends[-1] == count
    assert ends == sorted(set(ends))
    assert all(after <= 2 * before for before, after in pairwise(ends))
    assert len(ends) == 1 or ends[0] == FIRST


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_what_is_returned_is_exact(one: int, other: int, top: int, seed: int, ties: bool) -> None:
    """On two groups of prompts, also where heads are equal: damages of all prompts, in order of their means, and never
    more work than the full sweep."""
    rng = np.random.default_rng(seed)
    damage = torch.from_numpy(rng.normal(rng.normal(size=12) * 2, 1.0, (one + other, 12)))
    if ties:
        damage[:, 6:] = damage[:, :6]
    engine = Recorded(damage)
    found = top_heads(engine, prompts_of([one, other]), LOGIT_DIFFERENCE, 12, top, seed=seed)
    assert torch.equal(found.damage, damage[:, found.heads])
    assert len(set(found.heads)) == top
    means = damage.mean(0)[found.heads]
    assert (means.diff() <= 0).all()
    assert engine.asked == round(found.measured * damage.numel()) <= damage.numel()
    if one + other <= FIRST:
        assert set(means.tolist()) == set(damage.mean(0).topk(top).values.tolist())


def test_the_stated_confidence_holds() -> None:
    """Two hundred draws of a hard case, many heads a little below the top: rarely is one of the top missing, and the
    work is a fraction. At one half the test is not idle: mistakes are seen, and fewer than stated."""
    wrong, measured = {0.95: 0, 0.5: 0}, []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        means = np.concatenate([np.full(3, 0.6), rng.uniform(-0.2, 0.5, 57)])
        damage = torch.from_numpy(rng.normal(means, 1.0, (256, 60)) + rng.normal(0, 1, (256, 1)))
        best = set(damage.mean(0).topk(3).indices.tolist())
        for confidence in wrong:
            found = top_heads(Recorded(damage), prompts_of([256]), LOGIT_DIFFERENCE, 60, 3, confidence, seed)
            wrong[confidence] += set(found.heads) != best
            measured += [found.measured] if confidence == 0.95 else []
    assert wrong[0.95] <= 0.05 * 200
    assert 0 < wrong[0.5] <= 0.5 * 200
    assert np.mean(measured) < 0.75


@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize("ablation", ["zero", "resample"])
def test_engines_ablate_the_heads_that_they_are_asked_for(checkpoint: Path, slow: bool, ablation: str) -> None:
    from circuitlib.ablation.engine import Ablation

    subject = load_subject(str(checkpoint))
    engine: Engine = (Hooks if slow else Sweep)(subject, Ablation(ablation))  # type: ignore[arg-type]
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 6, 0)[0]
    spans = control_spans(subject.tokenizer, 3, 0, "train")
    other = spans.roll(1, 0) if ablation == "resample" else None
    task, control = engine.task(prompts, LOGIT_DIFFERENCE), engine.control(spans, other)
    for heads in ([3], [0, 1, 7, subject.heads - 1]):
        some = engine.task(prompts, LOGIT_DIFFERENCE, heads)
        assert torch.allclose(some.ablated, task.ablated[:, heads], atol=1e-5)
        assert torch.allclose(some.clean, task.clean, atol=1e-5)
        assert torch.allclose(engine.control(spans, other, heads).ablated, control.ablated[:, heads], atol=1e-5)
    for bad in ([], [1, 1], [2, 1], [-1], [subject.heads]):
        with pytest.raises(ValueError, match="heads must be different numbers from 0 to"):
            engine.task(prompts, LOGIT_DIFFERENCE, bad)


def test_the_top_of_a_call_for_users() -> None:
    """On the embedded subject: the rows of the full table, for less work; general damage and reward of the same heads."""
    subject = load_subject()
    prompts = TASKS["induction"].prompts(subject.tokenizer, 64, 5)
    control = ["Return the number of items that are in the list.", "Read the file, and close it."]
    whole = head_damage(subject, prompts, control).nlargest(5, "damage").reset_index(drop=True)
    top = head_damage(subject, prompts, control, top=5)
    assert top["name"].tolist() == whole["name"].tolist()
    for column in ("damage", "standard_error", "general", "reward"):
        assert np.allclose(top[column], whole[column], atol=1e-5)
    assert top_heads(Sweep(subject), prompts, LOGIT_DIFFERENCE, subject.heads, 5).measured < 0.6
    for wrong in (0, subject.heads + 1):
        with pytest.raises(ValueError, match=f"top must be 1 to {subject.heads}"):
            head_damage(subject, prompts, top=wrong)
    with pytest.raises(ValueError, match="confidence between 0 and 1"):
        head_damage(subject, prompts, top=5, confidence=1.0)
