"""On how many prompts is what a belief rests on best bought? More of them say more of every head, and leave less to measure.

The design of :mod:`circuitlib.search.belief`, judged on the behaviours that it is learned from, each by a prior that was fitted to others.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.belief import DIRECT, DIRECT_ON_FEW, FEW, GRADIENT, GRADIENT_ON_FEW, Believer, paid_elsewhere
from circuitlib.search.episodes import BATCH
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.trials import Trials
from circuitlib.studies.left_out import beside, folds, prior_of
from circuitlib.studies.priced import Player, priced
from circuitlib.threads import threads_of_one_core


class Design(NamedTuple):
    """First pairs of an episode on which the gradient and the direct effect are bought."""

    gradient: int
    direct: int


CHOSEN = Design(FEW, FEW)
"""What a belief buys."""

DESIGNS = (Design(4, 4), CHOSEN, Design(10, 32), Design(12, 12), Design(16, 16), Design(32, 32))


def bought(trials: Trials, design: Design) -> Trials:
    """Trials in which what a belief buys is on as many pairs as the design says, each for as large a share of the whole estimate's price."""

    def first(name: str, pairs: int) -> Any:
        whole = trials.estimates[name]
        some = {part: getattr(whole, part)[:, :pairs] for part in ("task", "general")}
        return replace(whole, price=whole.price * pairs / BATCH, **some)

    few = {GRADIENT_ON_FEW: first(GRADIENT, design.gradient), DIRECT_ON_FEW: first(DIRECT, design.direct)}
    return replace(trials, estimates=few)


def measure_few(
    training: Sequence[Trials],
    played: Sequence[Trials],
    rewards: Float[Tensor, "t h"],
    layers: int,
    budget: int,
    designs: Sequence[Design] = DESIGNS,
) -> pd.DataFrame:
    """One row per design and behaviour. Columns: gradient, direct (pairs), price (of both together), behaviour, named (the true reward of the head that looking ahead names
    for the ``budget``, as a fraction of the oracle, mean over episodes).

    training, played: of each behaviour, episodes that priors are fitted to and others that are searched, with both estimates on all pairs. rewards: of each behaviour
    the mean reward of each head. layers: of the subject.
    """

    def fold(design: Design, out: Sequence[int]) -> list[dict[str, Any]]:
        left = [i for i in range(len(training)) if i not in out]
        prior = prior_of([bought(training[i], design) for i in left], rewards[left], layers)
        searcher = LookAhead(Believer(prior, layers, paid_elsewhere(rewards[left])))
        rows = []
        for trials in (bought(played[i], design) for i in out):
            found = priced(trials, [Player("look ahead", searcher)], (budget,))
            price = sum(estimate.price for estimate in trials.estimates.values())
            named = found["named"].mean() / found["oracle"].mean()
            rows.append({**design._asdict(), "price": price, "behaviour": trials.task, "named": named})
        return rows

    jobs = list(product(designs, folds(len(training))))
    with threads_of_one_core(len(jobs)) as pool:
        return pd.DataFrame(row for rows in pool.map(lambda job: fold(*job), jobs) for row in rows)


def by_design(table: pd.DataFrame) -> pd.DataFrame:
    """One row per design, beside :data:`CHOSEN`: gradient, direct, the columns of :func:`circuitlib.studies.left_out.beside`, and price. Fractions of the oracle."""
    prices = table.groupby(["gradient", "direct"], sort=False)["price"].first()
    named = table.pivot(index="behaviour", columns=["gradient", "direct"], values="named")
    return beside(named[prices.index], CHOSEN).join(prices).reset_index()
