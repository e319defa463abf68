"""The sweep equals one hooked forward pass a head: on random checkpoints, under both conventions."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerBase

from circuitlib.ablation import (
    GPT2,
    ablated_logits,
    hooked_control,
    hooked_task,
    sweep_control,
    sweep_task,
)
from circuitlib.control import control_spans
from circuitlib.subjects import Convention, load_subject
from circuitlib.tasks import TASKS


@pytest.mark.parametrize("convention", ["folded", "raw"])
def test_sweep_equals_hooks(checkpoint: Path, convention: Convention) -> None:
    subject = load_subject(str(checkpoint), convention)
    model, each = GPT2(subject), [[head] for head in range(subject.heads)]
    assert subject.heads == 35
    for task in TASKS.values():
        prompts = task.prompts(subject.tokenizer, 6, seed=0)[0]
        clean, swept = sweep_task(model, prompts, task.metric)
        assert_close(
            clean, hooked_task(subject, prompts, task.metric, [[]])[:, 0], atol=1e-5, rtol=0
        )
        assert_close(swept, hooked_task(subject, prompts, task.metric, each), atol=1e-5, rtol=0)
    spans = control_spans(subject.tokenizer, 3, 0, "evaluation")
    clean, swept = sweep_control(model, spans)
    assert_close(clean, hooked_control(subject, spans, [[]])[:, 0], atol=1e-5, rtol=0)
    assert_close(swept, hooked_control(subject, spans, each), atol=1e-5, rtol=0)


@pytest.mark.parametrize("convention", ["folded", "raw"])
def test_embedded_subject(convention: Convention) -> None:
    """In double precision the two agree to rounding; in single, to 1e-5 of the metric's own size
    (logit differences here are above ten, and float32 resolves about one part in ten million)."""
    subject = load_subject("gpt2-mini", convention)
    some = list(range(0, subject.heads, 7))
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-11)):
        subject.bridge.to(dtype, print_details=False)
        model = GPT2(subject)
        for name in ("induction", "ioi", "docstring", "greater_than"):
            task = TASKS[name]
            prompts = task.prompts(subject.tokenizer, 2, seed=0)[0]
            clean, swept = sweep_task(model, prompts, task.metric)
            hooked = hooked_task(subject, prompts, task.metric, [[head] for head in some])
            size = max(1.0, clean.abs().max().item())
            assert_close(swept[:, some], hooked, atol=tolerance * size, rtol=0)
        spans = control_spans(subject.tokenizer, 2, 0, "evaluation")
        hooked = hooked_control(subject, spans, [[head] for head in some])
        assert_close(sweep_control(model, spans)[1][:, some], hooked, atol=tolerance, rtol=0)


def test_size_of_the_pieces_does_not_matter(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    model = GPT2(subject)
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 9, seed=1)[0]
    results = [sweep_task(model, prompts, TASKS["ioi"].metric, n)[1] for n in (1, 4, 1000)]
    assert_close(results[0], results[1], atol=1e-5, rtol=0)
    assert_close(results[0], results[2], atol=1e-5, rtol=0)


def test_conventions_differ_by_the_heads_constant(checkpoint: Path) -> None:
    """Folded removes (z_h - c_h) W_O,h of the raw model, c_h = b_V,h + beta_ln1 W_V,h."""
    raw, folded = load_subject(str(checkpoint), "raw"), load_subject(str(checkpoint), "folded")
    tokens = TASKS["ioi"].prompts(raw.tokenizer, 4, seed=0)[0].tokens
    layer, head = 2, 3
    bridge = raw.bridge
    constant = bridge.b_V[layer, head] + bridge.blocks[layer].ln1.bias @ bridge.W_V[layer, head]

    def keep_constant(z: torch.Tensor, hook: object) -> torch.Tensor:
        z = z.clone()
        z[:, :, head] = constant
        return z

    with torch.inference_mode():
        kept = bridge.run_with_hooks(
            tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", keep_constant)]
        )
    removed = ablated_logits(folded, tokens, [layer * raw.heads_per_layer + head])
    assert_close(kept.log_softmax(-1), removed.log_softmax(-1), atol=2e-5, rtol=0)
    plain = ablated_logits(raw, tokens, [layer * raw.heads_per_layer + head])
    assert (plain.log_softmax(-1) - removed.log_softmax(-1)).abs().max() > 1e-2


def test_a_set_of_heads_is_ablated_together(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    tokens = TASKS["ioi"].prompts(subject.tokenizer, 2, seed=0)[0].tokens
    everything = ablated_logits(subject, tokens, range(subject.heads))
    cut = tokens.clone()
    cut[:, 1:-1] = tokens[:, 2:3]
    assert_close(everything[:, -1], ablated_logits(subject, cut, range(subject.heads))[:, -1])


def test_another_architecture_is_refused(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    GPTNeoXForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="GPT-2's architecture"):
        GPT2(load_subject(str(tmp_path)))
