"""The closed forms are what is really executed, so that the sharing cannot be lost without a red test."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from transformers import AutoModelForCausalLM

from circuitlib.ablation.decoder import Decoder
from circuitlib.ablation.hooks import Hooks
from circuitlib.ablation.sweep import Sweep
from circuitlib.companion.speed import Cost, Shape, hooks_cost, pass_flops, sweep_cost, training_step
from circuitlib.search import ppo_seeds
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Learner
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import SPAN, control_spans
from circuitlib.workshop.benchmark.sweeps import Workload
from circuitlib.workshop.benchmark.ways import by_transformers


def _attention(query: list[int], key: list[int], value: list[int], *rest: object, **named: object) -> int:
    return sdpa_flop_count(query, key, value)


def _linear(inputs: list[int], weight: list[int], *rest: object, **named: object) -> int:
    return 2 * math.prod(inputs) * weight[0]


class _Untracked:
    """In the place of what tells the counter which module it is in: that hooks all modules of torch, which the sweep refuses."""

    parents = frozenset({"Global"})

    def __enter__(self) -> "_Untracked":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Counted(FlopCounterMode):
    """Counts what one thread executes, attention and oneDNN's products on a processor included."""

    def __init__(self) -> None:
        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        linear = torch.ops.mkldnn._linear_pointwise
        super().__init__(display=False, custom_mapping={attention: _attention, linear: _linear})
        self.mod_tracker: Any = _Untracked()


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "family", ["checkpoint", pytest.param("neox_checkpoint", marks=pytest.mark.long), "llama_checkpoint"]
)
def test_counted_operations(family: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = load_subject(str(request.getfixturevalue(family)))
    shape, sweep, hooks = Shape.of(subject.bridge), Sweep(subject), Hooks(subject)
    ran = {"attend": 0, "mlp": 0}
    for name in ran:
        original = getattr(Decoder, name)

        def counting(
            self: Decoder, i: int, x: Tensor, *rest: bool, name: str = name, original: object = original
        ) -> Tensor:
            ran[name] += len(x)
            return original(self, i, x, *rest)  # type: ignore[operator]

        monkeypatch.setattr(Decoder, name, counting)

    def ran_of(counted: Counted, length: int) -> Cost:
        """Without the comparison of one prompt, by the decoder and by the bridge."""
        flops = counted.get_total_flops() - 2 * pass_flops(shape, length, length)
        return Cost(flops, ran["attend"] - shape.layers, ran["mlp"] - shape.layers)

    task = TASKS["ioi"]
    prompts = task.prompts(subject.tokenizer, 5, seed=0)[0]
    count, length = prompts.tokens.shape
    with Counted() as counted:
        sweep.task(prompts, task.metric)
    swept = sweep_cost(shape, count, length, prompts.candidates.shape[1], True)
    assert ran_of(counted, length) == swept

    ran |= {"attend": 0, "mlp": 0}
    spans = control_spans(subject.tokenizer, 3, 0, "evaluation")
    with Counted() as counted:
        sweep.control(spans)
    swept = sweep_cost(shape, 3, SPAN - 1, (SPAN - 1) * (shape.vocabulary + 1), False)
    assert ran_of(counted, SPAN - 1) == swept

    with Counted() as counted:
        hooks.control(spans)
    assert counted.get_total_flops() == hooks_cost(shape, 3, SPAN).flops


@pytest.mark.parametrize("batched", [False, True])
def test_counted_passes_of_transformers(checkpoint: Path, batched: bool) -> None:
    """One head per layer runs; the closed form is of all heads."""
    subject = load_subject(str(checkpoint), "raw")
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    way, method = by_transformers(model, batched), "transformers" + ", batched" * batched
    for name in ("ioi", "control"):
        work = Workload.of(name, subject.tokenizer, 120)
        with Counted() as counted:
            work.measure(way)
        expected = work.flops(Shape.of(subject.bridge), method)
        assert counted.get_total_flops() * subject.heads_per_layer == expected


def test_what_sharing_saves_on_gpt2_small() -> None:
    """By arithmetic alone: 12 x 12 heads, width 768, 61 positions, two answers. A head
    of layer l runs 12 - l MLPs and 11 - l attentions of its own; each prompt has one clean pass."""
    gpt2 = Shape(12, 12, 12, 64, 768, 3072, False, False, 50_257)
    task, hooks = sweep_cost(gpt2, 1, 61, 2, True), hooks_cost(gpt2, 1, 61)
    assert task.mlps == 12 * 12 * 13 // 2 + 12
    assert task.attentions == 12 * 12 * 11 // 2 + 12
    assert hooks.attentions == hooks.mlps == 145 * 12
    assert 3.2 < hooks.flops / task.flops < 3.3


def test_counted_training_steps(source: TableEpisodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout also asks for the value after its last step, once per environment. numpy's products are
    handed to torch's, which are counted."""

    def counted_product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
        y = torch.bmm(left, right.detach())
        return y if out is None else out.copy_(y)

    monkeypatch.setattr(ppo_seeds, "product", counted_product)
    config = PPOConfig(400, hidden=16, budget=3)
    observation, seeds = len(source.tasks) + 2 * source.heads, [0, 1]
    learner = Learner(source, config, seeds)
    with Counted() as counted:
        learner.learn(1e-3)
    step = training_step(observation, 16, source.heads, config.update_epochs)
    last = 2 * 16 * (observation + 16 + source.heads + 1)
    expected = config.total_timesteps * step + config.num_envs * last
    assert counted.get_total_flops() == len(seeds) * expected
