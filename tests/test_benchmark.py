"""What is compared computes the same; tables are whole after each row; the recorded ones say what is promised."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitlib.ablation.tables import DamageTable
from circuitlib.companion.legend import GPUS_IN_WORDS
from circuitlib.companion.maskable import Maskable
from circuitlib.companion.speed import RECORDED, recorded, recorded_machines
from circuitlib.manifest import load_frame, read_provenance
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.network import ActorCritic
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.workshop.benchmark import PARTS, growth, machine, main
from circuitlib.workshop.benchmark.growth import Case, measured_here
from circuitlib.workshop.benchmark.machine import interleaved, matmul_rate, resident
from circuitlib.workshop.benchmark.policies import policies
from circuitlib.workshop.benchmark.random_weights import Sizes, random_checkpoint
from circuitlib.workshop.benchmark.sweeps import WORKLOADS, multiplies_bfloat16, sweeps
from circuitlib.workshop.benchmark.ways import ablated_logits, diagonal

TINY = Sizes("tiny", layers=3, heads=3, width=24, vocabulary=2048)


@pytest.fixture
def _small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIDE", {"cpu": 256})


@pytest.mark.usefixtures("_small_products")
def test_a_rate_is_operations_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "interleaved", lambda actions, repeats: {"multiply": [1, 2, 9]})
    assert matmul_rate() == 256**3


def test_turns_are_taken_after_one_that_does_not_count() -> None:
    calls: list[str] = []
    actions = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    seconds = interleaved(actions, 3)
    assert calls == ["a", "b"] * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize("family", ["checkpoint", "neox_checkpoint", "qwen2_checkpoint"])
@torch.inference_mode()
def test_each_row_of_a_batch_loses_its_own_head(family: str, request: pytest.FixtureRequest) -> None:
    """Against weights without the head's columns."""
    directory = request.getfixturevalue(family)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    heads_per_layer, layers = model.config.num_attention_heads, model.config.num_hidden_layers
    tokens = torch.randint(2000, (layers, 20), generator=torch.Generator().manual_seed(0))
    heads = diagonal(layers, heads_per_layer)
    assert [head // heads_per_layer for head in heads] == list(range(layers))
    logits = ablated_logits(model, tokens, torch.tensor(heads), 0)
    last = ablated_logits(model, tokens, torch.tensor(heads), 1)
    torch.testing.assert_close(last, logits[:, -1:], rtol=1e-4, atol=1e-5)
    clean = model(tokens).logits
    weights = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith(("attn.c_proj.weight", "o_proj.weight", "attention.dense.weight"))
    ]
    for row, (head, weight) in enumerate(zip(heads, weights, strict=True)):
        kept, by_input = weight.clone(), weight if family == "checkpoint" else weight.T
        by_input.unflatten(0, (heads_per_layer, -1))[head % heads_per_layer] = 0
        torch.testing.assert_close(logits[row], model(tokens).logits[row], rtol=1e-4, atol=1e-5)
        weight.copy_(kept)
        assert (logits[row] - clean[row]).abs().max() > 1e-3


@pytest.mark.usefixtures("_small_products")
def test_all_ways_measure_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16, slow or not, on a processor that has it; on another it is left out."""
    directory = random_checkpoint(tmp_path, TINY)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False})
    assert not multiplies_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": True})
    *_, before, frame = sweeps({str(directory): 128}, repeats=1)
    assert len(before) == 2 * 5
    assert list(frame["workload"].unique()) == list(WORKLOADS)
    exact = frame[frame["method"] != "sweep, bfloat16"]
    assert len(exact) == 3 * 4
    assert (exact[["error", "exact_error"]] < 1e-5).all(axis=None)
    assert (frame[frame["method"] == "sweep, bfloat16"]["error"] > 1e-6).all()
    assert (frame["scale"] > 1e-3).all()
    hooks = frame["workload"].map(frame[frame["method"] == "hooks"].set_index("workload")["seconds"])
    assert np.allclose(frame["speedup"] * frame["seconds"], hooks)
    assert (frame["low"] <= frame["seconds"]).all()
    assert (frame["seconds"] <= frame["high"]).all()
    assert (frame["share"] > 0).all()


def test_resident_is_the_peak() -> None:
    process = psutil.Process()
    before, now = resident(), process.memory_info().rss / 2**30
    held = np.ones(int((before - now + 0.2) * 2**27))
    assert resident() >= before + 0.15
    assert resident() == pytest.approx(process.memory_info().rss / 2**30, rel=0.05)
    del held
    assert resident() >= before + 0.15


@pytest.mark.parametrize("method", ["sweep", "hooks", "transformers"])
def test_growth_runs_what_it_says(tmp_path: Path, method: str) -> None:
    row = measured_here(str(random_checkpoint(tmp_path, TINY)), 40, 8, method)
    assert (row["measured"], row["runs"]) == (40, 3)
    assert row["seconds"] > 0
    assert 0 < row["loaded"] <= row["resident"]


@pytest.mark.long
@pytest.mark.usefixtures("_small_products")
def test_a_stop_keeps_the_rows_that_were_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [Case("layers", 3, TINY, 40, 8), Case("layers", 3, Sizes("odd", heads=7), 40, 8)]
    monkeypatch.setattr(growth, "CASES", cases)
    with pytest.raises(ValueError, match="divisible"):
        main(["--parts", "growth", "--output", str(tmp_path / "speed")])
    (folder,) = (tmp_path / "speed").iterdir()
    (row,) = load_frame(folder / "growth.csv").to_dict("records")
    assert row["subject"] == "tiny"
    assert (row["grows"], row["size"], row["prompts"], row["measured"]) == ("layers", 3, 40, 40)
    # In a process of its own: less than this one, which trains and loads much else.
    assert 0.1 < row["loaded"] <= row["resident"] < 2
    assert "growth: 1 rows" in capsys.readouterr().out
    provenance = read_provenance(folder / "growth.csv")
    instructions = torch.backends.cpu.get_cpu_capability().lower()
    assert folder.name.endswith(re.sub("[^a-z0-9]+", "-", instructions))
    assert provenance["machine"]["processor"].lower().endswith(instructions)
    defaults = {"positions": 512, "repeats": 5, "steps": 200_000, "seeds": 10}
    assert provenance["arguments"] == defaults
    assert provenance["machine"]["threads"] == torch.get_num_threads()
    rates = [value for name, value in provenance["machine"].items() if "GFLOP/s" in name]
    assert len(rates) == 3
    assert min(rates) > 0
    assert provenance["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("wrong", [["--repeats", "4"], ["--steps", "399"], ["--parts", "all"], ["--device", "tpu"]])
def test_what_cannot_be_measured_is_refused(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*wrong, "--output", str(tmp_path)])
    assert wrong[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_reference_has_the_same_network_and_updates(source: TableEpisodes) -> None:
    config = PPOConfig(budget=6)
    theirs = Maskable(source, config, 1).model
    ours = ActorCritic(len(source.tasks), source.heads, config.hidden, 0)
    assert sum(p.numel() for p in theirs.policy.parameters()) == sum(p.numel() for p in ours.parameters())
    batches = config.num_envs * config.num_steps // theirs.batch_size
    assert (batches, theirs.n_epochs) == (config.num_minibatches, config.update_epochs)
    assert theirs.lr_schedule(1.0) == pytest.approx(config.learning_rate)
    assert theirs.lr_schedule(0.0) == pytest.approx(config.learning_rate * config.lr_min_frac)


@pytest.mark.long
def test_a_training_in_parts_is_the_whole(make_table: Callable[..., DamageTable]) -> None:
    tasks = [make_table(name, heads=60) for name in ("induction", "ioi")]
    source = TableEpisodes(tasks, make_table("control", heads=60))
    config = PPOConfig(total_timesteps=4 * 400)
    half, frame = (x.set_index("method") for x in policies(source, 4 * 400, many=2, repeats=1))
    assert (half["steps"] == 2 * 400).all()
    assert (frame["steps"] == 4 * 400).all()
    assert (half["seconds"] < frame["seconds"]).all()
    late = frame["seconds"] - half["seconds"]
    assert np.allclose(frame["rate"], frame["seeds"] * 2 * 400 / late)
    assert (frame["resident"] > 0).all()
    whole = Trainer(source, config, [0])
    whole.train()
    history = pd.DataFrame(whole.history)
    last = history[history["update"] > 0.9 * 4].groupby("task")["best"].mean()
    for task in source.tasks:
        assert frame.loc["ours", task] == pytest.approx(last[task])
    at_once = Maskable(source, config, torch.get_num_threads())
    at_once.advance(4)
    parts = Maskable(source, config, torch.get_num_threads())
    parts.advance(1)
    parts.advance(4)
    for (name, one), other in zip(
        at_once.model.policy.named_parameters(), parts.model.policy.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)
    assert len(at_once.bests.best) == 4
    best, drawn = (np.stack(x[-1:]) for x in (at_once.bests.best, at_once.bests.tasks))
    expected = {name: best[drawn == i].mean() for i, name in enumerate(source.tasks)}
    assert parts.found() == pytest.approx(expected)


BOUNDS = {"gpt2-mini": 1e-5, "gpt2-shape": 1e-5, SMOLLM2: 1e-4}
"""How far a sweep may be from hooks in float64: SmolLM2 amplifies rounding."""

ON_GPU = {"gpt2-mini": 5e-5, "gpt2-shape": 1e-5}
"""The same on a GPU, whose products add in another order, and are as far by hooks."""


@pytest.mark.parametrize("processor", sorted(recorded_machines("sweeps")))
def test_recorded_sweeps_reach_what_the_project_promises(processor: str) -> None:
    gpu = processor in GPUS_IN_WORDS
    sweeps = recorded("sweeps", gpu).query("processor == @processor")
    swept = sweeps[sweeps["method"] == "sweep"].set_index(["subject", "workload"])
    for subject, rows in swept.groupby("subject"):
        assert (rows["exact_error"] < (ON_GPU if gpu else BOUNDS)[str(subject)]).all()
        assert set(rows.index.get_level_values("workload")) == set(WORKLOADS)
    speed = swept["speedup"]
    for workload in ("ioi", "induction"):
        assert speed["gpt2-mini", workload] >= 2.8
        assert speed["gpt2-shape", workload] >= 3.2
    assert speed["gpt2-mini", "control"] >= 1.5
    assert speed["gpt2-shape", "control"] >= 1.5


@pytest.mark.parametrize("processor", sorted(recorded_machines("policies")))
def test_recorded_policies_reach_what_the_project_promises(processor: str) -> None:
    policies = recorded("policies").query("processor == @processor").set_index("method")
    cost = policies["seconds"] / policies["seeds"]
    for theirs in ("MaskablePPO", "MaskablePPO, one thread"):
        for faster in (cost[theirs] / cost, policies["rate"] / policies["rate"][theirs]):
            assert faster["ours"] >= 2.5
            assert faster["ours, 10 seeds"] >= 5


@pytest.mark.parametrize("processor", sorted(recorded_machines("growth")))
def test_recorded_growth_reaches_what_the_project_promises(processor: str) -> None:
    grown = recorded("growth").query("processor == @processor")
    prompts = grown[grown["grows"] == "prompts"]
    assert prompts["resident"].max() < 1.1 * prompts["resident"].min()
    held = grown[grown["grows"] == "method"].groupby("subject")["method"].agg(set)
    assert (held == {"sweep", "hooks", "transformers"}).all()
    assert set(held.index) == {"gpt2-mini", "gpt2-shape"}
    many = grown[(grown["subject"] == "gpt2-shape") & (grown["prompts"] == 4096)]
    assert (many["resident"] < 3).all()


def test_recorded_tables_say_what_they_were_measured_on() -> None:
    for path in sorted(RECORDED.glob("*/*.csv")):
        provenance = read_provenance(path)
        assert {"processor", "cores", "threads"} <= provenance["machine"].keys()
        beside = {name: value for name, value in provenance["machine"].items() if name != "processor"}  # the heading
        assert recorded_machines(path.stem)[path.parent.name] == beside
        assert provenance["arguments"]["steps"] == 200_000
        assert provenance["versions"]["torch"]
    for folder in RECORDED.iterdir():
        parts = {path.stem for path in folder.glob("*.csv")}
        assert {"sweeps"} <= parts <= set(PARTS)
    whole = [folder for folder in RECORDED.iterdir() if all((folder / f"{part}.csv").is_file() for part in PARTS)]
    assert whole, "everything was measured on one processor at least"


def test_a_gpu_that_is_not_here_and_what_one_has_not_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for there, said in ((False, "this torch finds no CUDA device"), (True, "--parts growth: on cuda there are sweeps")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        with pytest.raises(SystemExit):
            main(["--device", "cuda", "--parts", "growth", "--output", str(tmp_path)])
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
