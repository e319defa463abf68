"""What is compared computes the same; the recorded tables are whole, and say what the README says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.episodes import TableRewards
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import ActorCritic, Trainer
from circuitlib.workshop import benchmark
from circuitlib.workshop.maskable import BestRewards, maskable_ppo


def test_turns_are_taken_after_one_that_does_not_count() -> None:
    calls: list[str] = []
    actions = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    seconds = benchmark.interleaved(actions, 3)
    assert calls == ["a", "b"] * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


def test_all_ways_measure_the_same(tmp_path: Path) -> None:
    directory = benchmark.random_checkpoint(tmp_path / "tiny", 3, 3, 24, 2048)
    frame = benchmark.sweeps(str(directory), 128, repeats=1)
    assert len(frame) == 3 * 4
    exact = frame[frame["method"] != "sweep, bfloat16"]
    assert (exact[["error", "exact_error"]] < 1e-5).all(axis=None)
    assert (frame[frame["method"] == "sweep, bfloat16"]["error"] > 1e-6).all()
    assert (frame[frame["method"] == "hooks"]["speedup"] == 1).all()
    assert (frame["seconds"] > 0).all()
    assert frame["share"].between(0, 2).all()


@pytest.mark.parametrize("method", ["sweep", "hooks", "transformers"])
def test_memory_is_measured_in_a_process_of_its_own(tmp_path: Path, method: str) -> None:
    directory = benchmark.random_checkpoint(tmp_path / "tiny", 2, 2, 24, 2048)
    result = benchmark._alone(str(directory), 40, 8, method, 60.0)
    assert result["measured"] == 40
    assert result["runs"] == 3
    assert 0 < result["loaded"] <= result["resident"] < 3


def test_the_reference_has_the_same_network_and_updates(source: TableRewards) -> None:
    config = PPOConfig(budget=6)
    theirs = maskable_ppo(source, config, 0)
    ours = ActorCritic([0], len(source.tasks), source.heads, config.hidden)
    assert sum(p.numel() for p in theirs.policy.parameters()) == sum(
        p.numel() for p in ours.parameters()
    )
    batches = config.environments * config.rollout // theirs.batch_size
    assert (batches, theirs.n_epochs) == (config.minibatches, config.epochs)
    assert theirs.lr_schedule(1.0) == pytest.approx(config.learning_rate)
    assert theirs.lr_schedule(0.0) == pytest.approx(
        config.learning_rate * config.final_learning_rate
    )


def test_a_training_in_parts_is_the_whole(make_table: Callable[..., DamageTable]) -> None:
    tasks = [make_table(name, heads=60) for name in ("induction", "ioi")]
    source = TableRewards(tasks, make_table("control", heads=60))
    frame = benchmark.policies(source, 12 * 400, many=2, repeats=1).set_index("method")
    whole = Trainer(source, PPOConfig(total_steps=12 * 400), [0])
    whole.train()
    history = pd.DataFrame(whole.history)
    late = history[history["update"] > 0.9 * 12].groupby("task")["best"].mean()
    for task in source.tasks:
        assert frame.loc["ours", task] == pytest.approx(late[task])
    model = maskable_ppo(source, PPOConfig(total_steps=12 * 400), 0)
    bests = BestRewards(len(source.tasks))
    model.learn(12 * 400, callback=bests)
    parts = benchmark._Maskable(source, 12 * 400, torch.get_num_threads())
    parts.advance(5)
    parts.advance(12)
    for (name, one), other in zip(
        model.policy.named_parameters(), parts.model.policy.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)
    assert len(bests.best) == 12
    best, drawn = (np.stack(x[-2:]) for x in (bests.best, bests.tasks))
    expected = {name: best[drawn == i].mean() for i, name in enumerate(source.tasks)}
    assert parts.found() == pytest.approx(expected)
    assert (frame["rate"] > 0).all()
    assert (frame["resident"] > 0).all()


def test_recorded_speeds_reach_what_the_project_promises() -> None:
    sweeps = benchmark.recorded("sweeps")
    swept = sweeps[sweeps["method"] == "sweep"].set_index(["subject", "workload"])
    assert (swept["exact_error"] < 1e-5).all()
    speed = swept["speedup"]
    for workload in ("ioi", "induction"):
        assert speed["gpt2-mini", workload] >= 2.8
        assert speed["gpt2-shape", workload] >= 3.2
    assert speed["gpt2-mini", "control"] >= 1.5
    assert speed["gpt2-shape", "control"] >= 1.5
    policies = benchmark.recorded("policies").set_index("method")
    cost = policies["seconds"] / policies["seeds"]
    for theirs in ("MaskablePPO", "MaskablePPO, one thread"):
        for faster in (cost[theirs] / cost, policies["rate"] / policies["rate"][theirs]):
            assert faster["ours"] >= 2.5
            assert faster["ours, 10 seeds"] >= 5
    growth = benchmark.recorded("growth")
    prompts = growth[growth["grows"] == "prompts"]
    assert prompts["resident"].max() < 1.1 * prompts["resident"].min()
    held = growth[growth["grows"] == "method"].groupby("subject")["method"].agg(set)
    assert (held == {"sweep", "hooks", "transformers"}).all()
    assert set(held.index) == {"gpt2-mini", "gpt2-shape"}
    many = growth[(growth["subject"] == "gpt2-shape") & (growth["prompts"] == 4096)]
    assert (many["resident"] < 3).all()
