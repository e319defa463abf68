"""Changed episodes are what they say; who is born blind learns, and never sees."""

import numpy as np
import pytest
import torch

from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.otherwise import SCALE, BornBlind, Otherwise, scaled
from circuitlib.search.ppo import PPOConfig, train
from circuitlib.search.reading import play


def test_episodes_are_the_sources_but_for_what_is_changed(source: TableEpisodes) -> None:
    for seed in range(5):
        theirs = source.draw(np.random.default_rng(seed))
        same, untold, small = (
            Otherwise(source, *arguments).draw(np.random.default_rng(seed))
            for arguments in ((True, False), (False, False), (True, True))
        )
        assert np.array_equal(same.signal, theirs.signal)
        assert np.array_equal(same.rewards, theirs.rewards)
        assert same.task == untold.task == theirs.task
        assert not untold.signal.any()
        assert small.rewards.max() == pytest.approx(SCALE)
        assert np.allclose(small.rewards * theirs.rewards.max() / SCALE, theirs.rewards, atol=1e-5)
        assert np.array_equal(small.signal, theirs.signal)


def test_scaling_keeps_fractions() -> None:
    rewards = torch.rand(4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(scaled(rewards) / SCALE, rewards / rewards.amax(1, keepdim=True))


def test_who_is_born_blind_learns_and_never_sees(source: TableEpisodes) -> None:
    config = PPOConfig(total_timesteps=800, budget=12)
    network = BornBlind(len(source.tasks), source.heads, 16, seed=0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    trained, history = train(source, config, 0, network)
    assert trained is network
    assert history
    changed = [not torch.equal(x, y) for x, y in zip(before, network.parameters(), strict=True)]
    assert all(changed[1:])
    sight = slice(len(source.tasks) + source.heads, None)
    assert torch.equal(before[0][:, sight], network.network.hidden_1.weight[:, sight]), "what it never used"
    rewards = torch.from_numpy(np.stack([source.draw(np.random.default_rng(i)).rewards for i in range(3)]))
    signal = torch.zeros(len(source.tasks))
    plays = [play(network, signal, rewards, 0, shown, 2).head.tolist() for shown in ("seeing", "blind", "flipped")]
    assert plays[0] == plays[1] == plays[2]
