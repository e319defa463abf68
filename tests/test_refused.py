"""What the sweep must not be trusted with: refused by name, or measured with hooks after a warning."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from by_hand import induction_transformer
from conftest import SaveCheckpoint
from torch import Tensor
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from torch.testing import assert_close
from torch.utils.hooks import RemovableHandle
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    Qwen2Config,
)

from circuitlib import head_damage
from circuitlib.ablation import decoder
from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.decoder import PROBE, PROBE_UNITS, Decoder, UnknownArchitecture, in_type
from circuitlib.ablation.engine import Ablation, Engine
from circuitlib.ablation.hooks import HookedBridge, Hooks, hooks_of_users
from circuitlib.ablation.sweep import Sweep, engine
from circuitlib.ablation.variants import not_done
from circuitlib.subjects.load import Subject, load_subject, subject_of
from circuitlib.tasks import TASKS

FAMILIES = ["gpt2", "gpt_neox", "llama", "qwen2"]
WINDOW = {"use_sliding_window": True, "sliding_window": 32}


def _tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(2000, (rows, length), generator=torch.Generator().manual_seed(seed))


# Read from the configuration ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (GPT2Config(), []),
        (GPT2Config(n_head=6, n_inner=3, resid_pdrop=0.5, activation_function="relu"), []),
        (GPT2Config(scale_attn_by_inverse_layer_idx=True), ["scale_attn_by_inverse_layer_idx"]),
        (GPT2Config(reorder_and_upcast_attn=True), ["reorder_and_upcast_attn"]),
        (GPT2Config(scale_attn_weights=False), ["scale_attn_weights"]),
        (GPT2Config(add_cross_attention=True), ["add_cross_attention"]),
        (GPTNeoXConfig(use_parallel_residual=False, rotary_pct=1.0), []),
        (LlamaConfig(attention_bias=True, mlp_bias=True, head_dim=16, pretraining_tp=2), []),
        (LlamaConfig(is_llama_config=True, rope_interleaved=False), []),
        (LlamaConfig(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}), []),
        (LlamaConfig(rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}), ["rope_parameters"]),
        (LlamaConfig(attn_logit_softcapping=30.0, logit_scale=2.0), ["attn_logit_softcapping", "logit_scale"]),
        (LlamaConfig(residual_multiplier=0.2, qk_norm=True), ["residual_multiplier", "qk_norm"]),
        (LlamaConfig(sliding_window=32), ["sliding_window"]),
        (Qwen2Config(num_hidden_layers=3), []),
        (Qwen2Config(num_hidden_layers=3, max_window_layers=3, **WINDOW), []),
        (Qwen2Config(num_hidden_layers=3, max_window_layers=0, **WINDOW), ["layer_types"]),
        (Qwen2Config(num_hidden_layers=3, max_window_layers=2, **WINDOW), ["layer_types"]),
    ],
)
def test_what_a_configuration_asks_for(config: PretrainedConfig, named: list[str]) -> None:
    found = [setting.partition("=")[0] for setting in not_done(config)]
    assert sorted(found) == sorted(named)


def test_windows_are_measured_by_hooks(
    save_checkpoint: SaveCheckpoint, grouped: dict[str, Any], tmp_path: Path
) -> None:
    """Issue: a window of 32, prompts of 64 tokens, damages off by more than the largest."""
    config = Qwen2Config(**grouped, **WINDOW, max_window_layers=0)
    subject = load_subject(str(save_checkpoint(config, tmp_path)))
    with pytest.warns(UserWarning, match=r"one forward pass per head.*layer_types=\['sliding"):
        slow = engine(subject)
    assert isinstance(slow, Hooks)
    assert slow.control(_tokens(1, 64)).damage.abs().max() > 1e-3


def test_a_model_that_its_bridge_does_not_compute_is_no_subject(
    save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any], tmp_path: Path
) -> None:
    config = GPT2Config(n_embd=40, n_layer=1, n_head=5, scale_attn_weights=False, **vocabulary)
    directory = str(save_checkpoint(config, tmp_path))
    with pytest.raises(ValueError, match="does not compute what the model"):
        load_subject(directory)
    bridge = TransformerBridge.boot_transformers(directory, dtype=torch.float32, device="cpu").eval()
    with pytest.raises(ValueError, match="scale_attn_weights is false"):
        subject_of(bridge)


def test_another_architecture_takes_the_slow_way_and_says_so(opt_checkpoint: Path) -> None:
    subject = load_subject(str(opt_checkpoint), "raw")
    with pytest.warns(UserWarning, match=r"one forward pass per head, exact and slow.*OPT"):
        slow = engine(subject)
    assert isinstance(slow, Hooks)
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 3, seed=0)[0]
    scores = slow.task(prompts, TASKS["ioi"].metric)
    assert scores.ablated.shape == (len(prompts), 8)
    assert scores.damage.abs().max() > 1e-5


# Compared with the bridge -------------------------------------------------------------------------


def _odd_from(position: int, module: Any) -> None:
    """Make a module do something else from a position on, in a way that no configuration tells."""

    def forward(self: Any, *args: Any, **named: Any) -> Any:
        out = usual.forward(self, *args, **named)
        return torch.cat([out[:, :position], 1.5 * out[:, position:]], 1)

    usual = type(module)
    module.__class__ = type("Odd", (usual,), {"forward": forward})


@pytest.mark.parametrize("convention", ["raw", "folded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_call_compares_its_own_prompts(family: str, convention: Any, small: dict[str, Path]) -> None:
    subject = load_subject(str(small[family]), convention)
    _odd_from(PROBE, subject.bridge.blocks[1].mlp)
    sweep = Sweep(subject)
    sweep.control(_tokens(2, PROBE))
    with pytest.raises(UnknownArchitecture, match="on 79 tokens its log-probabilities differ"):
        sweep.control(_tokens(2, 80))
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 2, seed=0)[0]
    sweep.task(prompts, TASKS["ioi"].metric)
    subject.bridge.W_E.data[prompts.tokens[0, 1]] += 1
    with pytest.raises(UnknownArchitecture, match="log-probabilities differ"):
        Sweep(subject).control(_tokens(2, 80))


def test_a_window_that_no_configuration_tells_is_noticed(
    save_checkpoint: SaveCheckpoint, grouped: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "not_done", lambda config: [])
    grouped = grouped | {"use_sliding_window": True, "max_window_layers": 0}
    for window in (32, PROBE + 6):
        directory = tmp_path / str(window)
        save_checkpoint(Qwen2Config(**grouped, sliding_window=window), directory)
        subject = load_subject(str(directory))
        with pytest.raises(UnknownArchitecture, match="variant that the sweep does not know"):
            Sweep(subject).control(_tokens(2, 81))


# Half precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("dtype", "matmul"),
    [(torch.float32, None), (torch.float32, torch.bfloat16), (torch.bfloat16, None), (torch.float16, None)],
)
def test_a_wrong_norm_is_refused_in_every_precision(
    family: str, dtype: torch.dtype, matmul: torch.dtype | None, small: dict[str, Path]
) -> None:
    directory = str(small[family])
    bridge = TransformerBridge.boot_transformers(directory, dtype=dtype, device="cpu")
    subject = subject_of(bridge)
    scores = Sweep(subject, matmul=matmul).control(_tokens(1, 20))
    assert scores.damage.isfinite().all()
    assert {weight.dtype for weight in bridge.parameters()} == {dtype}
    usual, bridge.cfg.eps = bridge.cfg.eps, 0.1
    with pytest.raises(UnknownArchitecture, match="variant that the sweep does not know"):
        Sweep(subject, matmul=matmul)
    bridge.cfg.eps = usual
    _odd_from(PROBE, bridge.blocks[1].mlp)
    with pytest.raises(UnknownArchitecture, match="on 79 tokens"):
        Sweep(subject, matmul=matmul).control(_tokens(1, 80))


def test_a_model_that_amplifies_rounding_is_swept_and_its_variants_are_refused(
    save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights so large that attention is saturated a unit of rounding decides."""
    config = GPT2Config(n_embd=64, n_layer=8, n_head=4, initializer_range=1.0, **vocabulary)
    directory = save_checkpoint(config, tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(directory)
    subject = load_subject(str(directory), "raw")
    sweep = Sweep(subject)
    ours, theirs = sweep.decoder._log_probabilities(_tokens(1, PROBE))
    assert (ours - theirs).abs().max() > 3 * PROBE_UNITS * torch.finfo(torch.float32).eps * theirs.abs().max()
    sweep.decoder.compare(_tokens(1, PROBE))
    subject.bridge.cfg.eps = 0.1
    with pytest.raises(UnknownArchitecture, match="variant that the sweep does not know"):
        Sweep(subject)


@pytest.mark.parametrize("sharp", [12, 60])
def test_sharp_attention_is_swept_and_edited_weights_are_noticed(
    sharp: float, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    """The sharper, the more it amplifies what is the order of additions, on some processors much more so in one product library than
    in another."""
    subject = load_subject(str(induction_transformer(tmp_path, tokenizer, sharp)))
    decoder = Sweep(subject).decoder
    for seed in range(6):
        decoder.compare(_tokens(1, PROBE, seed))
    with torch.no_grad():
        subject.bridge.blocks[1].attn.W_V.mul_(1.05)
    with pytest.raises(UnknownArchitecture, match="have been edited since"):
        decoder.compare(_tokens(1, PROBE))


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_double_precision_is_compared_to_its_own_rounding(family: str, small: dict[str, Path]) -> None:
    """Where transformers computes all of it in double; its RMSNorm is in float32."""
    subject = load_subject(str(small[family]), "raw")
    bridge = in_type(subject.bridge, torch.float64)
    Decoder(bridge).compare(_tokens(4, 80))
    bridge.cfg.eps *= 1 + 1e-3
    with pytest.raises(UnknownArchitecture, match="variant that the sweep does not know"):
        Decoder(bridge)


@pytest.mark.parametrize("matmul", [None, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_edited_after_the_sweep_was_made_are_noticed(
    family: str, dtype: torch.dtype, matmul: torch.dtype | None, small: dict[str, Path]
) -> None:
    """The sweep multiplies with copies, so that it would go on measuring the model as it was; in half precision, too."""
    subject = load_subject(str(small[family]))
    subject = replace(subject, bridge=subject.bridge.to(dtype, print_details=False))
    sweep, tokens = Sweep(subject, matmul=matmul), _tokens(2, 40)
    before = sweep.control(tokens).clean
    sweep.control(tokens)
    with torch.no_grad():
        subject.bridge.blocks[1].attn.W_V.mul_(1.5)
    with pytest.raises(UnknownArchitecture, match="edited since the sweep was made"):
        sweep.control(tokens)
    assert (Sweep(subject, matmul=matmul).control(tokens).clean - before).abs().max() > 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_edited_behind_torchs_count_are_noticed(family: str, small: dict[str, Path]) -> None:
    """By what the two compute."""
    subject = load_subject(str(small[family]))
    sweep, tokens = Sweep(subject), _tokens(2, 40)
    subject.bridge.blocks[1].attn.W_V.data.mul_(1.01)
    with pytest.raises(UnknownArchitecture, match="edited since the sweep was made"):
        sweep.control(tokens)


def test_means_of_weights_that_were_edited_are_refused(small: dict[str, Path]) -> None:
    """They are taken once; without them an estimate is of the weights as they are."""
    subject, tokens = load_subject(str(small["gpt2"])), _tokens(2, 40)
    by_mean, by_zero = (Attribution(subject, some) for some in (Ablation("mean", [_tokens(3, 40)]), Ablation("zero")))
    before = [some.control(tokens).damage for some in (by_mean, by_zero)]
    with torch.no_grad():
        subject.bridge.blocks[1].attn.W_V.mul_(1.5)
    with pytest.raises(ValueError, match="edited since the means were taken"):
        by_mean.control(tokens)
    after = Attribution(subject, Ablation("zero")).control(tokens).damage
    assert_close(by_zero.control(tokens).damage, after, atol=1e-6, rtol=0)
    assert (after - before[1]).abs().max() > 1e-5


def test_weights_replaced_after_the_sweep_was_made_are_noticed(small: dict[str, Path]) -> None:
    subject = load_subject(str(small["llama"]))
    subject = replace(subject, bridge=subject.bridge.to(torch.bfloat16, print_details=False))
    sweep, tokens = Sweep(subject), _tokens(2, 40)
    sweep.control(tokens)
    for module in subject.bridge.modules():
        for name, weight in [*module.named_parameters(recurse=False)]:
            setattr(module, name, torch.nn.Parameter(1.5 * weight.detach(), requires_grad=False))
    with pytest.raises(UnknownArchitecture, match="edited since the sweep was made"):
        sweep.control(tokens)


# Hooks of the user --------------------------------------------------------------------------------


def _louder(value: Tensor, hook: Any) -> Tensor:
    return torch.cat([value[:, :30], 2 * value[:, 30:]], 1)


def _louder_module(module: Any, arguments: Any, output: Tensor) -> Tensor:
    return _louder(output, None)


def _on_a_hook_point(bridge: TransformerBridge) -> str:
    bridge.add_hook("blocks.0.hook_resid_post", _louder)
    return "hook_"


def _on_a_hook_point_by_torch(bridge: TransformerBridge) -> str:
    bridge.hook_dict["blocks.0.hook_resid_post"].register_forward_hook(_louder_module)
    return "hook_"


def _on_a_module(bridge: TransformerBridge) -> str:
    bridge.blocks[0].mlp.register_forward_hook(_louder_module)
    return "mlp"


@pytest.mark.parametrize("attach", [_on_a_hook_point, _on_a_hook_point_by_torch, _on_a_module])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_hook_left_on_the_bridge_is_said_and_measured(
    family: str, attach: Callable[[TransformerBridge], str], small: dict[str, Path]
) -> None:
    subject = load_subject(str(small[family]))
    prompts = TASKS["docstring"].prompts(subject.tokenizer, 2, seed=0)[0]
    metric = TASKS["docstring"].metric
    assert prompts.last >= 30
    assert hooks_of_users(subject.bridge) == []
    before = engine(subject)
    assert isinstance(before, Sweep)
    usual = before.task(prompts, metric)
    name = attach(subject.bridge)
    with pytest.raises(HookedBridge, match=f"the bridge has hooks .*{name}.*remove them"):
        before.task(prompts, metric)
    with pytest.warns(UserWarning, match=f"exact and slow: the bridge has hooks .*{name}"):
        slow = engine(subject)
    hooked = slow.task(prompts, metric)
    assert (hooked.clean - usual.clean).abs().max() > 1e-3
    assert hooks_of_users(subject.bridge), "it is still there"
    assert_close(slow.task(prompts, metric).ablated, hooked.ablated)


def test_a_hook_on_every_module_is_said(small: dict[str, Path]) -> None:
    """It may act on this bridge alone, and would not on a copy of it."""
    subject = load_subject(str(small["llama"]))
    mlp = subject.bridge.blocks[0].mlp
    handle = register_module_forward_hook(lambda module, given, output: 2 * output if module is mlp else None)
    try:
        with pytest.raises(HookedBridge, match="every module of torch"):
            Sweep(subject)
    finally:
        handle.remove()
    Sweep(subject)


@pytest.mark.parametrize("family", FAMILIES)
def test_hooks_on_a_plain_model_are_refused(
    family: str, small: dict[str, Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    """A pair is measured from a copy on disk, where hooks are not."""
    model = AutoModelForCausalLM.from_pretrained(small[family])
    pair, prompts = (model, tokenizer), [("The", " a", " of")]
    usual = head_damage(pair, prompts)
    inner = list(model.base_model.children())[-1]
    for attach in (
        lambda: model.register_forward_hook(lambda *given: None),
        lambda: inner.register_forward_hook(_louder_module),
        lambda: inner.register_forward_pre_hook(lambda *given: None),
    ):
        handle = attach()
        with pytest.raises(HookedBridge, match=r"the model has hooks \(.*remove them, or wrap it"):
            head_damage(pair, prompts)
        handle.remove()
    assert usual.equals(head_damage(pair, prompts))


def _other_gradient(module: Any, *gradients: Any) -> Any:
    """What a hook on the backward pass may do."""
    return tuple(2 * gradient for gradient in gradients[0])


def _backward_on_a_hook_point(bridge: TransformerBridge) -> tuple[str, RemovableHandle | None]:
    bridge.add_hook("blocks.0.attn.hook_z", lambda gradient, hook: 2 * gradient, dir="bwd")
    return "blocks.0.attn.hook_z", None


def _backward_on_a_module(bridge: TransformerBridge) -> tuple[str, RemovableHandle | None]:
    return "mlp", bridge.blocks[1].mlp.register_full_backward_hook(_other_gradient)


def _before_backward_on_a_module(bridge: TransformerBridge) -> tuple[str, RemovableHandle | None]:
    return "mlp", bridge.blocks[1].mlp.register_full_backward_pre_hook(_other_gradient)


def _backward_on_the_bridge(bridge: TransformerBridge) -> tuple[str, RemovableHandle | None]:
    return "the bridge", bridge.register_full_backward_hook(lambda *given: None)


def _backward_on_every_module(bridge: TransformerBridge) -> tuple[str, RemovableHandle | None]:
    return "every module of torch", register_module_full_backward_hook(lambda *given: None)


def _before_backward_on_every_module(bridge: TransformerBridge) -> tuple[str, RemovableHandle | None]:
    return "every module of torch", register_module_full_backward_pre_hook(lambda *given: None)


@pytest.mark.filterwarnings("ignore:For backward hooks to be called")
@pytest.mark.parametrize(
    "attach",
    [
        _backward_on_a_hook_point,
        _backward_on_a_module,
        _before_backward_on_a_module,
        _backward_on_the_bridge,
        _backward_on_every_module,
        _before_backward_on_every_module,
    ],
)
def test_a_hook_on_the_backward_pass_is_refused_where_there_is_one(
    attach: Callable[[TransformerBridge], tuple[str, RemovableHandle | None]], small: dict[str, Path]
) -> None:
    """The engines that ablate go forward only, so that what it does to gradients is nothing to them."""
    subject = load_subject(str(small["llama"]))
    prompts, metric = TASKS["ioi"].prompts(subject.tokenizer, 2, seed=0)[0], TASKS["ioi"].metric
    attribution = Attribution(subject)
    others: list[Engine] = [Sweep(subject), Hooks(subject)]
    usual = [one.task(prompts, metric).ablated for one in (attribution, *others)]
    name, handle = attach(subject.bridge)
    try:
        for measure in (lambda: attribution.task(prompts, metric), lambda: attribution.control(prompts.tokens)):
            with pytest.raises(HookedBridge, match=f"hooks on its backward pass .*{name}.*; remove them"):
                measure()
        assert isinstance(engine(subject), Sweep)
        for one, before in zip(others, usual[1:], strict=True):
            assert_close(one.task(prompts, metric).ablated, before)
    finally:
        if handle is None:
            subject.bridge.reset_hooks()
        else:
            handle.remove()
    assert_close(attribution.task(prompts, metric).ablated, usual[0])


# Tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Sweep, Hooks, Attribution])
def test_bos_twice_is_refused(kind: Any, odd: Subject) -> None:
    """In one prompt of two, or in its counterfactual; not in a control span, which may be cut where a paragraph begins."""
    metric, bos = TASKS["ioi"].metric, odd.tokenizer.bos_token_id
    prompts, measure = TASKS["ioi"].prompts(odd.tokenizer, 2, seed=0)[0][:2], kind(odd, Ablation("resample"))
    twice = prompts.tokens.clone()
    twice[-1, 1] = bos
    for some in (replace(prompts, tokens=twice), replace(prompts, counterfactual=twice)):
        with pytest.raises(ValueError, match=r"ioi prompts begin with the BOS token .* twice.*leave one out"):
            measure.task(some, metric)
        with pytest.raises(ValueError, match="begin with the BOS token"):
            head_damage(odd, some)
    assert measure.control(twice, twice.flip(0)).clean.isfinite().all()
    later = prompts.tokens.clone()
    later[:, 3] = bos
    assert measure.task(replace(prompts, tokens=later), metric).clean.isfinite().all()
    assert measure.task(prompts[:1], metric).clean.isfinite().all()
    # A subject whose prompts begin with nothing has no BOS to begin with twice.
    bare = odd.with_bos("none")
    assert kind(bare, Ablation("resample")).task(replace(prompts, tokens=twice), metric).clean.isfinite().all()


@pytest.mark.parametrize("kind", [Sweep, Hooks, Attribution])
def test_ids_that_the_model_does_not_have_are_refused(kind: Any, odd: Subject) -> None:
    prompts, measure = TASKS["ioi"].prompts(odd.tokenizer, 2, seed=0)[0], kind(odd)
    vocabulary = len(odd.bridge.W_E)
    for number in (-1, vocabulary):
        for name in ("tokens", "candidates"):
            ids = getattr(prompts, name).clone()
            ids[0, -1] = number
            with pytest.raises(ValueError, match=f"token ids must be between 0 and {vocabulary - 1}, odd's vocabulary"):
                measure.task(replace(prompts, **{name: ids}), TASKS["ioi"].metric)
        with pytest.raises(ValueError, match="token ids must be between"):
            measure.control(torch.full((1, 5), number))


@pytest.mark.parametrize("kind", [Sweep, Hooks])
def test_training_mode_is_refused_whenever_it_begins(
    kind: Any, save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any], tmp_path: Path
) -> None:
    """Dropout would be taken for damage."""
    config = GPT2Config(n_embd=48, n_layer=3, n_head=6, resid_pdrop=0.3, attn_pdrop=0.3, embd_pdrop=0.3, **vocabulary)
    subject = load_subject(str(save_checkpoint(config, tmp_path)))
    some, tokens = kind(subject), _tokens(2, 40)
    some.control(tokens)
    subject.bridge.train()
    for use in (lambda: some.control(tokens), lambda: kind(subject).control(tokens)):
        with pytest.raises(ValueError, match="in training mode; call its eval"):
            use()


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_model_that_draws_random_numbers_is_refused(share: float, small: dict[str, Path]) -> None:
    """What no copy of the bridge reproduces is not rounding for that."""
    subject = load_subject(str(small["gpt2"]), "raw")
    usual = type(subject.bridge.blocks[1].mlp)

    class Noisy(usual):  # type: ignore[misc, valid-type]
        def forward(self, *given: Any, **named: Any) -> Tensor:
            output = super().forward(*given, **named)
            return output + share * output.std() * torch.randn_like(output)

    subject.bridge.blocks[1].mlp.__class__ = Noisy
    for _ in range(6):
        with pytest.raises(UnknownArchitecture, match="a variant that the sweep does not know"):
            Sweep(subject)


# Devices and threads ------------------------------------------------------------------------------


def test_a_device_that_is_neither_cpu_nor_cuda_is_one_sentence(checkpoint: Path) -> None:
    bridge = load_subject(str(checkpoint)).bridge
    subject = subject_of(bridge)
    bridge.to("meta", print_details=False)
    with pytest.raises(ValueError, match="device must be cpu or cuda, not 'meta'"):
        subject_of(bridge)
    with pytest.raises(ValueError, match="device must be cpu or cuda, not 'meta'"):
        engine(subject)


@pytest.mark.parametrize("kind", [Sweep, Hooks, Attribution])
def test_calls_at_once_are_calls_in_turn(small: dict[str, Path], kind: Any) -> None:
    """Each thread its own prompts, on one bridge: hooks of one must not act in another's pass."""
    subject = load_subject(str(small["gpt2"]))
    some = kind(subject)
    inputs = [_tokens(1, 20 + i, i) for i in range(3)]
    alone = [some.control(tokens).ablated for tokens in inputs]
    together: list[Tensor | None] = [None] * len(inputs)

    def call(i: int) -> None:
        together[i] = some.control(inputs[i]).ablated

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert_close(one, other, atol=1e-5, rtol=0)
