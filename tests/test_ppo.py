"""PPO on one seed: its formulas in closed form, and that it learns."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn as nn
from torch.testing import assert_close

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.env import HeadAblationVectorEnv, budget_for
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.network import ActorCritic, PolicyNetwork
from circuitlib.search.planning import best_of, candidates, gumbel
from circuitlib.search.ppo import PPOConfig, advantages, loss, rollout, train, update

LEARNING = PPOConfig(
    total_timesteps=4800, num_steps=15, num_minibatches=4, learning_rate=2e-3, ent_coef=0.01, hidden=32, budget=3
)


@pytest.fixture
def one_good_head() -> TableEpisodes:
    """Head 8 of 12 pays 5, the others nothing. Three picks at random find it in a quarter of episodes."""
    damage = torch.zeros(32, 12)
    damage[:, 8] = 5.0
    table = DamageTable(torch.ones(32), damage, {"task": "one"})
    return TableEpisodes([table], DamageTable(torch.ones(32), torch.zeros(32, 12), {"task": "control"}))


class Preferences(nn.Module):
    """A policy of another kind: one preference per head, whatever is observed beyond which heads were tried."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.logits, self.value = nn.Parameter(torch.zeros(heads)), nn.Parameter(torch.zeros(1))

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        heads = len(self.logits)
        logits = self.logits - 1e9 * observations[:, -2 * heads : -heads]
        return logits.log_softmax(-1), self.value.expand(len(observations))


def test_defaults_are_the_papers() -> None:
    config = PPOConfig()
    assert (config.total_timesteps, config.num_envs, config.num_steps, config.budget) == (200_000, 8, 50, 50)
    assert config.updates * config.update_epochs * config.num_minibatches == 16_000
    assert [config.annealed(u) for u in (0, 250, 500)] == pytest.approx([2.5e-4, 1.5e-4, 5e-5])
    assert sum(p.numel() for p in ActorCritic(2, 144, 256, 0).parameters()) == 177_553


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("update_epochs", 0, "update_epochs must be at least 1"),
        ("budget", -1, "budget must be at least 1"),
        ("learning_rate", -1e-3, "learning_rate must be at least 0"),
        ("gamma", 1.5, "gamma must be at most 1"),
        ("lr_min_frac", float("nan"), "lr_min_frac must be"),
        ("learning_rate", float("inf"), "learning_rate must be a finite number"),
        ("num_minibatches", 7, "num_minibatches must divide"),
        ("num_minibatches", 400, "of two steps or more"),
        ("total_timesteps", 100, "must hold one update"),
        ("adam_eps", 0.0, "adam_eps must be more than 0"),
    ],
)
def test_bad_settings_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PPOConfig(), **{field: value})  # type: ignore[arg-type]
    assert field in {setting.name for setting in fields(PPOConfig)}


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_gae_closed_forms(gamma: float) -> None:
    g = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 7, 3, generator=g)
    last, alive = torch.randn(3, generator=g), torch.zeros(7, 3)
    following = torch.cat([values[1:], last[None]])
    assert_close(advantages(rewards, values, alive, last, gamma, 0.0), rewards + gamma * following - values)
    powers = gamma ** torch.arange(8.0)
    returns = [(powers[: 7 - t, None] * rewards[t:]).sum(0) + powers[7 - t] * last for t in range(7)]
    assert_close(advantages(rewards, values, alive, last, gamma, 1.0), torch.stack(returns) - values)
    constant = advantages(torch.ones(6, 1), torch.zeros(6, 1), torch.zeros(6, 1), torch.zeros(1), gamma, 0.95)
    ratio = gamma * 0.95
    expected = (1 - ratio ** torch.arange(6, 0, -1.0)) / (1 - ratio)
    assert_close(constant[:, 0], expected)


def test_gae_stops_at_an_end() -> None:
    rewards, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [0.25], [8.0]])
    ended = torch.tensor([[0.0], [1.0], [0.0]])
    estimates = advantages(rewards, values, ended, torch.tensor([16.0]), 0.5, 0.5)
    second = 2 - 0.25
    expected = [1 + 0.5 * 0.25 - 0.5 + 0.25 * second, second, 4 + 0.5 * 16 - 8]
    assert_close(estimates[:, 0], torch.tensor(expected))


def test_loss_by_hand() -> None:
    """Four heads, one tried: the others have probability 1/3. Ratios of 1, 1.5 and 0.5, clipped to 0.8 and 1.2 where
    that is the worse."""
    network = Preferences(4)
    network.value.data[:] = 2.0
    x = torch.zeros(4, 1 + 8)
    x[:, 1] = 1  # head 0 was tried
    ratios = torch.tensor([1.0, 1.5, 0.5, 1.5])
    gains = torch.tensor([2.0, 1.0, -1.0, -1.0])
    batch = {
        "observation": x,
        "head": torch.tensor([1, 2, 3, 1]),
        "log_prob": torch.tensor(1 / 3).log() - ratios.log(),
        "gain": gains,
        "return": torch.tensor([2.0, 1.0, 2.0, 4.0]),
    }
    config = PPOConfig(clip_coef=0.2, ent_coef=0.3, vf_coef=0.7)
    value, diagnostics = loss(network, batch, config)
    surrogate, value_loss, entropy = (2.0 + 1.2 - 0.8 - 1.5) / 4, 0.5 * (1 + 4) / 4, np.log(3)
    assert value.item() == pytest.approx(-surrogate + 0.7 * value_loss - 0.3 * entropy, rel=1e-5)
    assert diagnostics == pytest.approx(
        {
            "approx_kl": (ratios - 1 - ratios.log()).mean().item(),
            "clipfrac": 0.75,
            "entropy": entropy,
            "value_loss": value_loss,
        },
        rel=1e-5,
    )
    value.backward()
    assert network.logits.grad is not None
    assert network.logits.grad[0] == 0
    assert network.value.grad is not None
    assert network.value.grad.item() == pytest.approx(0.7 * (0 + 1 + 0 - 2) / 4)


def test_sampling_without_replacement_has_the_right_probabilities(source: TableEpisodes) -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    keys = p.log() + gumbel((40_000, 4), torch.Generator().manual_seed(0))
    env = HeadAblationVectorEnv(source, 2)
    env.reset(seed=0)
    drawn = candidates(env, keys, 2)
    assert (drawn[:, :1] == candidates(env, keys, 1)).all()
    for first in range(4):
        for second in set(range(4)) - {first}:
            share = ((drawn[:, 0] == first) & (drawn[:, 1] == second)).mean()
            assert share == pytest.approx((p[first] * p[second] / (1 - p[first])).item(), abs=0.01)


def test_planning_takes_the_best_of_the_untried(source: TableEpisodes) -> None:
    """To the last head: with fewer untried ones than candidates, those are measured, and no head is taken twice."""
    env, generator = (HeadAblationVectorEnv(source, 3, autoreset=False), torch.Generator().manual_seed(0))
    observation, _ = env.reset(seed=0)
    network = ActorCritic(2, 12, 16, 0)
    for pick in range(12):
        with torch.no_grad():
            log_probs, _ = network(torch.from_numpy(observation))
        assert_close(log_probs.exp().sum(-1), torch.ones(3))
        drawn = candidates(env, log_probs + gumbel((3, 12), generator), 5)
        assert drawn.shape == (3, min(5, 12 - pick))
        taken = best_of(env, drawn)
        assert (np.take_along_axis(env.action_masks(), drawn, 1) == 1).all()
        measured = env.measure(drawn)
        observation, paid, _, _, _ = env.step(taken)
        assert (paid == measured.max(1)).all()
    assert not env.action_masks().any()


def test_a_rollout_records_what_was_played(source: TableEpisodes) -> None:
    config = PPOConfig(total_timesteps=60, num_envs=3, num_steps=8, num_minibatches=4, hidden=16, budget=4)
    env, network = HeadAblationVectorEnv(source, 3, 4), ActorCritic(2, 12, 16, 0)
    observation, _ = env.reset(seed=0)
    batch, after, best = rollout(network, env, observation, config, torch.Generator().manual_seed(0))
    assert (batch["observation"][:3].numpy() == observation).all()
    replayed = HeadAblationVectorEnv(source, 3, 4)
    replayed.reset(seed=0)
    largest = torch.full((3,), -torch.inf)
    for head, reward in zip(batch["head"].view(8, 3), batch["reward"].view(8, 3), strict=True):
        observation, paid, ended, _, info = replayed.step(head.numpy())
        assert (reward.numpy() == paid).all()
        largest = largest.maximum(reward)
        if ended.all():
            for task in set(info["final_task"]):
                these = torch.from_numpy(info["final_task"] == task)
                assert (task, pytest.approx(largest[these].mean().item())) in best
            largest[:] = -torch.inf
    assert (after == observation).all()
    with torch.no_grad():
        log_probs, values = network(batch["observation"])
    assert_close(log_probs.gather(1, batch["head"][:, None])[:, 0], batch["log_prob"])
    assert_close(batch["return"] - values, batch["advantage"])


def test_explained_variance(source: TableEpisodes) -> None:
    config = PPOConfig(total_timesteps=60, num_envs=3, num_steps=8, num_minibatches=4, hidden=16, budget=4)
    env, network = HeadAblationVectorEnv(source, 3, 4), ActorCritic(2, 12, 16, 0)
    generator = torch.Generator().manual_seed(0)
    batch, _, _ = rollout(network, env, env.reset(seed=0)[0], config, generator)
    expected = 1 - np.var((batch["return"] - batch["value"]).numpy()) / np.var(batch["return"].numpy())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    diagnostics = update(network, optimizer, batch, config, generator)
    assert diagnostics["explained_variance"] == pytest.approx(expected, rel=1e-4)
    assert diagnostics["approx_kl"] == pytest.approx(0, abs=1e-6)
    assert diagnostics["clipfrac"] == 0


@pytest.mark.parametrize("kind", [ActorCritic, Preferences])
def test_any_network_finds_the_one_good_head(kind: type, one_good_head: TableEpisodes) -> None:
    network = None if kind is ActorCritic else Preferences(12)
    config = LEARNING if kind is ActorCritic else replace(LEARNING, learning_rate=0.03)
    trained, history = train(one_good_head, config, 0, network)
    assert isinstance(trained, kind)
    assert isinstance(trained, PolicyNetwork)
    start = torch.zeros(1, 25)
    start[0, 0] = 1
    assert trained(start)[0].exp()[0, 8] > 0.9
    assert np.mean([row["best"] for row in history if row["update"] < 5]) < 3
    assert np.mean([row["best"] for row in history if row["update"] > 35]) > 4.5
    entropy = [row["entropy"] for row in history]
    assert entropy[0] > 2 > entropy[-1] > 0


def test_same_seed_same_weights(source: TableEpisodes) -> None:
    """And the process's own random numbers are left alone."""
    config = PPOConfig(total_timesteps=96, num_envs=4, num_steps=12, num_minibatches=4, hidden=16, budget=6)
    before = torch.random.get_rng_state()
    trained = [train(source, config, seed)[0] for seed in (3, 3, 4)]
    first, again, other = (nn.utils.parameters_to_vector(some.parameters()) for some in trained)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_initial_weights_do_not_depend_on_the_number_of_cores() -> None:
    """At the paper's size: small matrices are never shared among cores."""
    cores, weights = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            weights.append(ActorCritic(2, 144, 256, 0).state_dict())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(cores)
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_subject_of_48_heads_is_trained_with_planning(make_table: Callable[..., DamageTable]) -> None:
    small = TableEpisodes([make_table("ioi", heads=48)], make_table("control", heads=48))
    config = PPOConfig(total_timesteps=800, budget=budget_for(48), candidates=5, hidden=16)
    _, history = train(small, config, 0)
    assert {row["update"] for row in history} == {1, 2}
    with pytest.raises(ValueError, match="budget must be between 1 and 48"):
        train(small, PPOConfig(hidden=16), 0)
