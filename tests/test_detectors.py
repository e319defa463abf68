"""Attention scores are attention weights, at the positions the roles name; copying scores are what heads write."""

import pytest
import torch
from by_hand import OWN

from circuitlib.companion.paper import best_head_share, mechrl
from circuitlib.studies.detectors import COPIED, DETECTORS, END, Attention, attention, copied, detect
from circuitlib.subjects.beginning import beginning
from circuitlib.subjects.card import Convention
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS


def test_attention_is_read_at_the_roles(odd: Subject) -> None:
    subject = odd
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 6, 0)[0]
    scores = attention(subject, prompts, END, "IO")
    assert scores.shape == (len(prompts), subject.heads)
    _, cache = subject.bridge.run_with_cache(prompts.tokens)
    pattern = cache["blocks.2.attn.hook_pattern"]
    at = prompts.roles["IO"]
    expected = torch.stack([pattern[i, 2, -1, at[i]] for i in range(len(prompts))])
    assert torch.allclose(scores[:, 2 * subject.heads_per_layer + 2], expected)


@pytest.mark.parametrize("convention", ["folded", "raw"])
@pytest.mark.parametrize("kind", ["checkpoint", "llama_checkpoint", "neox_checkpoint"])
@torch.inference_mode()
def test_what_is_copied_is_what_a_head_writes(
    kind: str, convention: Convention, request: pytest.FixtureRequest
) -> None:
    """The second block's heads, whose values the model itself computes where they are scored, through a plain unembedding."""
    subject = load_subject(str(request.getfixturevalue(kind)), convention)
    bridge, first = subject.bridge, beginning(subject.tokenizer)
    tokens = torch.arange(40, 80)
    _, cache = bridge.run_with_cache(torch.stack([torch.tensor([*first, token]) for token in tokens]))
    values = cache["blocks.1.attn.v.hook_out"][:, -1].reshape(len(tokens), -1, bridge.cfg.d_head)
    values = values.repeat_interleave(subject.heads_per_layer // values.shape[1], 1)
    for sign in (1, -1):
        ours = copied(subject, tokens, sign)
        assert ours.shape == (len(tokens), subject.heads)
        for head in range(subject.heads_per_layer):
            logits = bridge.unembed(
                bridge.ln_final((sign * values[:, head] @ bridge.blocks[1].attn.W_O[head])[:, None])
            )[:, 0]
            place = (logits > logits.gather(1, tokens[:, None])).sum(1)
            assert ours[:, subject.heads_per_layer + head].tolist() == (place < COPIED).tolist()


def test_every_detector_scores_every_head(odd: Subject) -> None:
    frame = detect(odd, DETECTORS, 8, 0)
    assert len(frame) == len(DETECTORS) * odd.heads
    assert frame["score"].between(0, 1).all()


def test_a_known_head_is_found(embedded: Subject) -> None:
    """Induction, in the embedded subject, is some head looking from the second A to B."""
    frame = detect(embedded, [detector for detector in DETECTORS if detector.name == "induction"], 16, 0)
    assert set(frame["task"]) == {"induction"}
    assert frame["score"].max() > 0.3


def test_a_detector_of_a_task_of_ones_own(odd: Subject) -> None:
    frame = detect(odd, [Attention("looks back", OWN, END, "THING")], 8, 0)
    assert set(zip(frame["detector"], frame["task"], strict=True)) == {("looks back", "own")}
    weights = torch.cat([attention(odd, group, END, "THING") for group in OWN.prompts(odd.tokenizer, 8, 0)])
    assert torch.allclose(torch.tensor(frame["score"].to_numpy()), weights.mean(0).double())


def test_the_literature_is_read_as_published() -> None:
    oracle = mechrl()["transfer_docstring_30_episodes"]["oracle_15_episodes"]
    assert oracle["best_action_every_episode"] == 10  # L0.H10
    assert best_head_share("induction") == (0.75, 20)
    assert best_head_share("docstring") == (1.0, 20)
