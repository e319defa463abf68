"""The embedded subject's training: rows are what they say, and an interrupted job goes on exactly."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from circuitlib.paths import RUNS
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.workshop import pretrain
from circuitlib.workshop.pretrain import Phase, Rows, bigram_loss, drop_heads, held_out_spans, measure, new_model, train

SHARES = {"prose": 0.25, "induction": 0.25, "ioi": 0.25, "docstring": 0.25}


@pytest.fixture
def rows(tokenizer: PreTrainedTokenizerFast) -> Rows:
    prose = np.random.default_rng(0).integers(1, len(tokenizer), size=4000).astype(np.int16)
    return Rows(tokenizer, prose)


def test_what_counts_repeats_what_came_before(rows: Rows) -> None:
    tokens, weights = rows.draw("induction", 50, 20, 256, np.random.default_rng(0))
    assert tokens.shape == weights.shape == (50, 20)
    assert weights.any(1).mean() > 0.8
    for line, weight in zip(tokens, weights, strict=True):
        for at in np.flatnonzero(weight):
            before = list(pairwise(line[:at].tolist()))
            assert (line[at - 1], line[at]) in before


def test_answers_weigh_most(rows: Rows, tokenizer: PreTrainedTokenizerFast) -> None:
    tokens, weights = rows.draw("pronoun", 20, 64, 256, np.random.default_rng(0))
    assert (tokens[:, 0] == tokenizer.bos_token_id).all()
    answers = {tokenizer.decode([t]) for t in tokens[weights == 2.0]}
    assert answers == {" he", " she"}


def test_a_batch_is_a_function_of_seed_and_step(rows: Rows) -> None:
    phase = Phase(1, 8, 32, SHARES, 256, 0.0)
    first, again, other = (rows.batch(phase, np.random.default_rng([0, step]))[0] for step in (1, 1, 2))
    assert first.shape == (8, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_bigram_loss_of_a_known_chain() -> None:
    chain = np.tile(np.array([0, 1, 2, 3], dtype=np.int16), 500)
    held_out = torch.from_numpy(chain[:400].astype(np.int64)).view(4, 100)
    assert bigram_loss(chain, held_out, 4) == pytest.approx(-np.log(0.99 + 0.01 * 0.25), abs=1e-3)


def test_dropped_heads_add_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(0, tokenizer)
    tokens = torch.randint(0, 100, (3, 10), generator=torch.Generator().manual_seed(0))
    clean = model(tokens).logits
    hooks = drop_heads(model, torch.full((12, 12), 0.9999), torch.Generator().manual_seed(1))
    dropped = model(tokens).logits
    for hook in hooks:
        hook.remove()
    assert torch.equal(model(tokens).logits, clean)
    attention_free = [b.attn.c_proj.register_forward_pre_hook(lambda m, a: (a[0] * 0,)) for b in model.transformer.h]
    assert torch.allclose(model(tokens).logits, dropped, atol=1e-4)
    assert len(attention_free) == 12


def test_measured_as_by_hand(rows: Rows, tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(0, tokenizer).eval()
    spans = held_out_spans(rows.prose, tokenizer.bos_token_id, spans=3, length=20)
    measured = measure(model, tokenizer, spans, 4)
    for name, task in TASKS.items():
        right, means = [], []
        for group in task.prompts(tokenizer, 4, seed=7):
            for tokens, candidates, signs in zip(group.tokens, group.candidates, group.signs, strict=True):
                logits = model(tokens[None]).logits[0, -1].detach()
                if name == "greater_than":
                    logits = logits.softmax(-1)
                means.append(sum(s * logits[a] for a, s in zip(candidates, signs, strict=True)))
                right.append(float(means[-1] > 0))
        assert measured[name] == pytest.approx(float(np.mean(means)), abs=1e-5)
        assert measured[f"{name}_right"] == np.mean(right)
    loss = model(spans, labels=spans).loss.item()
    assert measured["prose_loss"] == pytest.approx(loss, abs=1e-5)


@pytest.fixture
def begun(tmp_path: Path, rows: Rows, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a training reads; none measures how good it is."""
    tokenizer.save_pretrained(tmp_path / "work" / "tokenizer")
    for part in ("train", "held_out"):
        np.save(tmp_path / "work" / f"{part}.npy", rows.prose)
    monkeypatch.setattr(pretrain, "measure", lambda *_: {})
    return tmp_path / "work"


def test_a_subject_is_there_whole_or_not_at_all(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_step, real, directory = (
        (Phase(1, 4, 16, {"induction": 1.0}, 256, 0.0),),
        pretrain.save_subject,
        tmp_path / "made",
    )

    def stopped(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "save_subject", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(0, one_step, begun, directory)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    train(0, one_step, begun, directory)
    assert {"config.json", "model.safetensors", "tokenizer.json", "training_log.csv"} <= {
        path.name for path in directory.iterdir()
    }
    assert {path.name for path in tmp_path.iterdir()} == {"work", "made"}


def test_a_subject_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain.main(["--directory", str(tmp_path), "--threads", str(torch.get_num_threads())])
    assert f"{tmp_path} is there already; move it, or give another --directory" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_the_command_trains_into_a_folder_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(pretrain, "train", lambda *arguments: given.extend(arguments))
    assert pretrain.main(["--threads", str(torch.get_num_threads())]) == 0
    assert given[-1] == RUNS / "gpt2-mini"


@pytest.mark.long
def test_resumed_training_is_uninterrupted_training(
    tmp_path: Path, rows: Rows, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(pretrain, "measure", lambda *_: {})
    phases = (Phase(2, 4, 16, {"induction": 1.0}, 256, 0.0), Phase(2, 8, 24, SHARES, 256, 0.25))
    for name in ("whole", "stopped"):
        tokenizer.save_pretrained(tmp_path / name / "tokenizer")
        np.save(tmp_path / name / "train.npy", rows.prose)
        np.save(tmp_path / name / "held_out.npy", rows.prose)
    train(0, phases, tmp_path / "whole", tmp_path / "subject-a")
    real = pretrain.learning_rate_factor

    def interrupted(step: int, total: int) -> float:
        if step == 3:
            raise KeyboardInterrupt
        return real(step, total)

    monkeypatch.setattr(pretrain, "learning_rate_factor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(0, phases, tmp_path / "stopped", tmp_path / "subject-b")
    monkeypatch.setattr(pretrain, "learning_rate_factor", real)
    train(0, phases, tmp_path / "stopped", tmp_path / "subject-b")
    first, second = (load_subject(str(tmp_path / name)) for name in ("subject-a", "subject-b"))
    assert first.card.weights == second.card.weights
    assert (first.layers, first.heads_per_layer) == (12, 12)
