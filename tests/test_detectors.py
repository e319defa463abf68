"""Attention scores are attention weights, at the positions the roles name."""

from pathlib import Path

import torch

from circuitlib.companion.detectors import DETECTORS, END, attention, detect
from circuitlib.companion.paper import best_head_share, mechrl
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS


def test_attention_is_read_at_the_roles(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 6, 0)[0]
    scores = attention(subject, prompts, END, "IO")
    assert scores.shape == (len(prompts), subject.heads)
    _, cache = subject.bridge.run_with_cache(prompts.tokens)
    pattern = cache["blocks.4.attn.hook_pattern"]
    at = prompts.roles["IO"]
    expected = torch.stack([pattern[i, 2, -1, at[i]] for i in range(len(prompts))])
    assert torch.allclose(scores[:, 4 * subject.heads_per_layer + 2], expected)


def test_every_detector_scores_every_head(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    frame = detect(subject, ["induction", "ioi", "docstring"], 8, 0)
    assert len(frame) == len(DETECTORS) * subject.heads
    assert frame["score"].between(0, 1).all()


def test_a_known_head_is_found() -> None:
    """Induction, in the embedded subject, is some head looking from the second A to B."""
    frame = detect(load_subject(), ["induction"], 16, 0)
    assert set(frame["detector"]) == {"induction", "previous token"}
    assert frame[frame["detector"] == "induction"]["score"].max() > 0.3
    assert detect(load_subject(), ["agreement"], 16, 0).empty


def test_the_literature_is_read_as_published() -> None:
    oracle = mechrl()["transfer_docstring_30_episodes"]["oracle_15_episodes"]
    assert oracle["best_action_every_episode"] == 10  # L0.H10
    assert best_head_share("induction") == 0.75
    assert best_head_share("docstring") == 1.0
