"""Loading: the embedded subject, local directories, and what cannot be found."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from circuitlib.paths import SUBJECTS
from circuitlib.subjects import Convention, load_subject
from circuitlib.tasks import TASKS


def test_embedded_subject_has_the_papers_action_space() -> None:
    subject = load_subject()
    assert (subject.layers, subject.heads_per_layer, subject.heads) == (12, 12, 144)
    assert subject.head_name(9 * 12 + 6) == "L9.H6"
    assert sum(f.stat().st_size for f in (SUBJECTS / "gpt2-mini").rglob("*")) < 20e6


@pytest.mark.parametrize("convention", ["folded", "raw"])
def test_conventions_do_not_change_the_model(checkpoint: Path, convention: Convention) -> None:
    subject = load_subject(str(checkpoint), convention)
    reference = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    tokens = TASKS["docstring"].prompts(subject.tokenizer, 3, 0)[0].tokens
    with torch.inference_mode():
        ours, theirs = subject.bridge(tokens), reference(tokens).logits
    assert_close(ours.log_softmax(-1), theirs.log_softmax(-1), atol=1e-5, rtol=1e-5)


def test_weights_hash_names_the_checkpoint_not_the_convention(checkpoint: Path) -> None:
    raw, folded = load_subject(str(checkpoint), "raw"), load_subject(str(checkpoint))
    assert raw.weights_hash == folded.weights_hash != load_subject().weights_hash


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="convention must be one of"):
        load_subject("gpt2-mini", "centred")  # type: ignore[arg-type]


def test_unknown_subject_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match=r"no subject 'no-such-model'.*Download the checkpoint"
    ):
        load_subject("no-such-model")


@pytest.mark.parametrize(
    ("task", "bar"),
    [
        ("induction", 0.9),
        ("ioi", 0.9),
        ("docstring", 0.9),
        ("greater_than", 0.85),
        ("pronoun", 0.85),
        ("agreement", 0.85),
    ],
)
def test_embedded_subject_does_the_task(task: str, bar: float) -> None:
    """A quick look with few prompts; notebook 01 has the numbers."""
    subject = load_subject()
    right = total = 0
    for prompts in TASKS[task].prompts(subject.tokenizer, 96, seed=5):
        with torch.inference_mode():
            logits = subject.bridge(prompts.tokens)[:, -1]
        score = TASKS[task].metric.function(
            logits.gather(1, prompts.candidates), logits.logsumexp(-1), prompts.signs
        )
        right, total = right + int((score > 0).sum()), total + len(prompts)
    assert right / total >= bar
