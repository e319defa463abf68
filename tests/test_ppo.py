"""PPO: its formulas in closed form, its determinism, and that it learns."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.episodes import TableRewards
from circuitlib.search.policy import load_policy, rounded, save_policy
from circuitlib.search.ppo import PPOConfig, advantages
from circuitlib.search.ppo_seeds import (
    ActorCritic,
    Trainer,
    clip_gradients,
    loss_gradients,
    sample_without_replacement,
)

SHORT = PPOConfig(
    total_steps=240, environments=4, rollout=12, minibatches=4, epochs=2, hidden=16, budget=6
)


def test_defaults_are_the_papers() -> None:
    config = PPOConfig()
    assert (config.total_steps, config.environments, config.rollout, config.budget) == (
        200_000,
        8,
        50,
        50,
    )
    assert config.updates * config.epochs * config.minibatches == 16_000


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_gae_closed_forms(gamma: float) -> None:
    g = torch.Generator().manual_seed(0)
    rewards, values, last = (
        torch.randn(7, 3, generator=g),
        torch.randn(7, 3, generator=g),
        torch.randn(3, generator=g),
    )
    alive = torch.zeros(7, 3)
    following = torch.cat([values[1:], last[None]])
    assert_close(
        advantages(rewards, values, alive, last, gamma, 0.0), rewards + gamma * following - values
    )
    powers = gamma ** torch.arange(8.0)
    returns = torch.stack([
        (powers[: 7 - t, None] * rewards[t:]).sum(0) + powers[7 - t] * last for t in range(7)
    ])  # fmt: skip
    assert_close(advantages(rewards, values, alive, last, gamma, 1.0), returns - values)
    constant = advantages(
        torch.ones(6, 1), torch.zeros(6, 1), torch.zeros(6, 1), torch.zeros(1), gamma, 0.95
    )
    ratio = gamma * 0.95
    expected = (1 - ratio ** torch.arange(6, 0, -1.0)) / (1 - ratio)
    assert_close(constant[:, 0], expected)


def test_gae_stops_at_an_end() -> None:
    rewards, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [0.25], [8.0]])
    ended = torch.tensor([[0.0], [1.0], [0.0]])
    estimates = advantages(rewards, values, ended, torch.tensor([16.0]), 0.5, 0.5)
    second = 2 - 0.25
    assert_close(
        estimates[:, 0],
        torch.tensor([1 + 0.5 * 0.25 - 0.5 + 0.25 * second, second, 4 + 0.5 * 16 - 8]),
    )


def test_sampling_without_replacement_has_the_right_probabilities() -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawn = sample_without_replacement(
        p.log().expand(1, 40_000, 4), 2, [torch.Generator().manual_seed(0)]
    )[0]
    assert (drawn[:, 0] != drawn[:, 1]).all()
    for first in range(4):
        for second in range(4):
            if first != second:
                share = ((drawn[:, 0] == first) & (drawn[:, 1] == second)).float().mean().item()
                assert share == pytest.approx(
                    (p[first] * p[second] / (1 - p[first])).item(), abs=0.01
                )


def test_tried_heads_are_never_drawn() -> None:
    network = ActorCritic([0], 2, 12, 16)
    observation = torch.zeros(1, 500, 26)
    observation[..., 2:12] = 1
    log_probs, _ = network(observation)
    drawn = sample_without_replacement(log_probs, 2, [torch.Generator().manual_seed(0)])
    assert set(drawn.flatten().tolist()) == {10, 11}
    assert_close(log_probs.exp().sum(-1), torch.ones(1, 500))


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_gradients_by_hand_are_autograds(scale: float) -> None:
    """On batches where ratios are within and beyond the clipping range, and heads are masked."""
    g = torch.Generator().manual_seed(0)
    config = replace(SHORT, entropy=0.3, clip=0.1)
    network = ActorCritic([0, 1], 2, 12, 16)
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=g)
    tried = torch.rand(2, 9, 12, generator=g) < 0.4
    tried[..., 0] = False
    x = torch.cat([torch.ones(2, 9, 2), tried.float(), torch.randn(2, 9, 12, generator=g)], -1)
    head = (torch.rand(2, 9, 12, generator=g) - tried.float()).argmax(-1)
    log_probs, values = network(x)
    taken = log_probs.gather(-1, head[..., None])[..., 0]
    noise, gain, error = torch.randn(3, 2, 9, generator=g)
    batch = {
        "observation": x,
        "head": head,
        "log_prob": taken.detach() + scale * noise,
        "gain": gain,
        "return": values.detach() + error,
    }
    ratio = (taken - batch["log_prob"]).exp()
    assert ((ratio < 0.9) | (ratio > 1.1)).any() == (scale == 1.0)
    surrogate = torch.minimum(ratio * gain, ratio.clamp(0.9, 1.1) * gain).mean(1)
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean(1)
    value_loss = 0.5 * (values - batch["return"]).square().mean(1)
    loss = (config.value * value_loss - surrogate - config.entropy * entropy).sum()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, torch.nan)
        loss_gradients(network, batch, config)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert_close(parameter.grad, gradient)


def test_gradients_are_clipped_seed_by_seed() -> None:
    gradients = torch.cat([torch.full((2, 12), 1.0), torch.full((2, 4), 2.0)], 1)
    gradients[1] *= 0.01
    clip_gradients(gradients, 0.5)
    assert gradients[0].norm().item() == pytest.approx(0.5, rel=1e-4)
    assert gradients[1].norm().item() == pytest.approx(0.01 * (12 + 16) ** 0.5, rel=1e-4)


def test_threads_do_not_change_what_is_learned(source: TableRewards) -> None:
    cores = torch.get_num_threads()
    states = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            trainer = Trainer(source, SHORT, range(6))
            assert [learner.seeds for learner in trainer.learners] == [[0, 1, 2], [3, 4, 5]]
            states.append(trainer.train().state_dict())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(cores)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_same_seed_same_weights(source: TableRewards) -> None:
    first, again = (Trainer(source, SHORT, [3]).train().state_dict() for _ in range(2))
    other = Trainer(source, SHORT, [4]).train().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_seed_among_others_is_itself_alone(source: TableRewards) -> None:
    together = Trainer(source, SHORT, [0, 1, 2])
    network = together.train()
    alone = Trainer(source, SHORT, [1])
    assert_close(network.of_seed(1).state_dict(), alone.train().state_dict(), atol=1e-5, rtol=1e-5)
    mine = [row for row in together.history if row["seed"] == 1]
    assert [row["best"] for row in mine] == pytest.approx([row["best"] for row in alone.history])


@pytest.mark.parametrize("candidates", [1, 3])
def test_resumed_training_is_uninterrupted_training(
    source: TableRewards, tmp_path: Path, candidates: int
) -> None:
    config = replace(SHORT, candidates=candidates, rollout=8)
    whole = Trainer(source, config, [0, 1])
    whole.train()
    checkpoint = tmp_path / "ppo.pt"
    stopped = Trainer(source, config, [0, 1])
    stopped.train(checkpoint, every=1, stop=lambda: stopped.done == 3)
    resumed = Trainer(source, config, [0, 1])
    network = resumed.train(checkpoint)
    assert resumed.done == config.updates == 7
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.parameters(), whole.network.parameters(), strict=True)
    )
    assert resumed.history == whole.history
    with pytest.raises(ValueError, match="another configuration"):
        Trainer(source, config, [5]).restore(checkpoint)


def test_it_finds_the_one_good_head(make_table: Callable[..., DamageTable]) -> None:
    """One head pays 5, the others nothing; three picks. Random search finds it in a quarter of episodes."""
    damage = torch.zeros(32, 12)
    damage[:, 8] = 5.0
    table = DamageTable(torch.ones(32), damage, {"task": "one"})
    control = DamageTable(torch.ones(32), torch.zeros(32, 12), {"task": "control"})
    config = PPOConfig(
        total_steps=4800,
        rollout=15,
        minibatches=4,
        learning_rate=2e-3,
        entropy=0.01,
        hidden=32,
        budget=3,
    )
    trainer = Trainer(TableRewards([table], control), config, [0, 1])
    network = trainer.train()
    start = torch.zeros(2, 1, 25)
    start[..., 0] = 1
    assert (network(start)[0].exp()[..., 8] > 0.9).all()
    assert np.mean([row["best"] for row in trainer.history if row["update"] < 5]) < 3
    assert np.mean([row["best"] for row in trainer.history if row["update"] > 35]) > 4.5


def test_policies_round_trip(tmp_path: Path) -> None:
    network = rounded(ActorCritic([4, 5], 2, 12, 16))
    save_policy(network, tmp_path / "policy.safetensors", {"made": "here"})
    again, provenance = load_policy(tmp_path / "policy.safetensors")
    assert provenance == {"made": "here"}
    assert again.seeds == [4, 5]
    observation = torch.rand(2, 3, 26).round()
    assert torch.equal(network(observation)[0], again(observation)[0])
    assert_close(network.of_seed(1)(observation[1:])[0], network(observation)[0][1:])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1"),
        ("minibatches", 7, "do not divide"),
        ("total_steps", 100, "must hold one update"),
    ],
)
def test_bad_settings_are_refused(field: str, value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPOConfig(**{field: value})


def test_repeated_seeds_are_refused(source: TableRewards) -> None:
    with pytest.raises(ValueError, match="seeds must be different"):
        Trainer(source, SHORT, [1, 1])
