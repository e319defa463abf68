"""The estimate is the slope of a gate: exact where the score is linear in it, elsewhere what differences and
integrals say, on every family; and the subject is left as it was."""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from drawing import examples
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.engine import ZERO, Ablation, AblationKind, Engine, Scores
from circuitlib.ablation.hooks import Hooks, hooked_at_once
from circuitlib.ablation.sweep import Sweep
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.card import Convention
from circuitlib.subjects.load import Subject, load_subject, subject_of
from circuitlib.tasks import TASKS, Metric, Prompts
from circuitlib.tasks.base import LOGIT_DIFFERENCE, PROBABILITY_DIFFERENCE

FAMILIES = [f"{family}checkpoint" for family in ("", "neox_", "llama_", "qwen2_", "opt_")]


@cache
def load(checkpoint: Path, convention: Convention) -> Subject:
    return in_float64(load_subject(str(checkpoint), convention))


def in_float64(subject: Subject) -> Subject:
    subject.bridge.to(torch.float64, print_details=False)
    return subject


def ioi(tokenizer: PreTrainedTokenizerBase, count: int) -> Prompts:
    """Prompts of one length, each with the next one as its counterfactual."""
    prompts = max(TASKS["ioi"].prompts(tokenizer, 6 * count, seed=0), key=len)[:count]
    return replace(prompts, counterfactual=prompts.tokens.roll(1, 0))


def drawn_spans(count: int, seed: int = 0) -> Tensor:
    """Spans of any tokens: a derivative does not ask for English."""
    return torch.randint(1, 500, (count, 40), generator=torch.Generator().manual_seed(seed))


def values_in(subject: Subject, tokens: Tensor) -> list[Tensor]:
    """Every layer's ``hook_z``."""
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(subject.layers)]
    with torch.no_grad():
        _, cache = subject.bridge.run_with_cache(tokens, names_filter=names)
    return [cache[name] for name in names]


# The other side: the plain Hugging Face model, no line of TransformerLens, and differences.


class Plain:
    """A Hugging Face model whose heads can be changed in the input of the output projections."""

    PROJECTIONS = ("attn.c_proj", "attention.dense", "self_attn.o_proj", "self_attn.out_proj")

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.heads = model.double().eval(), model.config.num_attention_heads
        self.projections = [module for name, module in model.named_modules() if name.endswith(self.PROJECTIONS)]

    @torch.no_grad()
    def logits(self, tokens: Tensor, change: Callable[[int, Tensor], Tensor]) -> Tensor:
        """With ``change(layer, z)`` in the place of every z, ``[batch, pos, head, d_head]``."""

        def changed(layer: int) -> Callable[..., Any]:
            return lambda module, args: change(layer, args[0].unflatten(-1, (self.heads, -1))).flatten(-2)

        handles = [module.register_forward_pre_hook(changed(layer)) for layer, module in enumerate(self.projections)]
        try:
            return self.model(tokens).logits
        finally:
            for handle in handles:
                handle.remove()

    def values(self, tokens: Tensor) -> list[Tensor]:
        """Every layer's z."""
        kept: dict[int, Tensor] = {}
        self.logits(tokens, lambda layer, z: kept.setdefault(layer, z))
        return list(kept.values())

    def gated(self, tokens: Tensor, gates: Tensor, closed: Sequence[Tensor]) -> Tensor:
        """Logits with gates ``[layer, head]`` on the heads; closed: what a gate leaves at 0, by layer."""

        def change(layer: int, z: Tensor) -> Tensor:
            return closed[layer] + gates[layer, :, None] * (z - closed[layer])

        return self.logits(tokens, change)


def logit_difference(prompts: Prompts, logits: Tensor) -> Tensor:
    return (prompts.signs * logits[:, -1].gather(1, prompts.candidates)).sum(1)


def probability_difference(prompts: Prompts, logits: Tensor) -> Tensor:
    return (prompts.signs * logits[:, -1].softmax(-1).gather(1, prompts.candidates)).sum(1)


def loss(spans: Tensor, logits: Tensor) -> Tensor:
    return -logits[:, :-1].log_softmax(-1).gather(2, spans[:, 1:, None])[..., 0].mean(1)


def difference(score: Callable[[float], Tensor], step: float) -> Tensor:
    """The derivative at 0 by central differences, of fourth order."""
    near, far = (score(h) - score(-h) for h in (step, 2 * step))
    return (8 * near - far) / (12 * step)


def score_along(
    plain: Plain, tokens: Tensor, way: Tensor, closed: Sequence[Tensor], score_of: Callable[[Tensor], Tensor], t: float
) -> Tensor:
    """With every gate t times its part of ``way`` from 1."""
    return score_of(plain.gated(tokens, 1 + t * way, closed))


def slopes(scores: Scores) -> Tensor:
    return scores.clean[:, None] - scores.ablated


Closed = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""From tokens and their counterfactuals: what gates leave at 0, by layer."""


def assert_equals_differences(
    subject: Subject, ablation: Ablation, plain: Plain, closed: Closed, step: float = 0.005
) -> None:
    """Along a random direction in the space of all gates at once, so that a head in another's place, or
    anything that is off by a factor, shows. Llama and Qwen2 take their norms in float32, whatever they are given."""
    attribution, generator = Attribution(subject, ablation), torch.Generator().manual_seed(0)
    prompts, spans = ioi(subject.tokenizer, 3), drawn_spans(3)
    shape = subject.layers, subject.heads_per_layer
    for tokens, estimate, score_of in (
        (prompts.tokens, attribution.task(prompts, LOGIT_DIFFERENCE), partial(logit_difference, prompts)),
        (prompts.tokens, attribution.task(prompts, PROBABILITY_DIFFERENCE), partial(probability_difference, prompts)),
        (spans, attribution.control(spans, spans.roll(1, 0)), partial(loss, spans)),
    ):
        left = closed(tokens, tokens.roll(1, 0))
        way = torch.randn(shape, generator=generator, dtype=torch.float64)
        score = partial(score_along, plain, tokens, way, left, score_of)
        size = (slopes(estimate).abs() @ way.flatten().abs()).max().item()
        along = slopes(estimate) @ way.flatten()
        # Besides, probabilities of one in 2,000 that float32 rounds, over the step.
        rounding = torch.finfo(torch.float32).eps / 2000 / step
        assert_close(along, difference(score, step), atol=2e-4 * size + rounding, rtol=0)
        assert_close(estimate.clean, score(0.0), atol=1e-5, rtol=1e-5)


def removed_by_folding(subject: Subject, plain: Plain) -> Closed:
    """What a zero-ablation leaves of the plain model's z: under ``folded`` the head's constant part."""

    def closed(tokens: Tensor, other: Tensor) -> list[Tensor]:
        pairs = zip(plain.values(tokens), values_in(subject, tokens), strict=True)
        constants = [raw - z for raw, z in pairs]
        for constant in constants:
            assert_close(constant, constant[:1, :1].expand_as(constant), atol=1e-5, rtol=0)
        return constants

    return closed


@pytest.mark.parametrize("kind", get_args(AblationKind))
@pytest.mark.parametrize("convention", get_args(Convention))
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_differences_on_the_plain_model(
    family: str, convention: Convention, kind: AblationKind, request: pytest.FixtureRequest
) -> None:
    checkpoint = request.getfixturevalue(family)
    subject = load(checkpoint, convention)
    plain = Plain(AutoModelForCausalLM.from_pretrained(checkpoint))
    spans = drawn_spans(4, seed=1)
    reference = [spans[:1], spans[1:, :9]] if kind == "mean" else []

    def means(tokens: Tensor, other: Tensor) -> list[Tensor]:
        layers = zip(*map(plain.values, reference), strict=True)
        return [torch.cat([z.flatten(0, 1) for z in layer]).mean(0) for layer in layers]

    closed: dict[AblationKind, Closed] = {
        "zero": removed_by_folding(subject, plain),
        "mean": means,
        "resample": lambda tokens, other: plain.values(other),
    }
    step = 1e-5 if family == "opt_checkpoint" else 0.005  # OPT's ReLUs have kinks.
    assert_equals_differences(subject, Ablation(kind, reference), plain, closed[kind], step)


@pytest.mark.long
def test_equals_differences_on_the_embedded_subject() -> None:
    subject = load(SUBJECTS / "gpt2-mini", "folded")
    plain = Plain(AutoModelForCausalLM.from_pretrained(SUBJECTS / "gpt2-mini"))
    closed = removed_by_folding(subject, plain)
    assert_equals_differences(subject, ZERO, plain, closed)


@st.composite
def models(draw: st.DrawFn, vocabulary: int) -> PreTrainedModel:
    """Random ones of three families: 1 to 3 layers, 1 to 6 heads, keys shared, parallel, rotary in part."""
    keys, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    layers, heads, d_head = draw(st.integers(1, 3)), keys * group, draw(st.sampled_from([4, 8]))
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": heads * d_head,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 96,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    torch.manual_seed(draw(st.integers(0, 9)))
    family = draw(st.sampled_from(["gpt2", "neox", "llama"]))
    if family == "gpt2":
        return GPT2LMHeadModel(GPT2Config(**shape))
    shape["intermediate_size"] = 20
    if family == "neox":
        shape["rotary_pct"] = draw(st.sampled_from([0.5, 1.0]))
        shape["use_parallel_residual"] = draw(st.booleans())
        return GPTNeoXForCausalLM(GPTNeoXConfig(**shape))
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=keys, **shape))


@given(st.data(), st.sampled_from(get_args(Convention)))
@examples(6, 20)
def test_equals_differences_on_drawn_models(
    tokenizer: PreTrainedTokenizerBase, data: st.DataObject, convention: Convention
) -> None:
    model = data.draw(models(len(tokenizer)))
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        subject = in_float64(load_subject(folder, convention))
    plain = Plain(model)
    assert_equals_differences(subject, ZERO, plain, removed_by_folding(subject, plain))


# Where it is exact, and how it compares where it is not.


def toy(tokenizer: PreTrainedTokenizerBase, layers: int) -> Subject:
    """A GPT-2 without MLPs and final norm: its logits are linear in what the last layer's heads write."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=24,
        n_layer=layers,
        n_head=3,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    for block in model.transformer.h:
        nn.init.zeros_(block.mlp.c_proj.weight)
    bridge = TransformerBridge.boot_transformers(
        "gpt2", hf_model=model, tokenizer=tokenizer, dtype=torch.float64, device="cpu"
    )
    bridge.original_model.transformer.ln_f = nn.Identity()
    return in_float64(subject_of(bridge.eval(), "toy"))


def test_exact_where_the_metric_is_linear(tokenizer: PreTrainedTokenizerBase) -> None:
    """Of one layer all heads, also in closed form; of two only the second's, for the second reads the first
    through a norm and a softmax."""
    one, two = toy(tokenizer, 1), toy(tokenizer, 2)
    prompts = ioi(tokenizer, 5)
    estimate, exact = (way(one).task(prompts, LOGIT_DIFFERENCE).damage for way in (Attribution, Hooks))
    assert exact.abs().max() > 0.1
    assert_close(estimate, exact, atol=1e-12, rtol=0)
    z = values_in(one, prompts.tokens)[0][:, -1]
    answers = one.bridge.W_U[:, prompts.candidates]
    by_hand = torch.einsum("bhd,hdm,mba,ba->bh", z, one.bridge.W_O[0], answers, prompts.signs.double())
    assert_close(estimate, by_hand, atol=1e-12, rtol=0)
    estimate, exact = (way(two).task(prompts, LOGIT_DIFFERENCE).damage for way in (Attribution, Hooks))
    assert_close(estimate[:, 3:], exact[:, 3:], atol=1e-12, rtol=0)
    assert (estimate[:, :3] - exact[:, :3]).abs().max() > 0.01


def test_against_the_sweep() -> None:
    """On the embedded subject's docstring task the order of heads is nearly the sweep's; the damages are not,
    but the slope's integral over a head's gate, by Gauss and Legendre, is."""
    subject = load_subject("gpt2-mini", "raw")
    prompts = max(TASKS["docstring"].prompts(subject.tokenizer, 32, seed=0), key=len)[:2]
    attribution = Attribution(subject)
    exact = Sweep(subject).task(prompts, LOGIT_DIFFERENCE).damage
    estimate = attribution.task(prompts, LOGIT_DIFFERENCE).damage
    ranks = [damage.mean(0).argsort().argsort().double() for damage in (estimate, exact)]
    assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.9
    nodes, weights = torch.from_numpy(np.stack(np.polynomial.legendre.leggauss(12))).float()
    for head in exact.mean(0).topk(1).indices.tolist():
        layer, within = divmod(head, subject.heads_per_layer)
        output = subject.bridge.original_model.transformer.h[layer].attn.c_proj.weight
        rows = slice(within * len(output) // 12, (within + 1) * len(output) // 12)
        whole, integral = output[rows].clone(), torch.zeros(len(prompts))
        for t, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
            output.data[rows] = t * whole
            # The gate of a head that is turned down to t: t times the slope at t.
            scores = attribution.task(prompts, LOGIT_DIFFERENCE)
            integral += weight / t * scores.damage[:, head]
        output.data[rows] = whole
        assert_close(integral, exact[:, head], atol=1e-3, rtol=0)


# What is left behind, and who may call.


def state(bridge: TransformerBridge) -> list[Any]:
    """Hooks, gradients and what requires them."""
    points = dict(bridge.hook_dict)
    return [
        {
            name: [len(p.fwd_hooks), len(p.bwd_hooks), len(p._forward_hooks), len(p._backward_hooks)]
            for name, p in points.items()
        },
        [(p.requires_grad, None if p.grad is None else p.grad.sum().item()) for p in bridge.parameters()],
        bridge.context_level,
        bridge.training,
    ]


@pytest.fixture
def only_new_objects() -> Iterator[None]:
    """The collector looks at what a test makes, and at nothing that was there: of which there is much."""
    gc.freeze()
    yield
    gc.unfreeze()


def recorded() -> int:
    """Tensors that keep a graph alive."""
    gc.collect()
    return sum(issubclass(type(o), Tensor) and o.grad_fn is not None for o in gc.get_objects())


BROKEN = Metric("broken", "nothing", False, lambda logits, normaliser, signs: logits[:, 99])
COUNTED = Metric("accuracy", "share", False, lambda logits, n, s: (logits[:, 0] > logits[:, 1]) * 1.0)


@pytest.mark.usefixtures("only_new_objects")
@pytest.mark.parametrize("trainable", [False, True])
def test_leaves_nothing_behind(neox_checkpoint: Path, trainable: bool) -> None:
    subject = load_subject(str(neox_checkpoint), "raw")
    subject.bridge.requires_grad_(trainable)
    for parameter in list(subject.bridge.parameters())[:3] if trainable else []:
        parameter.grad = torch.ones_like(parameter)
    subject.bridge.add_hook("blocks.1.attn.hook_z", lambda z, hook: 0.5 * z)
    prompts, spans = ioi(subject.tokenizer, 4), drawn_spans(3)
    exact = Hooks(subject).task(prompts, LOGIT_DIFFERENCE)
    before, graphs = state(subject.bridge), recorded()
    for ablation in (ZERO, Ablation("mean", [spans]), Ablation("resample")):
        attribution = Attribution(subject, ablation)
        estimate = attribution.task(prompts, LOGIT_DIFFERENCE)
        attribution.control(spans, spans.roll(1, 0))
        assert torch.equal(estimate.clean, exact.clean), "the user's own hook is measured with"
        for metric, error in ((BROKEN, IndexError), (COUNTED, ValueError)):
            with pytest.raises(error):
                attribution.task(prompts, metric)
    assert not estimate.ablated.requires_grad
    assert (state(subject.bridge), recorded()) == (before, graphs)
    again = Hooks(subject).task(prompts, LOGIT_DIFFERENCE)
    assert torch.equal(again.ablated, exact.ablated)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_whatever_mode_the_caller_is_in(neox_checkpoint: Path, mode: Callable[[], Any]) -> None:
    subject = load(neox_checkpoint, "folded")

    def estimates() -> list[Tensor]:
        prompts, spans = ioi(subject.tokenizer, 4), drawn_spans(3)
        found = []
        for ablation in (ZERO, Ablation("mean", [spans.clone()]), Ablation("resample")):
            attribution = Attribution(subject, ablation)
            found.append(attribution.task(prompts, PROBABILITY_DIFFERENCE).damage)
            found.append(attribution.control(spans.clone(), spans.roll(1, 0)).damage)
        return found

    with mode():
        inside = estimates()
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    assert all(map(torch.equal, inside, estimates()))


@pytest.mark.parametrize(("kind", "passes"), [("zero", 1), ("resample", 2)])
def test_rows_are_apart_and_taken_a_few_at_a_time(neox_checkpoint: Path, kind: AblationKind, passes: int) -> None:
    """One forward pass for all heads, and a second only for counterfactuals: what the price says."""
    subject = in_float64(load_subject(str(neox_checkpoint)))
    at_once = hooked_at_once(subject)
    prompts, sizes = ioi(subject.tokenizer, at_once + 3), list[int]()
    attribution = Attribution(subject, Ablation(kind))
    subject.bridge.add_hook("blocks.0.attn.hook_z", lambda z, hook: sizes.append(len(z)))
    together = attribution.task(prompts, LOGIT_DIFFERENCE)
    assert sizes == [at_once] * passes + [3] * passes
    for row in (0, at_once - 1, at_once, at_once + 2):
        scores = attribution.task(prompts[row : row + 1], LOGIT_DIFFERENCE)
        assert_close(scores.damage[0], together.damage[row], atol=1e-6, rtol=0)


def test_is_an_engine_and_says_what_it_cannot_do(checkpoint: Path) -> None:
    subject = load(checkpoint, "folded")
    assert isinstance(Attribution(subject), Engine)
    prompts, spans = ioi(subject.tokenizer, 4), drawn_spans(3)
    with pytest.raises(ValueError, match="metric has no gradient"):
        Attribution(subject).task(prompts, COUNTED)
    with pytest.raises(ValueError, match="these have none"):
        Attribution(subject, Ablation("resample")).control(spans)
    flat = replace(subject, card=replace(subject.card, heads_per_layer=4))
    with pytest.raises(ValueError, match=r"odd has no hook_z per head.*not \[batch, pos, 4, d_head\]"):
        Attribution(flat).task(prompts, LOGIT_DIFFERENCE)


@pytest.mark.parametrize("family", ["checkpoint", "llama_checkpoint"])
def test_through_the_residual_stream_it_is_the_direct_effect(family: str, request: pytest.FixtureRequest) -> None:
    """Each head's output, as it reaches the last norm, along the score's gradient there."""
    subject = load(request.getfixturevalue(family), "folded")
    prompts, bridge = ioi(subject.tokenizer, 3), subject.bridge
    last = f"blocks.{subject.layers - 1}.hook_out"
    names = [last, *(f"blocks.{layer}.attn.hook_z" for layer in range(subject.layers))]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(prompts.tokens, names_filter=lambda name: name in names)
    end = cache[last].clone().requires_grad_()
    score = logit_difference(prompts, bridge.unembed(bridge.ln_final(end)))
    (gradient,) = torch.autograd.grad(score.sum(), end)
    expected = [
        torch.einsum("bphd,hdm,bpm->bh", cache[name], bridge.blocks[layer].attn.W_O, gradient)
        for layer, name in enumerate(names[1:])
    ]
    found = Attribution(subject, through="residual").task(prompts, LOGIT_DIFFERENCE).damage
    assert_close(found, torch.cat(expected, 1).detach(), rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:A forward hook edited")
@pytest.mark.parametrize("family", ["checkpoint", "llama_checkpoint"])
def test_frozen_it_is_the_slope_with_norms_and_patterns_held(family: str, request: pytest.FixtureRequest) -> None:
    """Differences of the score with gates a little closed, every norm's scale and every pattern what it is in the clean pass."""
    subject = load(request.getfixturevalue(family), "folded")
    prompts, bridge, step = ioi(subject.tokenizer, 2), subject.bridge, 1e-5
    held = [name for name in bridge.hook_dict if name.endswith((".hook_scale", ".hook_pattern"))]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(prompts.tokens, names_filter=lambda name: name in held)

    def score(head: int, gate: float) -> Tensor:
        layer, column = divmod(head, subject.heads_per_layer)

        def close(z: Tensor, hook: Any) -> Tensor:
            z = z.clone()
            z[:, :, column] *= gate
            return z

        hooks: list[tuple[str, Callable[..., Tensor]]] = [
            (name, partial(lambda value, hook, kept: kept, kept=cache[name])) for name in held
        ]
        hooks.append((f"blocks.{layer}.attn.hook_z", close))
        with torch.no_grad():
            return logit_difference(prompts, bridge.run_with_hooks(prompts.tokens, fwd_hooks=hooks))

    found = Attribution(subject, through="frozen").task(prompts, LOGIT_DIFFERENCE).damage
    for head in range(0, subject.heads, 3):
        slope = (score(head, 1 + step) - score(head, 1 - step)) / (2 * step)
        assert_close(found[:, head], slope, rtol=1e-4, atol=1e-7)


def test_what_cannot_be_cut_is_refused(request: pytest.FixtureRequest) -> None:
    subject = load(request.getfixturevalue("checkpoint"), "folded")
    without = replace(subject, bridge=SimpleNamespace(hook_dict={"blocks.0.attn.hook_z": None}))
    with pytest.raises(ValueError, match=r"has no hook point '.ln1.hook_in', so attribution cannot be 'residual'"):
        Attribution(without, through="residual")
