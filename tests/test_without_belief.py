"""A policy that is shown estimates and measurements as they are: what it sees, by hand, and that it learns by it."""

import torch
from test_priced import LAYERS, drawn

from circuitlib.search.belief import Believer, Prior, see
from circuitlib.search.headwise import GLOBALS, PER_HEAD, Headwise
from circuitlib.search.lookahead import AMOUNTS, LookAhead, allowed
from circuitlib.search.meter import Readings
from circuitlib.search.ppo import PPOConfig
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.without_belief import WithoutBelief, WithoutBeliefEnv, observe, train_without_belief

CONFIG = PPOConfig(total_timesteps=96, num_envs=8, num_steps=4, num_minibatches=2, gamma=1.0)


def test_what_is_seen_of_a_head() -> None:
    """By hand: two heads of the last layer, one measured on four pairs."""
    trials = drawn(0)
    seen = see(trials.estimates, LAYERS)
    episodes, batch, heads = trials.rows.shape
    across = heads // LAYERS
    head, mate = heads - 1, heads - 2
    count = torch.zeros(episodes, heads, dtype=torch.int64)
    mean = torch.zeros(episodes, heads)
    count[:, head], mean[:, head] = 4, trials.rows[:, :4, head].mean(1)
    readings = Readings(count, mean)
    possible = allowed(readings, torch.full((episodes,), 6), batch)
    observation = observe(seen, readings, possible, torch.full((episodes,), 0.25), LAYERS)
    assert observation.shape == (episodes, GLOBALS + heads * PER_HEAD)
    assert observation[:, 0].tolist() == [0.25] * episodes
    paid = mean[:, head] / seen.scale[:, 0]
    torch.testing.assert_close(observation[:, 2], paid.clamp(min=0))
    of = observation[:, GLOBALS:].unflatten(1, (heads, PER_HEAD))
    torch.testing.assert_close(of[..., :5], seen.features[..., :5])
    measured, not_measured = of[:, head], of[:, mate]
    torch.testing.assert_close(measured[:, 6:9], torch.tensor([1.0, 1.0, 4 / batch]).expand(episodes, -1))
    torch.testing.assert_close(not_measured[:, 6:11], torch.tensor([1.0, 0, 0, 0, 0]).expand(episodes, -1))
    torch.testing.assert_close(measured[:, 9], paid.clamp(-3, 3))
    error = seen.spread[:, head] * (1 / 4 - 1 / batch) ** 0.5
    torch.testing.assert_close(measured[:, 10], error.clamp(max=3))
    surprise = (paid - seen.mean[:, head]).clamp(-3, 3)
    for one in (measured, not_measured):
        torch.testing.assert_close(one[:, 11], surprise)
        torch.testing.assert_close(one[:, 12], torch.full((episodes,), 1 / across))
    assert (of[..., 13 : 13 + len(AMOUNTS)] == 0).all(), "nothing of what looking ahead says"
    assert (of[..., -len(AMOUNTS) :].bool() == possible).all()


def test_no_belief_is_seen() -> None:
    """Whatever the prior says, training sees the same."""
    trials = [drawn(seed, task=f"behaviour {seed}", error=1.0) for seed in range(2)]
    seen = []
    for seed in (0, 1):
        beliefs = [Believer(Prior(seed), LAYERS).belief(some.estimates) for some in trials]
        env = WithoutBeliefEnv(trials, beliefs, LAYERS, num_envs=6, budget=3)
        first = env.reset(0)
        seen += [first, env.step(torch.arange(6) * len(AMOUNTS))[0]]
    assert (seen[0] == seen[2]).all()
    assert (seen[1] == seen[3]).all()
    assert not (seen[0] == seen[1]).all()


def test_it_is_trained_and_played() -> None:
    """The same for the same seed; it names something within its budget, and nothing where that pays for no estimate."""
    trials = [drawn(seed, task=f"behaviour {seed}", error=1.0) for seed in range(2)]
    believer = Believer(Prior(0), LAYERS)
    beliefs = [believer.belief(some.estimates) for some in trials]
    one, again = (train_without_belief(trials, beliefs, LAYERS, 3, 5, CONFIG) for _ in range(2))
    state, untrained = one.state_dict(), Headwise(5).state_dict()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in state.items())
    assert any(not torch.equal(value, untrained[name]) for name, value in state.items())
    found = priced(trials[0], [Player("it", WithoutBelief(one, believer))], (0, 3))
    assert found.loc[found["price"] == 0, "named"].isna().all()
    assert found.loc[found["price"] == 3, "named"].notna().all()
    assert found.loc[found["price"] == 3, "recall"].mean() > 0


def test_it_learns_where_to_measure() -> None:
    """Where estimates err it comes to name more than before it was taught, and than the belief that measures nothing."""
    trials = [drawn(seed, 64, task=f"behaviour {seed}", error=2.0) for seed in range(2)]
    believer = Believer(Prior(0), LAYERS)
    beliefs = [believer.belief(some.estimates) for some in trials]
    config = PPOConfig(
        total_timesteps=16_384,
        num_envs=32,
        num_steps=8,
        num_minibatches=4,
        gamma=1.0,
        ent_coef=0.002,
        learning_rate=2e-3,
    )
    players = [
        Player("taught", WithoutBelief(train_without_belief(trials, beliefs, LAYERS, 3, 0, config), believer)),
        Player("before", WithoutBelief(Headwise(0), believer)),
        Player("idle", LookAhead(believer), prices=(1,)),
    ]
    named = priced(trials[0], players, (3,)).groupby("searcher")["named"].mean()
    assert named["taught"] > named["before"]
    assert named["taught"] > named["idle"]
