"""Both engines equal a plain Hugging Face model without the head: every family, convention and kind of ablation."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from conftest import SaveCheckpoint
from drawing import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_model import PlainModel
from torch import Tensor
from torch.testing import assert_close
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, PretrainedConfig, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from circuitlib.ablation.engine import ZERO, Ablation, AblationKind, Scores
from circuitlib.ablation.hooks import Hooks, hooked_control, hooked_task
from circuitlib.ablation.sweep import Sweep, engine
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.load import Convention, Subject, load_subject, subject_of
from circuitlib.tasks import TASKS, Prompts
from circuitlib.tasks.base import LOGIT_DIFFERENCE, PROBABILITY_DIFFERENCE
from circuitlib.tasks.control_text import control_spans

FAMILIES = ["gpt2", "gpt_neox", "llama", "qwen2"]
KINDS: Sequence[AblationKind] = ("zero", "mean", "resample")


def _tokens(rows: int, length: int, seed: int, vocabulary: int) -> Tensor:
    """Any but the first, BOS."""
    return torch.randint(1, vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


def _prompts(tokens: Tensor, counterfactual: Tensor | None = None) -> Prompts:
    rows = torch.arange(len(tokens))
    signs = torch.tensor([[1.0, -1.0]]).expand(len(rows), -1)
    answers = torch.stack([rows, 20 + rows], 1)
    prompts = Prompts("drawn", tokens, answers, signs, [""] * len(rows), {})
    object.__setattr__(prompts, "counterfactual", counterfactual)
    return prompts


def _agree(scores: Scores, reference: Tensor) -> None:
    """To 1e-5 of the largest clean score."""
    tolerance = 1e-5 * max(1.0, reference[:, 0].abs().max().item())
    assert_close(scores.clean, reference[:, 0], atol=tolerance, rtol=0)
    assert_close(scores.ablated, reference[:, 1:], atol=tolerance, rtol=0)


def _compare_with_plain(
    subject: Subject, plain: PlainModel, kind: AblationKind, tokens: Tensor, positions: int | None = None
) -> Tensor:
    """Hooks and, unless it must be refused, the sweep, against the plain model; its damages."""
    other = _tokens(len(tokens), tokens.shape[1], 9, int(subject.bridge.cfg.d_vocab))
    ablation = Ablation(kind, [other] if kind == "mean" else [])
    engines: list[Any] = [Hooks(subject, ablation)]
    if set(getattr(plain.model.config, "layer_types", None) or []) <= {"full_attention"}:
        engines.append(Sweep(subject, ablation))
        engines[-1].positions = positions or engines[-1].positions
    else:
        with pytest.warns(UserWarning, match="one forward pass per head.*layer_types"):
            assert isinstance(engine(subject, ablation), Hooks)
    prompts, instead = _prompts(tokens, other), plain.instead(kind, other)
    task, control = plain.scores(tokens, prompts.candidates, instead)
    for some in engines:
        _agree(some.task(prompts, LOGIT_DIFFERENCE), task)
        _agree(some.control(tokens, other), control)
    return task[:, :1] - task[:, 1:]


@pytest.mark.parametrize("family", FAMILIES)
def test_both_engines_equal_the_plain_model(family: str, small: dict[str, Path]) -> None:
    """For prompts longer than any probe."""
    model = AutoModelForCausalLM.from_pretrained(small[family])
    tokens, damages = _tokens(2, 70, 1, 2000), {}
    for convention in get_args(Convention):
        subject = load_subject(str(small[family]), convention)
        plain = PlainModel(model, convention == "folded")
        for kind in KINDS:
            damages[convention, kind] = _compare_with_plain(subject, plain, kind, tokens)
    assert all(damage.abs().max() > 1e-3 for damage in damages.values())
    # A mean or another prompt's value has the head's constant part, so what is left does not depend on it.
    for kind in ("mean", "resample"):
        assert_close(damages["raw", kind], damages["folded", kind], atol=1e-5, rtol=0)
    has_constant_part = family != "llama"
    differs = (damages["raw", "zero"] - damages["folded", "zero"]).abs().max() > 1e-3
    assert differs == has_constant_part


@st.composite
def _configurations(draw: st.DrawFn) -> PretrainedConfig:
    layers, key_heads = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 3]))
    family = draw(st.sampled_from(["gpt2", "neox", "llama", "qwen2"]))
    activation = draw(st.sampled_from(["gelu", "gelu_new", "relu", "silu"]))
    eps, tied = draw(st.sampled_from([1e-6, 1e-2])), draw(st.booleans())
    common: dict[str, Any] = {"vocab_size": 50, "tie_word_embeddings": tied, "bos_token_id": 0, "eos_token_id": 0}
    if family == "gpt2":
        heads = draw(st.integers(1, 6))
        return GPT2Config(
            n_positions=80,
            n_embd=8 * heads,
            n_layer=layers,
            n_head=heads,
            activation_function=activation,
            layer_norm_epsilon=eps,
            **common,
        )
    heads = draw(st.integers(1, 6)) if family == "neox" else key_heads * draw(st.integers(1, 2))
    common |= {
        "hidden_size": 8 * heads,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": draw(st.integers(8, 40).filter(lambda size: size != 8 * heads)),
        "max_position_embeddings": 80,
        "hidden_act": activation,
    }
    if family == "neox":
        share, parallel = draw(st.sampled_from([0.25, 0.5, 1.0])), draw(st.booleans())
        return GPTNeoXConfig(rotary_pct=share, use_parallel_residual=parallel, layer_norm_eps=eps, **common)
    common |= {"num_key_value_heads": key_heads, "rms_norm_eps": eps}
    if family == "llama":
        biases = {name: draw(st.booleans()) for name in ("attention_bias", "mlp_bias")}
        scaling = draw(st.sampled_from([None, {"rope_type": "linear", "factor": 4.0}]))
        return LlamaConfig(rope_parameters=scaling and scaling | {"rope_theta": 1e4}, **biases, **common)
    first = draw(st.integers(0, 4))
    window = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": first}
    return Qwen2Config(**(window if draw(st.booleans()) else {}), **common)


@settings(examples(6, 30), suppress_health_check=[HealthCheck.too_slow])
@given(
    config=_configurations(),
    folded=st.booleans(),
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 5),
    length=st.integers(2, 80),
    positions=st.sampled_from([1, 37, 500, None]),
)
def test_drawn_configurations(
    save_checkpoint: SaveCheckpoint,
    config: PretrainedConfig,
    folded: bool,
    kind: AblationKind,
    rows: int,
    length: int,
    positions: int | None,
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        save_checkpoint(config, Path(directory))
        subject = load_subject(directory, "folded" if folded else "raw")
        plain = PlainModel(AutoModelForCausalLM.from_pretrained(directory), folded)
    _compare_with_plain(subject, plain, kind, _tokens(rows, length, 2, 50), positions)


@pytest.mark.parametrize("family", FAMILIES)
def test_metrics_that_need_every_logit(family: str, small: dict[str, Path]) -> None:
    subject = load_subject(str(small[family]))
    prompts = _prompts(_tokens(3, 12, 0, 2000))
    hooked = Hooks(subject).task(prompts, PROBABILITY_DIFFERENCE)
    swept = Sweep(subject).task(prompts, PROBABILITY_DIFFERENCE)
    size = hooked.ablated.abs().max()
    assert_close(swept.clean / size, hooked.clean / size, atol=1e-4, rtol=0)
    assert_close(swept.ablated / size, hooked.ablated / size, atol=1e-4, rtol=0)


def test_embedded_subject(embedded: Subject) -> None:
    """To 1e-5 of the metric's own size: logit differences here are above ten, and float32 resolves about one
    part in ten million."""
    subject, task = embedded, TASKS["ioi"]
    prompts = task.prompts(subject.tokenizer, 1, seed=0)[0]
    sets = [(), *([head] for head in range(0, subject.heads, 13))]
    hooked = hooked_task(subject, prompts, task.metric, sets)
    swept = Sweep(subject).task(prompts, task.metric)
    _agree(Scores(swept.clean, swept.ablated[:, ::13], loss=False), hooked)


def test_in_double_precision_they_differ_by_its_rounding(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    subject.bridge.to(torch.float64, print_details=False)
    tokens = _tokens(2, 10, 0, 2000)
    hooked, swept = Hooks(subject).control(tokens), Sweep(subject).control(tokens)
    assert_close(swept.clean, hooked.clean, atol=1e-12, rtol=0)
    assert_close(swept.ablated, hooked.ablated, atol=1e-12, rtol=0)


def test_threads_do_not_matter_and_are_given_back(odd: Subject) -> None:
    prompts = TASKS["ioi"].prompts(odd.tokenizer, 40, seed=1)[0]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            sweep = Sweep(odd)
            sweep.positions = 600
            results.append(sweep.task(prompts, TASKS["ioi"].metric).ablated)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert_close(results[0], results[1], atol=1e-5, rtol=0)
    assert_close(results[0], results[2], atol=1e-5, rtol=0)


def test_bfloat16_is_near_and_keeps_the_order_of_the_leading_heads(embedded: Subject) -> None:
    prompts = TASKS["ioi"].prompts(embedded.tokenizer, 3, seed=0)[0]
    exact, near = (
        Sweep(embedded, matmul=matmul).task(prompts, TASKS["ioi"].metric).damage.mean(0)
        for matmul in (None, torch.bfloat16)
    )
    assert 1e-4 < (exact - near).abs().max() < 0.5
    assert exact.argmax() == near.argmax()
    ranks = torch.stack([damage.argsort().argsort().double() for damage in (exact, near)])
    assert torch.corrcoef(ranks)[0, 1] > 0.9


def test_scores_of_half_a_precision_are_in_single(embedded: Subject) -> None:
    """In steps of bfloat16 most heads' general damages would be the same few numbers."""
    bridge = TransformerBridge.boot_transformers(str(SUBJECTS / "gpt2-mini"), dtype=torch.bfloat16, device="cpu")
    half, spans = subject_of(bridge), control_spans(embedded.tokenizer, 2, 0, "evaluation")
    prompts = TASKS["ioi"].prompts(embedded.tokenizer, 2, seed=0)[0]
    for one in (Sweep(half), Hooks(half)):
        general, task = one.control(spans).damage.mean(0), one.task(prompts, LOGIT_DIFFERENCE).damage
        assert general.dtype == task.dtype == torch.float32
        assert len(general.unique()) > 0.9 * len(general)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_equals_the_processor(checkpoint: Path) -> None:
    here = load_subject(str(checkpoint))
    there = load_subject(str(checkpoint), device="cuda")
    spans = control_spans(here.tokenizer, 5, 0, "evaluation")
    for kind in KINDS:
        ablation = Ablation(kind, [spans] if kind == "mean" else [])
        ours, theirs = Sweep(here, ablation), Sweep(there, ablation)
        for task in TASKS.values():
            prompts = task.prompts(here.tokenizer, 6, seed=0)[0]
            prompts = _prompts(prompts.tokens, prompts.tokens.flip(0))
            swept, there_too = (e.task(prompts, LOGIT_DIFFERENCE) for e in (ours, theirs))
            assert_close(there_too.ablated, swept.ablated, atol=1e-4, rtol=0)
        swept, there_too = (e.control(spans, spans.flip(0)) for e in (ours, theirs))
        assert_close(there_too.ablated, swept.ablated, atol=1e-4, rtol=0)


def test_a_set_of_heads_is_ablated_together(odd: Subject) -> None:
    """Without any head the last position knows nothing of the others; replaced by another prompt's values,
    all of them at once are heads of that prompt."""
    prompts, every, resample = TASKS["ioi"].prompts(odd.tokenizer, 2, seed=0)[0], range(odd.heads), Ablation("resample")
    tokens = prompts.tokens
    cut = tokens.clone()
    cut[:, 1:-1] = tokens[:, 2:3]

    def score(tokens: Tensor, *sets: Sequence[int], ablation: Ablation = ZERO, other: Tensor | None = None) -> Tensor:
        some = replace(prompts, tokens=tokens, counterfactual=other)
        return hooked_task(odd, some, LOGIT_DIFFERENCE, sets, ablation)

    assert_close(score(tokens, every), score(cut, every))
    same = score(tokens, every, ablation=resample, other=tokens)
    assert_close(same, score(tokens, ()))
    replaced = score(tokens, every, ablation=resample, other=cut)
    assert (replaced - same).abs().max() > 1e-3
    pair = hooked_control(odd, tokens, [(0, 7), (0,), (7,), ()], resample, cut)
    assert (pair[:, 0] - pair[:, 1]).abs().max() > 1e-6
    mean = score(tokens, (3,), ablation=Ablation("mean", [tokens, tokens[:, :5]]))
    assert (mean - same).abs().max() > 1e-6


@pytest.mark.parametrize("kind", ["sweep", "hooks"])
def test_a_resample_without_counterfactuals_is_refused(odd: Subject, kind: str) -> None:
    resample = Ablation("resample")
    some = Sweep(odd, resample) if kind == "sweep" else Hooks(odd, resample)
    tokens = _tokens(2, 8, 0, 50)
    with pytest.raises(ValueError, match="counterfactual prompts, and these have none"):
        some.task(_prompts(tokens), LOGIT_DIFFERENCE)
    with pytest.raises(ValueError, match="counterfactual prompts, and these have none"):
        some.control(tokens)
    with pytest.raises((ValueError, TypeError), match="counterfactual"):  # checked types come first
        some.control(tokens, tokens[:, 1:])


def test_ablations_that_mean_nothing_are_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="noise"):  # checked types come first
        Ablation("noise")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'mean' with 0 reference batches"):
        Ablation("mean")
    with pytest.raises(ValueError, match="'zero' with 1 reference batches"):
        Ablation("zero", [torch.zeros(1, 2, dtype=torch.long)])
    with pytest.raises((ValueError, TypeError), match=r"in a list|parameter 'reference'"):
        Ablation("mean", torch.zeros(1, 2, dtype=torch.long))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Sweep, Hooks])
def test_what_cannot_be_measured_is_refused_by_both(kind: type[Sweep] | type[Hooks], odd: Subject) -> None:
    """No prompts, nothing to predict, more tokens than the context."""
    measure, context = kind(odd), int(odd.bridge.cfg.n_ctx)
    prompts = TASKS["ioi"].prompts(odd.tokenizer, 2, seed=0)[0]
    long = prompts.tokens[:, :1].expand(-1, context + 1)
    for some in (
        prompts[:0],
        *(replace(prompts, tokens=t, counterfactual=None) for t in (prompts.tokens[:, :0], long)),
    ):
        with pytest.raises(ValueError, match=f"of 1 to {context} tokens with BOS, not"):
            measure.task(some, LOGIT_DIFFERENCE)
    for spans in (prompts.tokens[:0], prompts.tokens[:, :1], prompts.tokens[:, :1].expand(-1, context + 1)):
        with pytest.raises(ValueError, match=f"of 2 to {context} tokens with BOS, not"):
            measure.control(spans)
