"""What is each part of the search that is taught on behaviours worth, and what would more behaviours bring? Judged on behaviours left out."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import nll_loss
from torch.optim import Adam

from circuitlib.search.belief import GRADIENT, Belief, Believer, Prior, paid_elsewhere
from circuitlib.search.headwise import GLOBALS, PER_HEAD, Headwise
from circuitlib.search.lookahead import AMOUNTS, LookAhead
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.priced_env import PricedEnv
from circuitlib.search.priced_policy import CONFIG, PricedPolicy, rollout, train
from circuitlib.search.rivals import Halving, Verified
from circuitlib.search.trials import Trials
from circuitlib.studies.left_out import beside, folds, prior_of
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.without_belief import WithoutBelief, train_without_belief
from circuitlib.threads import threads_of_one_core

CHOSEN = "a belief, looking ahead"
"""The rule that the policy begins as, by which all others are measured."""

POLICY, ANEW = "the policy from it", "the policy without it"
"""Trained by PPO from the rule, and from a network whose scores do not begin with what looking ahead says, though it sees that."""

IMITATES, THEN = "a network imitating it", "imitating, then PPO"
"""A network whose scores do not begin with what looking ahead says, though it sees that, taught to do what the rule would do; and trained by PPO from there."""

UNBELIEVING, UNTAUGHT = "a policy shown no belief", "the same, untaught"
"""Trained by PPO, and not yet, shown estimates and measurements alone, though it names by the belief; see :mod:`circuitlib.studies.without_belief`."""

IDLE = "measuring nothing"
"""What the belief names by its estimates, which cost as much as one head."""

FEWER = {"taught half of them": 2, "taught a quarter of them": 4}
"""How the belief is if it is taught on a part of the behaviours, drawn by chance in each fold, and shown what heads pay in these alone."""


def imitate(
    network: Headwise, trials: Sequence[Trials], beliefs: Sequence[Belief], layers: int, budget: int, config: PPOConfig
) -> None:
    """Teach a network, in place, to do what the rule would do where the network itself has led (after DAgger, Ross, Gordon and Bagnell 2011, arXiv:1011.0686, without keeping what it met
    before): as many steps of episodes and of Adam as :func:`circuitlib.search.priced_policy.train` has, towards the action of which looking ahead says most."""
    env, generator = PricedEnv(trials, beliefs, layers, config.num_envs, budget), Generator().manual_seed(0)
    optimizer, observation = Adam(network.parameters(), eps=config.adam_eps), env.reset(0)
    for done in range(config.updates):
        batch, observation, _ = rollout(network, env, observation, config, generator)
        optimizer.param_groups[0]["lr"] = config.annealed(done)
        for _ in range(config.update_epochs):
            for rows in torch.randperm(len(batch["observation"]), generator=generator).chunk(config.num_minibatches):
                some = batch["observation"][rows]
                optimizer.zero_grad()
                nll_loss(network(some)[0], what_the_rule_does(some)).backward()
                optimizer.step()


def what_the_rule_does(observations: Float[Tensor, "n o"]) -> Int[Tensor, " n"]:
    """The possible action of which an observation says that looking ahead says most; the first, where it says of all no more than the least that is shown."""
    heads = observations[:, GLOBALS:].unflatten(1, (-1, PER_HEAD))
    ahead, possible = heads[..., -2 * len(AMOUNTS) : -len(AMOUNTS)], heads[..., -len(AMOUNTS) :]
    return ahead.where(possible > 0, -torch.inf).flatten(1).argmax(1)


def measure_taught(
    training: Sequence[Trials],
    played: Sequence[Trials],
    rewards: Float[Tensor, "t h"],
    layers: int,
    budget: int,
    config: PPOConfig = CONFIG,
) -> pd.DataFrame:
    """One row per way and behaviour. Columns: way, behaviour, named (the true reward of the head that is named for the ``budget``, or, where nothing is measured, for the estimates, as a fraction of the oracle, mean over
    episodes). All that is taught was taught on behaviours of other folds; in training, too, a policy meets beliefs that were not fitted to what it plays.

    training, played: of each behaviour, episodes to be taught on and others that are searched, with estimates on few pairs and on all. rewards: of each behaviour the mean
    reward of each head. layers: of the subject. Raises ``ValueError`` for fewer than three behaviours: what a policy meets in training is believed by others still.
    """
    if len(training) < 3:
        raise ValueError(f"at least three behaviours are needed, not {len(training)}")
    out = folds(len(training))
    fold_of = {i: number for number, some in enumerate(out) for i in some}

    def prior_without(apart: tuple[int, int]) -> Prior:
        left = [i for i in range(len(training)) if fold_of[i] not in apart]
        return prior_of([training[i] for i in left], rewards[left], layers)

    apart = list(combinations_with_replacement(range(len(out)), 2))
    with threads_of_one_core(len(apart)) as pool:
        priors = dict(zip(apart, pool.map(prior_without, apart), strict=True))

    def episodes(fold: int, left: list[int]) -> tuple[list[Trials], list[Belief]]:
        beliefs = []
        for i in left:
            prior = priors[min(fold, fold_of[i]), max(fold, fold_of[i])]
            paid = paid_elsewhere(rewards[[j for j in left if j != i]])
            beliefs.append([Believer(prior, layers, known).belief(training[i].estimates) for known in (paid, None)])
        with_others, without = zip(*beliefs, strict=True)
        return [training[i] for i in left] * 2, [*with_others, *without]

    def judge(fold: int) -> list[dict[str, Any]]:
        left, rng = [i for i in range(len(training)) if fold_of[i] != fold], np.random.default_rng(fold)
        prior, to_learn = priors[fold, fold], episodes(fold, left)
        anew, clone = Headwise(fold), Headwise(fold)
        anew.trust.data.zero_()
        clone.trust.requires_grad_(False).zero_()
        imitate(clone, *to_learn, layers, budget, config)
        believer = Believer(prior, layers, paid_elsewhere(rewards[left]))
        players = [
            Player(CHOSEN, LookAhead(believer)),
            Player("by draws from it", LookAhead(believer, thompson=True)),
            Player("not shown other behaviours", LookAhead(Believer(prior, layers))),
            Player(IDLE, LookAhead(believer), prices=(1,)),
        ]
        for name, part in FEWER.items():
            some = sorted(rng.permutation(left)[: max(2, len(left) // part)].tolist())
            of_some = prior_of([training[i] for i in some], rewards[some], layers)
            players.append(Player(name, LookAhead(Believer(of_some, layers, paid_elsewhere(rewards[some])))))
        players.append(Player(IMITATES, PricedPolicy(deepcopy(clone), believer), fold))
        for name, network in ((POLICY, Headwise(fold)), (ANEW, anew), (THEN, clone)):
            train(*to_learn, layers, budget, fold, config, network)
            players.append(Player(name, PricedPolicy(network, believer), fold))
        network = train_without_belief(*to_learn, layers, budget, fold, config)
        players.append(Player(UNBELIEVING, WithoutBelief(network, believer), fold))
        players.append(Player(UNTAUGHT, WithoutBelief(Headwise(fold), believer), fold))
        players += [Player("halving, 16 by gradient", Halving(16, GRADIENT)), Player("attribution", Verified(GRADIENT))]
        rows = []
        for i in out[fold]:
            found = priced(played[i], players, (budget,)).groupby("searcher", sort=False)[["named", "oracle"]].mean()
            named: dict[Any, float] = (found["named"] / found["oracle"]).to_dict()
            rows += [{"way": way, "behaviour": training[i].task, "named": value} for way, value in named.items()]
        return rows

    with threads_of_one_core(len(out)) as pool:
        return pd.DataFrame(row for rows in pool.map(judge, range(len(out))) for row in rows)


def by_way(table: pd.DataFrame) -> pd.DataFrame:
    """One row per way, beside :data:`CHOSEN`; columns of :func:`circuitlib.studies.left_out.beside`. Fractions of the oracle."""
    named = table.pivot(index="behaviour", columns="way", values="named")
    return beside(named[table["way"].unique()], CHOSEN)
