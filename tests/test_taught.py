"""What is taught on behaviours, part by part: by whom a behaviour is judged, and that nothing of it was taught."""

from dataclasses import dataclass
from typing import Any

import numpy as np
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
from circuitlib.search.lookahead import AMOUNTS, LookAhead, allowed, rates
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.priced_env import PricedEnv
from circuitlib.search.priced_policy import PricedPolicy, train
from circuitlib.search.searchers import Searcher
from circuitlib.search.trials import Trials
from circuitlib.studies import left_out
from circuitlib.studies import taught as study
from circuitlib.studies.left_out import folds, prior_of
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.taught import (
    ANEW,
    CHOSEN,
    FEWER,
    IMITATES,
    POLICY,
    THEN,
    UNBELIEVING,
    by_way,
    imitate,
    measure_taught,
    what_the_rule_does,
)

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


class Fitted(Prior):
    """A prior that remembers whom it was fitted to."""

    def __init__(self, known: frozenset[int]) -> None:
        super().__init__(0)
        self.known = known


@dataclass(frozen=True)
class Known(Believer):
    """A belief that remembers whom its prior was fitted to, and whose rewards it was shown."""

    prior: Any
    layers: int
    elsewhere: Any = None

    def belief(self, estimates: Any) -> "Told":
        each = torch.zeros(1, 1, 2)
        return Told(each, each, each, each[..., 0], each[0, :, :1], self)


@dataclass(frozen=True, eq=False)
class Told(Belief):
    """A belief that remembers whose it is."""

    whose: Known


def test_nothing_of_a_behaviour_is_known_to_what_judges_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was taught what, of eight behaviours in three folds: priors, rewards elsewhere, and all that a policy meets in training."""
    count, trained, judged = 8, dict[int, dict[str, Any]](), dict[int, dict[str, Player]]()
    cloned: list[Any] = []
    monkeypatch.setattr(left_out, "FOLDS", 3)
    training = [Trials(str(i), torch.zeros(1, 1, 1), torch.zeros(1, 1)) for i in range(count)]
    everyone = frozenset(range(count))

    def fit(trials: list[Trials], rewards: torch.Tensor, layers: int) -> Fitted:
        assert rewards[:, 0].tolist() == [int(some.task) for some in trials]
        return Fitted(frozenset(int(some.task) for some in trials))

    def learn(trials: Any, beliefs: Any, layers: int, budget: int, seed: int, config: Any, network: Headwise) -> Any:
        trained[id(network)] = {"trials": [int(one.task) for one in trials], "beliefs": beliefs, "seed": seed}
        trained[id(network)]["trust"] = network.trust.item()
        return network, []

    def learn_without(trials: Any, beliefs: Any, layers: int, budget: int, seed: int, config: Any) -> Headwise:
        network, _ = learn(trials, beliefs, layers, budget, seed, config, Headwise(0))
        return network

    def clone(network: Headwise, trials: Any, beliefs: Any, layers: int, budget: int, config: Any) -> None:
        cloned.append((id(network), [int(one.task) for one in trials], beliefs))

    def play(trials: Trials, players: list[Player], prices: Any) -> pd.DataFrame:
        judged[int(trials.task)] = {player.name: player for player in players}
        return pd.DataFrame({"searcher": [player.name for player in players], "named": 1.0, "oracle": 2.0})

    monkeypatch.setattr(study, "prior_of", fit)
    monkeypatch.setattr(study, "paid_elsewhere", lambda rewards: frozenset(map(int, rewards[:, 0].tolist())))
    monkeypatch.setattr(study, "Believer", lambda prior, layers, elsewhere=None: Known(prior.known, layers, elsewhere))
    monkeypatch.setattr(study, "train", learn)
    monkeypatch.setattr(study, "train_without_belief", learn_without)
    monkeypatch.setattr(study, "imitate", clone)
    monkeypatch.setattr(study, "priced", play)
    table = measure_taught(training, training, torch.arange(float(count))[:, None], 1, 8, CONFIG)
    assert table["named"].eq(0.5).all()
    assert len(table) == count * len(judged[0])
    for i, players in judged.items():
        mates = frozenset(j for j in everyone if j % 3 == i % 3)
        left = everyone - mates
        searchers: dict[str, Any] = {name: player.searcher for name, player in players.items()}
        for name in (CHOSEN, "by draws from it", POLICY, ANEW, IMITATES, THEN, UNBELIEVING):
            assert searchers[name].believer == Known(left, 1, left)
        assert searchers["not shown other behaviours"].believer == Known(left, 1, None)
        thompson = [name for name, one in searchers.items() if getattr(one, "thompson", False)]
        assert thompson == ["by draws from it"]
        for name, part in FEWER.items():
            some = searchers[name].believer
            assert some.prior == some.elsewhere < left
            assert len(some.prior) == max(2, len(left) // part)
        assert id(searchers[IMITATES].network) not in trained
        assert not any(searchers[name].blind for name in (IMITATES, POLICY, ANEW, THEN))
        for name, trust in ((POLICY, 3.0), (ANEW, 0.0), (THEN, 0.0), (UNBELIEVING, None)):
            taught_on = trained[id(searchers[name].network)]
            assert trust in (None, taught_on["trust"])
            assert taught_on["seed"] == i % 3
            assert taught_on["trials"] == [*sorted(left)] * 2
            for j, with_others, without in zip(
                sorted(left), taught_on["beliefs"][: len(left)], taught_on["beliefs"][len(left) :], strict=True
            ):
                unknown = frozenset(k for k in left if k % 3 == j % 3)
                assert with_others.whose == Known(left - unknown, 1, left - {j})
                assert without.whose == Known(left - unknown, 1, None)
        taught_on = trained[id(searchers[THEN].network)]
        assert (id(searchers[THEN].network), taught_on["trials"], taught_on["beliefs"]) in cloned
    assert len(cloned) == 3
    with pytest.raises(ValueError, match="at least three behaviours"):
        measure_taught(training[:2], training[:2], torch.arange(2.0)[:, None], 1, 8, CONFIG)


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


def test_a_network_learns_what_the_rule_does() -> None:
    """Without beginning with what the rule says; what the rule does is what it does at a meter, and the first that is possible where it is shown to say nothing."""
    trials = [drawn(seed, 16, task=f"behaviour {seed}", error=1.0) for seed in range(2)]
    prior = Prior(0)
    beliefs = [Believer(prior, LAYERS).belief(some.estimates) for some in trials]
    config = PPOConfig(
        total_timesteps=6_400, num_envs=16, num_steps=8, num_minibatches=4, gamma=1.0, learning_rate=3e-3
    )
    network = Headwise(0)
    network.trust.requires_grad_(False).zero_()
    env = PricedEnv(trials, beliefs, LAYERS, num_envs=64, budget=3)
    observation, agreed = env.reset(1), []
    before = (network(observation)[0].argmax(1) == what_the_rule_does(observation)).double().mean()
    imitate(network, trials, beliefs, LAYERS, 3, config)
    assert network.trust.item() == 0
    for _ in range(6):
        agreed.append((network(observation)[0].argmax(1) == what_the_rule_does(observation)).double().mean())
        belief, readings = env._now()
        possible = allowed(readings, env._left, env.batch)
        rule = rates(belief, readings).where(possible, -torch.inf).flatten(1).argmax(1)
        clear = (observation[:, GLOBALS:].unflatten(1, (-1, PER_HEAD))[..., -6:-3] > -1.99).any(2).any(1)
        first = possible.flatten(1).double().argmax(1)
        assert torch.equal(what_the_rule_does(observation), rule.where(clear, first))
        observation, *_ = env.step(rule)
    assert before < 0.2 < 0.7 < np.mean(agreed)


def test_every_behaviour_is_left_out_once() -> None:
    for behaviours in (1, 3, 8, 22):
        parts = folds(behaviours)
        assert sorted(i for part in parts for i in part) == list(range(behaviours))
        assert len(parts) == min(8, behaviours)


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
