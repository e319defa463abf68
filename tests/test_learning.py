"""What a search is learned from: every behaviour is believed by a prior that never saw what its heads pay."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from test_priced import HEADS, LAYERS, drawn

from circuitlib.search import learning
from circuitlib.search.belief import Belief, fit_prior, paid_elsewhere, see
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.priced_policy import Learned, train
from circuitlib.search.trials import Trials

BEHAVIOURS, SEEDS, STEPS = 3, 2, 20
CONFIG = PPOConfig(total_timesteps=512, num_envs=8, num_steps=16, num_minibatches=2, gamma=1.0)


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Belief]]:
    """Short fits and trainings; of each training, the beliefs that its policy meets."""
    beliefs: list[Sequence[Belief]] = []

    def watched(trials: Sequence[Trials], believed: Sequence[Belief], layers: int, budget: int, seed: int) -> Any:
        beliefs.append(believed)
        return train(trials, believed, layers, budget, seed, CONFIG)

    monkeypatch.setattr(learning, "fit_prior", partial(fit_prior, steps=STEPS))
    monkeypatch.setattr(learning, "train", watched)
    return beliefs


def taught() -> list[Trials]:
    return [drawn(seed, task=f"behaviour {seed}") for seed in range(BEHAVIOURS)]


def mean_rewards(trials: Sequence[Trials]) -> torch.Tensor:
    return torch.stack([some.rewards.mean(0) for some in trials])


def tensors(found: Learned) -> list[torch.Tensor]:
    return [*found.tensors().values()]


def test_a_policy_of_each_seed_and_the_same_again(met: list[Sequence[Belief]]) -> None:
    trials = taught()
    found, history = learning.learn(trials, mean_rewards(trials), LAYERS, 5, SEEDS)
    assert sorted(found.policies) == [*range(SEEDS)]
    assert history.groupby("seed").size().to_dict() == dict.fromkeys(range(SEEDS), CONFIG.updates)
    one, two = ([*policy.parameters()] for policy in found.policies.values())
    assert any(not torch.equal(a, b) for a, b in zip(one, two, strict=True)), "seeds differ"
    again, _ = learning.learn(trials, mean_rewards(trials), LAYERS, 5, SEEDS)
    assert all(torch.equal(a, b) for a, b in zip(tensors(found), tensors(again), strict=True))
    assert [len(believed) for believed in met] == [2 * BEHAVIOURS] * 2 * SEEDS, "with what others pay, and without"


def test_a_behaviour_is_believed_without_its_own_rewards(met: list[Sequence[Belief]]) -> None:
    """Other rewards of one behaviour, its estimates as they were: what is believed of it stays, of the others changes."""
    trials = taught()
    one = trials[1]
    turned = Trials(one.task, one.rows.flip(2), one.fresh.flip(1), one.estimates)
    for some in (trials, [trials[0], turned, trials[2]]):
        learning.learn(some, mean_rewards(some), LAYERS, 5, 1)
    before, after = met
    same = [torch.equal(a.mean, b.mean) for a, b in zip(before, after, strict=True)]
    assert same == [False, True, False] * 2


def test_the_prior_that_is_kept_is_of_all(met: list[Sequence[Belief]]) -> None:
    """Fitted to every behaviour, each seen with what the others pay, and without."""
    trials = taught()
    found, _ = learning.learn(trials, mean_rewards(trials), LAYERS, 5, 1)
    rewards = mean_rewards(trials)
    others = [paid_elsewhere(rewards[[j for j in range(BEHAVIOURS) if j != i]]) for i in range(BEHAVIOURS)]
    seen = [see(some.estimates, LAYERS, paid) for some, paid in zip(trials, others, strict=True)]
    seen += [see(some.estimates, LAYERS) for some in trials]
    by_hand = fit_prior(trials * 2, seen, seed=0, steps=STEPS)
    for a, b in zip(found.prior.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert met[0][0].mean.shape == (*trials[0].rewards.shape, 2)
    assert trials[0].rewards.shape[1] == HEADS
