"""Other ways to train: what an episode of each shows and pays, whose policies they are, and what is measured of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from circuitlib.ablation.tables import DamageTable
from circuitlib.companion.maskable import Maskable, reference_policy
from circuitlib.search.env import HeadAblationEnv
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.network import ActorCritic
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.trials import EPISODE_SEED, PricedTables, draw_trials
from circuitlib.studies.reading import play
from circuitlib.studies.seeing import PLAYS, Question
from circuitlib.studies.training_ways import BEST, OTHER_WAYS, PAPER, Way, WayEpisodes, measure_way, scaled, train_way

SHORT = PPOConfig(total_timesteps=96, num_envs=4, num_steps=12, num_minibatches=4, update_epochs=2, hidden=16, budget=6)


def test_every_way_has_a_name_of_its_own() -> None:
    assert len({way.name for way in (PAPER, *OTHER_WAYS, replace(PAPER, by="MaskablePPO"))}) == 2 + len(OTHER_WAYS)


@pytest.mark.parametrize("way", [PAPER, *OTHER_WAYS], ids=lambda way: way.name)
def test_episodes_are_the_sources_as_the_way_has_them(source: TableEpisodes, way: Way) -> None:
    plain, changed = (one.draw(np.random.default_rng(0)) for one in (source, WayEpisodes(source, way)))
    assert changed.task == plain.task
    assert (changed.signal == plain.signal * way.told).all()
    factor = BEST / plain.rewards.max() if way.scaled else 1.0
    assert changed.rewards == pytest.approx(plain.rewards * factor, rel=1e-6)
    assert changed.rewards.dtype == plain.rewards.dtype


def test_a_checkpoint_of_another_way_is_refused(source: TableEpisodes, tmp_path: Path) -> None:
    checkpoint = tmp_path / "way.safetensors"
    first = train_way(source, PAPER, SHORT, [0], checkpoint)
    again = train_way(source, PAPER, SHORT, [0], checkpoint)
    assert_close(dict(first[0].state_dict()), dict(again[0].state_dict()), rtol=0, atol=0)
    for way in OTHER_WAYS:
        if not way.more:
            with pytest.raises(ValueError, match="of other rewards"):
                train_way(source, way, SHORT, [0], checkpoint)


def test_what_is_measured_is_what_the_policies_find(make_table: Callable[..., DamageTable]) -> None:
    """By hand, of a way with another scale, told nothing; effects are paired by seed and episode."""
    task, control = make_table("ioi"), make_table("control", scale=0.1)
    rewards = draw_trials(PricedTables(task, control), 6).rows.mean(1)
    networks = {seed: ActorCritic(2, rewards.shape[1], 16, seed) for seed in (0, 1)}
    for network in networks.values():
        torch.nn.init.normal_(network.actor.weight, generator=torch.Generator().manual_seed(1))
    way = Way(scaled=True)
    question = Question("ioi", rewards, {}, 0, 96)
    frame = measure_way(way, networks, ("induction", "ioi"), question, (2, 5), networks)
    assert frame["trained_on"].all()
    assert set(frame["way"]) == {way.name}
    paid = torch.from_numpy(scaled(rewards.numpy()))
    assert paid.max(1).values.numpy() == pytest.approx(BEST)
    shown = {
        name: np.stack(
            [
                play(network, torch.zeros(2), paid, EPISODE_SEED + seed, name, PLAYS).found.mean(0).numpy()
                for seed, network in networks.items()
            ]
        )
        for name in ("seeing", "blind")
    }
    for name, count in (("seeing", 2), ("blind", 5)):
        row = frame[(frame["shown"] == name) & (frame["measured"] == count)].iloc[0]
        assert row["ratio"] == pytest.approx(shown[name][..., count - 1].mean() / BEST)
        assert row["low"] <= row["ratio"] <= row["high"]
    blind = frame[(frame["shown"] == "blind") & (frame["measured"] == 5)].iloc[0]
    assert blind["effect"] == pytest.approx((shown["seeing"] - shown["blind"])[..., 4].mean() / BEST, abs=1e-6)
    assert frame.loc[frame["shown"] == "seeing", "effect"].isna().all()
    assert "more" not in frame, "other rewards are no measure of the paper's way"


def test_what_is_found_more_than_by_the_papers_way(make_table: Callable[..., DamageTable]) -> None:
    """Paired, of a way that is told and paid alike, shown what it was in training: the difference of both ratios."""
    rewards = make_table("ioi", 6, 12).damage.abs()
    ours, papers = ({seed: ActorCritic(2, 12, 16, seed + shift) for seed in (1, 2)} for shift in (0, 5))
    for i, network in enumerate((*ours.values(), *papers.values())):
        torch.nn.init.normal_(network.actor.weight, generator=torch.Generator().manual_seed(i))
    known, question, counts = ("induction", "ioi"), Question("ioi", rewards, {}, 0, 96), (2, 5)
    usual: Any = measure_way(PAPER, papers, known, question, counts, papers).set_index(["shown", "measured"])
    assert "more" not in usual
    for way in (Way(told=True, blind=True), Way(told=True, k=2)):
        other: Any = measure_way(way, ours, known, question, counts, papers).set_index(["shown", "measured"])
        for count in counts:
            row = other.loc[(way.shown, count)]
            assert row["more"] == pytest.approx(row["ratio"] - usual.loc[("seeing", count), "ratio"], abs=1e-6)
            assert row["more_low"] <= row["more"] <= row["more_high"]
        assert other["more"].notna().sum() == len(counts)
    assert [way.name for way in OTHER_WAYS if way.beside_the_papers] == [
        "told the task, trained blind",
        "told the task, best-of-2",
    ]


def test_the_reference_plays_as_our_network_does(source: TableEpisodes) -> None:
    """Its weights in our network: the same probabilities, of untried heads alone, and values."""
    config = replace(SHORT, total_timesteps=48)
    reference = Maskable(source, config, 1, seed=3)
    reference.advance(config.updates)
    network, env = reference.network(), HeadAblationEnv(source, 6)
    observation, info = env.reset(seed=0)
    for head in (4, 7, 1):
        observation, *_, info = env.step(head)
    log_probs, value = network(torch.from_numpy(observation)[None])
    policy = reference.model.policy
    theirs = policy.get_distribution(torch.from_numpy(observation)[None], action_masks=info["action_mask"])
    assert_close(log_probs.exp(), theirs.distribution.probs, rtol=1e-5, atol=1e-6)
    assert_close(value, policy.predict_values(torch.from_numpy(observation)[None])[:, 0])
    again = reference_policy(source, config, 3)
    assert_close(dict(again.state_dict()), dict(network.state_dict()), rtol=0, atol=0)
