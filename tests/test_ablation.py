"""The sweep equals one hooked forward pass a head: on random checkpoints of every family, under both
conventions, however it is cut into pieces."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from circuitlib.ablation.decoder import Decoder, UnknownArchitecture
from circuitlib.ablation.engine import engine
from circuitlib.ablation.hooks import Hooks, ablated_logits, hooked_control, hooked_task
from circuitlib.ablation.sweep import Sweep
from circuitlib.subjects.load import Convention, load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import control_spans


@pytest.mark.parametrize("convention", ["folded", "raw"])
@pytest.mark.parametrize(
    ("family", "heads"), [("checkpoint", 35), ("neox_checkpoint", 15), ("llama_checkpoint", 18)]
)
def test_sweep_equals_hooks(
    family: str, heads: int, convention: Convention, request: pytest.FixtureRequest
) -> None:
    subject = load_subject(str(request.getfixturevalue(family)), convention)
    assert subject.heads == heads
    fast, slow = Sweep(subject), Hooks(subject)
    for task in TASKS.values():
        prompts = task.prompts(subject.tokenizer, 6, seed=0)[0]
        for swept, hooked in zip(
            fast.task(prompts, task.metric), slow.task(prompts, task.metric), strict=True
        ):
            assert_close(swept, hooked, atol=1e-5, rtol=0)
    spans = control_spans(subject.tokenizer, 5, 0, "evaluation")
    for swept, hooked in zip(fast.control(spans), slow.control(spans), strict=True):
        assert_close(swept, hooked, atol=1e-5, rtol=0)


@pytest.mark.parametrize("convention", ["folded", "raw"])
def test_embedded_subject(convention: Convention) -> None:
    """In double precision the two agree to rounding; in single, to 1e-5 of the metric's own size
    (logit differences here are above ten, and float32 resolves about one part in ten million)."""
    subject = load_subject("gpt2-mini", convention)
    some = list(range(0, subject.heads, 7))
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-11)):
        subject.bridge.to(dtype, print_details=False)
        sweep = Sweep(subject)
        for name in ("induction", "ioi", "docstring", "greater_than"):
            task = TASKS[name]
            prompts = task.prompts(subject.tokenizer, 2, seed=0)[0]
            clean, swept = sweep.task(prompts, task.metric)
            hooked = hooked_task(subject, prompts, task.metric, [[head] for head in some])
            size = max(1.0, clean.abs().max().item())
            assert_close(swept[:, some], hooked, atol=tolerance * size, rtol=0)
        spans = control_spans(subject.tokenizer, 2, 0, "evaluation")
        hooked = hooked_control(subject, spans, [[head] for head in some])
        assert_close(sweep.control(spans)[1][:, some], hooked, atol=tolerance, rtol=0)


def test_size_of_the_pieces_does_not_matter(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 40, seed=1)[0]
    spans = control_spans(subject.tokenizer, 7, 0, "train")
    whole = Sweep(subject, positions=10**6)
    for positions in (1, 100, 2000):
        pieces = Sweep(subject, positions=positions)
        metric = TASKS["ioi"].metric
        assert_close(
            pieces.task(prompts, metric)[1], whole.task(prompts, metric)[1], atol=1e-5, rtol=0
        )
        assert_close(pieces.control(spans)[1], whole.control(spans)[1], atol=1e-5, rtol=0)


def test_threads_do_not_matter_and_are_given_back(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 40, seed=1)[0]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(Sweep(subject, positions=600).task(prompts, TASKS["ioi"].metric)[1])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert_close(results[0], results[1], atol=1e-5, rtol=0)
    assert_close(results[0], results[2], atol=1e-5, rtol=0)


def test_bfloat16_is_near_and_keeps_the_order_of_the_leading_heads() -> None:
    subject = load_subject("gpt2-mini")
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 16, seed=0)[0]
    damages = []
    for matmul in (None, torch.bfloat16):
        clean, ablated = Sweep(subject, matmul).task(prompts, TASKS["ioi"].metric)
        damages.append((clean[:, None] - ablated).mean(0))
    exact, near = damages
    assert 1e-4 < (exact - near).abs().max() < 0.5
    assert exact.argmax() == near.argmax()
    ranks = torch.stack([damage.argsort().argsort().double() for damage in damages])
    assert torch.corrcoef(ranks)[0, 1] > 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_equals_the_processor(checkpoint: Path) -> None:
    here = load_subject(str(checkpoint))
    there = load_subject(str(checkpoint), device="cuda")
    spans = control_spans(here.tokenizer, 5, 0, "evaluation")
    for task in TASKS.values():
        prompts = task.prompts(here.tokenizer, 6, seed=0)[0]
        for ours, theirs in zip(
            Sweep(here).task(prompts, task.metric),
            Sweep(there).task(prompts, task.metric),
            strict=True,
        ):
            assert_close(theirs, ours, atol=1e-4, rtol=0)
    assert_close(Sweep(there).control(spans)[1], Sweep(here).control(spans)[1], atol=1e-4, rtol=0)


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


def test_another_architecture_takes_the_slow_way_and_says_so(opt_checkpoint: Path) -> None:
    subject = load_subject(str(opt_checkpoint), "raw")
    with pytest.warns(
        UserWarning, match=r"one forward pass a head, exact and slow.*OPTForCausalLM"
    ):
        slow = engine(subject)
    assert isinstance(slow, Hooks)
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 3, seed=0)[0]
    clean, ablated = slow.task(prompts, TASKS["ioi"].metric)
    assert clean.shape == (len(prompts),)
    assert ablated.shape == (len(prompts), 8)
    assert (ablated - clean[:, None]).abs().max() > 1e-5


def test_a_variant_of_a_known_architecture_is_refused(checkpoint: Path) -> None:
    """The decoder is compared with the bridge; here they are told different epsilons."""
    subject = load_subject(str(checkpoint), "raw")
    for block in subject.bridge.original_model.transformer.h:
        block.ln_1.bias.data += 0.1
    Decoder(subject.bridge)
    subject.bridge.cfg.eps = 1.0
    with pytest.raises(UnknownArchitecture, match="variant that the sweep does not know"):
        Decoder(subject.bridge)
