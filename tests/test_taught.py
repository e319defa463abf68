"""What is taught on behaviours, part by part: by whom a behaviour is judged, and that nothing of it was taught."""

from itertools import combinations_with_replacement

import pandas as pd
import pytest
import torch
from test_few import STEPS
from test_priced import LAYERS, drawn

from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.companion.taught import taught
from circuitlib.search.belief import Belief, Believer, Prior, fit_prior, paid_elsewhere
from circuitlib.search.headwise import GLOBALS, PER_HEAD, Headwise
from circuitlib.search.lookahead import AMOUNTS, LookAhead
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.priced_env import PricedEnv
from circuitlib.search.priced_policy import PricedPolicy, train
from circuitlib.search.searchers import Searcher
from circuitlib.search.trials import Trials
from circuitlib.studies import left_out
from circuitlib.studies.left_out import folds, prior_of
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.taught import ANEW, CHOSEN, FEWER, POLICY, by_way, measure_taught

CONFIG = PPOConfig(total_timesteps=32, num_envs=4, num_steps=4, num_minibatches=2, gamma=1.0)


def other(trials: Trials) -> Trials:
    return Trials(trials.task, trials.rows.flip(2), trials.fresh.flip(1), trials.estimates)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_out, "fit_prior", lambda trials, seen, seed: fit_prior(trials, seen, seed, STEPS))


@pytest.mark.usefixtures("quick")
def test_a_behaviour_is_judged_by_what_was_taught_on_the_others() -> None:
    names = [f"behaviour {seed}" for seed in range(4)]
    training = [drawn(seed, task=name, error=1.0) for seed, name in enumerate(names)]
    played, budget = [drawn(seed + 10, 4, 3.0, name) for seed, name in enumerate(names)], 2
    rewards = torch.stack([some.rewards.mean(0) for some in training])
    table = measure_taught(training, played, rewards, LAYERS, budget, CONFIG)
    assert table.groupby("way").size().eq(len(names)).all()
    assert {CHOSEN, POLICY, ANEW, *FEWER} < set(table["way"])
    named = table.pivot(index="behaviour", columns="way", values="named")
    left = [0, 2, 3]
    believer = Believer(
        prior_of([training[i] for i in left], rewards[left], LAYERS), LAYERS, paid_elsewhere(rewards[left])
    )
    with_others: list[Belief] = []
    without: list[Belief] = []
    for i in left:
        mates = [j for j in left if j != i]
        prior = prior_of([training[j] for j in mates], rewards[mates], LAYERS)
        for beliefs, paid in ((with_others, paid_elsewhere(rewards[mates])), (without, None)):
            beliefs.append(Believer(prior, LAYERS, paid).belief(training[i].estimates))
    twice = [training[i] for i in left] * 2
    policy, _ = train(twice, [*with_others, *without], LAYERS, budget, 1, CONFIG, Headwise(1))
    by_hand: dict[str, Searcher] = {CHOSEN: LookAhead(believer), POLICY: PricedPolicy(policy, believer)}
    for way, searcher in by_hand.items():
        found = priced(played[1], [Player(way, searcher, 1)], (budget,))
        assert named.loc["behaviour 1", way] == pytest.approx(found["named"].mean() / found["oracle"].mean())
    changed = [training[0], other(training[1]), *training[2:]]
    again = measure_taught(
        changed, played, torch.stack([some.rewards.mean(0) for some in changed]), LAYERS, budget, CONFIG
    )
    named, again = (one.fillna(0) for one in (named, again.pivot(index="behaviour", columns="way", values="named")))
    assert (again.loc["behaviour 1"] == named.loc["behaviour 1"]).all(), "whatever it pays in training"
    assert not (again == named).loc["behaviour 0"].all()


def test_a_policy_without_the_rule_does_not_begin_as_it() -> None:
    """It begins with all that is possible alike; the other with a softmax of what looking ahead says."""
    trials = drawn(3)
    belief = Believer(Prior(0), LAYERS).belief(trials.estimates)
    observation = PricedEnv([trials], [belief], LAYERS, num_envs=6, budget=3).reset(0)
    rule, anew = Headwise(0), Headwise(0)
    anew.trust.data.zero_()
    per_head = observation[:, GLOBALS:].unflatten(1, (-1, PER_HEAD))
    ahead, possible = per_head[..., -2 * len(AMOUNTS) : -len(AMOUNTS)] * 10, per_head[..., -len(AMOUNTS) :] > 0
    for network, trust in ((rule, 3), (anew, 0)):
        log_probs = network(observation)[0].view_as(ahead)
        expected = (trust * ahead).where(possible, -torch.inf).flatten(1).log_softmax(1).view_as(ahead)
        assert (log_probs - expected)[possible].abs().max() < 0.1


def test_every_behaviour_is_left_out_once() -> None:
    for behaviours in (1, 3, 8, 22):
        parts = folds(behaviours)
        assert sorted(i for part in parts for i in part) == list(range(behaviours))
        assert len(parts) == min(8, behaviours)
    assert len(list(combinations_with_replacement(folds(22), 2))) == 36


def test_ways_are_set_beside_the_rule() -> None:
    rows = {CHOSEN: [0.9, 0.8, 1.0], POLICY: [1.0, 0.7, 1.0]}
    frame = pd.DataFrame(
        {"way": way, "behaviour": name, "named": value}
        for way, values in rows.items()
        for name, value in zip("abc", values, strict=True)
    )
    found = by_way(frame)
    assert found.index.tolist() == [CHOSEN, POLICY]
    assert list(found.loc[POLICY, ["named", "least", "ahead"]]) == pytest.approx([0.9, 0.7, 0.0])
    assert found.loc[POLICY, "worst"] == "b"
    assert list(found.loc[CHOSEN, ["ahead", "ahead_low", "ahead_high"]]) == [0, 0, 0]


def test_only_the_real_model_has_behaviours() -> None:
    with pytest.raises(ValueError, match="behaviours of the real model, of which gpt2-mini has no tables"):
        taught(Run(Settings()))
