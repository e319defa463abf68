"""What would be named with another prior, begun with other networks or fitted to behaviours that are drawn again, which an interval over episodes and policies does not say; and with all learned of more behaviours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.belief import Believer, Prior, fit_prior, paid_elsewhere, see
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.priced_policy import Learned, PricedPolicy
from circuitlib.search.trials import Trials
from circuitlib.studies.priced import Player, priced
from circuitlib.threads import threads_of_one_core

PUBLISHED, BEGUN, DRAWN = "as published", "other networks to begin with", "behaviours drawn again"
"""How a prior was fitted: the last as in a bootstrap, as many behaviours with replacement, which leaves fewer that are different. What heads pay elsewhere is then shown of these
alone; the policies are those that were trained with the published prior."""

MORE = "more behaviours"
"""The prior and the policies, both learned as the published ones were, of further behaviours, too."""

PRIORS = {BEGUN: 6, DRAWN: 12}
"""How many of each."""

AHEAD, SEEING, BLIND = "belief, look ahead", "headwise", "headwise, blind"
"""Who plays with each: the rule, and the policies, seeing and blind; but for :data:`MORE` those that were trained with the published prior."""

GAIN = "headwise, by seeing"
"""How much more is named seeing than blind."""


def refitted(
    training: Sequence[Trials], rewards: Float[Tensor, "t h"], layers: int, chosen: Sequence[int], seed: int
) -> Prior:
    """A prior of the behaviours that were ``chosen``, of which one may be there several times; each is seen with what heads pay in the others of them, and without.

    rewards: of each behaviour the mean reward of each head. layers: of the subject.
    """
    others = {i: paid_elsewhere(rewards[[j for j in sorted({*chosen}) if j != i]]) for i in {*chosen}}
    seen = {i: see(training[i].estimates, layers, paid) for i, paid in others.items()}
    plain = {i: see(training[i].estimates, layers) for i in others}
    return fit_prior(
        [training[i] for i in chosen] * 2, [seen[i] for i in chosen] + [plain[i] for i in chosen], seed=seed
    )


def measure_another_prior(
    training: Sequence[Trials],
    rewards: Float[Tensor, "t h"],
    played: Sequence[Trials],
    learned: Learned,
    more: tuple[Learned, Float[Tensor, "m h"]],
    layers: int,
    budget: int,
) -> pd.DataFrame:
    """One row per prior, searcher and task. Columns: fitted (how), draw, searcher, task, named (the true reward of the head that is named for the ``budget``, as a fraction of
    the oracle, mean over episodes and policies).

    training, rewards: of behaviours, as in :func:`refitted`. played: episodes of tasks. learned: the published prior and policies. more: what was learned of further
    behaviours, too, and the mean rewards of all of them. layers: of the subject.
    """
    rng, everyone = np.random.default_rng(0), list(range(len(training)))
    fits: list[tuple[str, int, list[int], int]] = [(PUBLISHED, 0, everyone, 0), (MORE, 0, everyone, 0)]
    fits += [(BEGUN, draw, everyone, draw + 1) for draw in range(PRIORS[BEGUN])]
    fits += [
        (DRAWN, draw, rng.integers(len(training), size=len(training)).tolist(), 0) for draw in range(PRIORS[DRAWN])
    ]

    def judge(fit: tuple[str, int, list[int], int]) -> list[dict[str, Any]]:
        how, draw, chosen, seed = fit
        policies, known = learned.policies, rewards[sorted({*chosen})]
        if how in (BEGUN, DRAWN):
            prior = refitted(training, rewards, layers, chosen, seed)
        elif how == PUBLISHED:
            prior = learned.prior
        else:
            prior, policies, known = more[0].prior, more[0].policies, more[1]
        believer = Believer(prior, layers, paid_elsewhere(known))
        players = [Player(AHEAD, LookAhead(believer))]
        for number, network in policies.items():
            for name, blind in ((SEEING, False), (BLIND, True)):
                players.append(Player(name, PricedPolicy(network, believer, blind=blind), number))
        rows = []
        for trials in played:
            found = priced(trials, players, (budget,)).groupby("searcher", sort=False)[["named", "oracle"]].mean()
            named: dict[Any, float] = (found["named"] / found["oracle"]).to_dict()
            of = {"fitted": how, "draw": draw, "task": trials.task}
            rows += [of | {"searcher": searcher, "named": value} for searcher, value in named.items()]
        return rows

    with threads_of_one_core(len(fits)) as pool:
        return pd.DataFrame(row for rows in pool.map(judge, fits) for row in rows)


def over_priors(table: pd.DataFrame) -> pd.DataFrame:
    """One row per way of fitting, of what is named on average over tasks by each searcher and gained by seeing (:data:`GAIN`): columns priors (how many), mean, and the
    lowest and the highest of them. Fractions of the oracle."""
    named = table.groupby(["fitted", "draw", "searcher"], sort=False)["named"].mean().unstack("searcher")
    named = named.assign(**{GAIN: named[SEEING] - named[BLIND]})
    rows: Any = named.rename_axis(columns="what").stack().groupby(["fitted", "what"], sort=False)
    return rows.agg(priors="size", mean="mean", lowest="min", highest="max")
