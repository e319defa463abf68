"""Control text: held out, never shared between parts, never silently replaced."""

import pytest
from transformers import PreTrainedTokenizerBase

from circuitlib import corpus
from circuitlib.control import SPAN, control_spans


def test_spans(tokenizer: PreTrainedTokenizerBase) -> None:
    train = control_spans(tokenizer, 200, 1, "train")
    evaluation = control_spans(tokenizer, 200, 2, "evaluation")
    assert train.shape == evaluation.shape == (200, SPAN)
    assert (train[:, 0] == tokenizer.bos_token_id).all()
    rows = {tuple(row) for row in train.tolist()}
    assert len(rows) == 200
    assert not rows & {tuple(row) for row in evaluation.tolist()}
    assert (train == control_spans(tokenizer, 200, 1, "train")).all()


def test_too_many_spans_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="count must be between 1 and"):
        control_spans(tokenizer, 10**6, 1, "train")


def test_training_and_held_out_files_share_nothing() -> None:
    train, held_out = (set(corpus._source_files(split)) for split in ("train", "held_out"))
    assert not train & held_out
    assert 0.03 < len(held_out) / len(train | held_out) < 0.07


def test_a_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "PACKAGES", ("no_such_package",))
    with pytest.raises(FileNotFoundError, match="no_such_package is not installed"):
        corpus.prose_paragraphs("held_out")
