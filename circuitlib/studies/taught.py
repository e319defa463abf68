"""What is each part of the search that is taught on behaviours worth, and what would more behaviours bring? Judged on behaviours left out."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.belief import GRADIENT, Believer, Prior, paid_elsewhere
from circuitlib.search.headwise import Headwise
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.priced_policy import CONFIG, PricedPolicy, train
from circuitlib.search.rivals import Halving, Verified
from circuitlib.search.trials import Trials
from circuitlib.studies.left_out import beside, folds, prior_of
from circuitlib.studies.priced import Player, priced
from circuitlib.threads import threads_of_one_core

CHOSEN = "a belief, looking ahead"
"""The rule that the policy begins as, by which all others are measured."""

POLICY, ANEW = "the policy, beginning as it", "the policy, beginning without it"
"""Trained by PPO from the rule, and from a network whose scores do not begin with what looking ahead says, though it sees that."""

FEWER = {"taught half of the behaviours": 2, "taught a quarter of them": 4}
"""How the belief is if it is taught on a part of the behaviours, drawn by chance in each fold, and shown what heads pay in these alone."""


def measure_taught(
    training: Sequence[Trials],
    played: Sequence[Trials],
    rewards: Float[Tensor, "t h"],
    layers: int,
    budget: int,
    config: PPOConfig = CONFIG,
) -> pd.DataFrame:
    """One row per way and behaviour. Columns: way, behaviour, named (the true reward of the head that is named for the ``budget``, as a fraction of the oracle, mean over
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

    def policy(fold: int, left: list[int], network: Headwise) -> Headwise:
        beliefs = []
        for i in left:
            prior = priors[min(fold, fold_of[i]), max(fold, fold_of[i])]
            paid = paid_elsewhere(rewards[[j for j in left if j != i]])
            beliefs.append([Believer(prior, layers, known).belief(training[i].estimates) for known in (paid, None)])
        with_others, without = zip(*beliefs, strict=True)
        twice = [training[i] for i in left] * 2
        return train(twice, [*with_others, *without], layers, budget, fold, config, network)[0]

    def judge(fold: int) -> list[dict[str, Any]]:
        left, rng = [i for i in range(len(training)) if fold_of[i] != fold], np.random.default_rng(fold)
        prior, anew = priors[fold, fold], Headwise(fold)
        anew.trust.data.zero_()
        believer = Believer(prior, layers, paid_elsewhere(rewards[left]))
        players = [
            Player(CHOSEN, LookAhead(believer)),
            Player("the belief, by draws from it", LookAhead(believer, thompson=True)),
            Player("not shown what heads pay in others", LookAhead(Believer(prior, layers))),
        ]
        for name, part in FEWER.items():
            some = sorted(rng.permutation(left)[: max(2, len(left) // part)].tolist())
            of_some = prior_of([training[i] for i in some], rewards[some], layers)
            players.append(Player(name, LookAhead(Believer(of_some, layers, paid_elsewhere(rewards[some])))))
        for name, network in ((POLICY, Headwise(fold)), (ANEW, anew)):
            players.append(Player(name, PricedPolicy(policy(fold, left, network), believer), fold))
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
