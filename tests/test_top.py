"""The top heads by elimination are those of the full sweep, exactly measured, for less."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_engine import Recorded, prompts_of

from circuitlib.ablation.engine import Engine
from circuitlib.ablation.head_damage import head_damage
from circuitlib.ablation.hooks import Hooks
from circuitlib.ablation.sweep import Sweep
from circuitlib.ablation.top import FIRST, rounds, top_heads, undecided
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.base import LOGIT_DIFFERENCE
from circuitlib.tasks.control_text import control_spans


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


@pytest.mark.parametrize(("equal", "top"), [(300, 1), (60, 3)])
def test_the_stated_confidence_holds(equal: int, top: int) -> None:
    """In the hardest case, where all heads are equal and the best of them is so by chance, and in one of some far below."""
    wrong = {0.9: 0, 0.99: 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        means = np.concatenate([np.zeros(equal), np.full(40, -1.0)])
        damage = torch.from_numpy(rng.normal(means, 1.0, (256, len(means))) + rng.normal(0, 1, (256, 1)))
        best = set(damage.mean(0).topk(top).indices.tolist())
        for confidence in wrong:
            found = top_heads(Recorded(damage), prompts_of([256]), LOGIT_DIFFERENCE, len(means), top, confidence, seed)
            wrong[confidence] += set(found.heads) != best
            assert found.measured < 1
    assert wrong[0.9] <= 6
    assert wrong[0.99] <= 1


def test_a_test_errs_as_often_as_it_says() -> None:
    """Two heads and a population of 40 prompts, of which 20 are seen: the better one is dropped about as often as the
    error allows, and not more."""
    dropped, error = 0, 0.2
    for seed in range(1000):
        damage = torch.from_numpy(np.random.default_rng(seed).normal(size=(40, 2)))
        best = int(damage.mean(0).argmax())
        dropped += best not in undecided(damage[:20], 40, 1, error).tolist()
    assert 0.25 * error < dropped / 1000 < error


@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize("ablation", ["zero", "resample"])
def test_engines_ablate_the_heads_that_they_are_asked_for(odd: Subject, slow: bool, ablation: str) -> None:
    from circuitlib.ablation.engine import Ablation

    subject = odd
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


def test_the_top_of_a_call_for_users(odd: Subject) -> None:
    """The rows of the full table, for less work; general damage and reward of the same heads."""
    subject = odd
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 16, 5)
    control = ["Return the number of items that are in the list.", "Read the file, and close it."]
    whole = head_damage(subject, prompts, control).nlargest(2, "damage").reset_index(drop=True)
    top = head_damage(subject, prompts, control, top=2)
    assert top["name"].tolist() == whole["name"].tolist()
    for column in ("damage", "standard_error", "general", "reward"):
        assert np.allclose(top[column], whole[column], atol=1e-5)


def test_a_top_that_there_is_not_is_refused_before_anything_is_measured(
    odd: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = odd
    monkeypatch.setattr("circuitlib.ablation.sweep.engine", None)
    prompt = [("Mary and John met, and John gave a book to", " Mary", " John")]
    for wrong in (0, subject.heads + 1):
        with pytest.raises(ValueError, match=f"top must be 1 to {subject.heads}"):
            head_damage(subject, prompt, top=wrong)
    with pytest.raises(ValueError, match="confidence between 0 and 1"):
        head_damage(subject, prompt, top=5, confidence=1.0)
