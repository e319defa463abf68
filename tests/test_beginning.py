"""What a prompt begins with is the caller's choice, and part of the subject."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib.ablation.build import SEEDS
from circuitlib.ablation.head_damage import head_damage
from circuitlib.companion import frames
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import StaleResult
from circuitlib.paths import RUNS
from circuitlib.subjects.beginning import beginning, beginning_with
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS, Prompts
from circuitlib.tasks.control_text import SPAN, control_paragraphs, control_spans

PROMPT = ("When Mary and John went to the store, John gave a book to", " Mary", " John")


def test_another_token_or_none_begins_every_prompt_and_span(embedded: Subject) -> None:
    """And nothing else changes: the tokens after it, the roles, the answers."""
    subject = embedded
    other = subject.with_bos("Ġthe")
    nothing = subject.with_bos("none")
    assert (other.card.bos, nothing.card.bos) == ("Ġthe", "none")
    assert subject.with_bos("default") is subject
    (the,) = subject.tokenizer.encode(" the", add_special_tokens=False)
    for task in TASKS.values():
        own, others, bare = (task.prompts(s.tokenizer, 8, seed=3) for s in (subject, other, nothing))
        for a, b, c in zip(own, others, bare, strict=True):
            assert a.tokens[:, 0].eq(subject.tokenizer.bos_token_id).all()
            assert b.tokens[:, 0].eq(the).all()
            assert a.tokens[:, 1:].equal(b.tokens[:, 1:])
            assert a.tokens[:, 1:].equal(c.tokens)
            assert a.candidates.equal(b.candidates)
            assert a.candidates.equal(c.candidates)
            for role, positions in a.roles.items():
                assert positions.equal(b.roles[role])
                assert positions.equal(c.roles[role] + 1)
    spans = [control_spans(s.tokenizer, 4, 1, "train") for s in (subject, other, nothing)]
    # Every paragraph begins so, and a span runs over several.
    assert spans[1].equal(spans[0].where(spans[0] != subject.tokenizer.bos_token_id, the))
    assert [some.shape[1] for some in spans] == [SPAN, SPAN, SPAN - 1]
    assert beginning(subject.tokenizer) == [subject.tokenizer.bos_token_id], "the subject's own is not changed"


def test_no_such_token(embedded: Subject) -> None:
    with pytest.raises(ValueError, match="bos must be a token of the vocabulary, 'default' or 'none', not '<nobody>'"):
        embedded.with_bos("<nobody>")
    with pytest.raises(ValueError, match="bos must be a token"):
        load_subject(bos="<nobody>")


def test_head_damage_is_that_of_the_prompt_so_begun(embedded: Subject) -> None:
    """Against a prompt that spells the other token out after nothing."""
    subject = embedded
    spelled = (" the" + PROMPT[0], *PROMPT[1:])
    begun = head_damage(subject, [PROMPT], bos="Ġthe")
    written = head_damage(subject, [spelled], bos="none")
    own = head_damage(subject, [PROMPT])
    pd.testing.assert_frame_equal(begun, written)
    assert np.abs(begun["damage"] - own["damage"]).max() > 0.01
    tokenised = TASKS["ioi"].prompts(subject.tokenizer, 2, seed=0)
    with pytest.raises(ValueError, match="begin as they do"):
        head_damage(subject, tokenised, bos="none")


def test_a_run_knows_what_its_prompts_begin_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("circuitlib.companion.run.ROOT", tmp_path)
    output = str(RUNS.name)
    run = Run(Settings(bos="none"), output)
    assert run.card.bos == "none"
    assert Run(Settings(bos="none"), output).card == run.card
    assert Run(Settings(), output).folder != run.folder
    another = Run(Settings(bos="Ġthe"), output)
    another.folder.mkdir()
    shutil.copy(run.folder / "subject.json", another.folder)
    with pytest.raises(StaleResult, match="is of the bos none, and this run of Ġthe"):
        _ = another.card


def test_a_tokenizer_of_its_own_keeps_its_beginning(embedded: Subject) -> None:
    tokenizer = embedded.tokenizer
    assert beginning_with(tokenizer, "default") is tokenizer
    assert beginning(beginning_with(tokenizer, "none")) == []
    assert torch.tensor(beginning(tokenizer)).tolist() == [tokenizer.bos_token_id]


@pytest.mark.long
@torch.inference_mode()
def test_the_robustness_table_is_measured_on_the_same_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its loss against the plain model's, paragraph by paragraph; its damages against a call for users."""
    monkeypatch.setattr("circuitlib.companion.run.ROOT", tmp_path)
    run = Run(Settings(evaluation_prompts=32, training_tasks=("ioi",), check_tasks=False), RUNS.name)
    monkeypatch.setitem(frames.BEGINNINGS, "gpt2-mini", ("Ġthe",))
    frame = frames.beginnings(run)
    assert list(frame["bos"].unique()) == ["<|endoftext|>", "Ġthe", "none"]
    own = frame[frame["bos"] == run.card.bos]
    assert (own["rank_correlation"] == 1).all()
    assert (own["shared_5"] == 5).all()
    model, tokenizer = run.subject.bridge.original_model, run.subject.tokenizer
    texts = [tokenizer.encode(text, add_special_tokens=False) for text in control_paragraphs("docstrings")]
    texts = [ids[: SPAN - 1] for ids in texts if len(ids) >= SPAN - 1][:32]
    for bos, first in (("<|endoftext|>", [tokenizer.bos_token_id]), ("none", [])):
        tokens = torch.tensor([first + ids for ids in texts])
        log_probs = model(tokens).logits.log_softmax(-1)
        losses = -log_probs[:, :-1].gather(-1, tokens[:, 1:, None])[:, -(SPAN - 2) :]
        assert losses.mean().item() == pytest.approx(frame.loc[frame["bos"] == bos, "loss"].iloc[0], abs=1e-4)
    begun = head_damage(run.subject, _some(run, run.subject.with_bos("none")))["damage"]
    expected = begun.rank().corr(head_damage(run.subject, _some(run, run.subject))["damage"].rank())
    row = frame[(frame["bos"] == "none") & (frame["task"] == "ioi")].iloc[0]
    assert row["rank_correlation"] == pytest.approx(expected, abs=0.01)
    means = [run.table(name, "evaluation").clean.mean().item() for name in own["task"]]
    assert own["clean"].tolist() == pytest.approx(means, abs=1e-4)


def _some(run: Run, subject: Subject) -> list[Prompts]:
    """The prompts of those rows of the evaluation table that the damages are of."""
    recipe, first, kept = run.recipe("ioi", "evaluation"), 0, []
    rows = recipe.some_rows(frames.closer_prompts(run))
    for group in TASKS["ioi"].prompts(subject.tokenizer, recipe.count, SEEDS["evaluation"]):
        inside = rows[(rows >= first) & (rows < first + len(group))]
        kept += [group[inside - first]] if len(inside) else []
        first += len(group)
    return kept
