"""Do rewards tell anything? What seeing them is worth to a reader that knows what the training tasks paid, and nothing else.

That a policy finds as much blind may mean that it does not search, or that there is nothing to be read. Here the reader is a Gaussian over all heads
together, of the training tasks' prompts (:mod:`circuitlib.search.correlated`): each answer says what to expect of the other heads. What it gains by seeing
can be had from its rewards by one that knows no more than the policy does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import pandas as pd
import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from circuitlib.ablation.tables import reward
from circuitlib.search.correlated import Correlated, Gaussian
from circuitlib.search.meter import Meter
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.contest import DRAWS
from circuitlib.studies.evaluate import by_seed
from circuitlib.studies.intervals import fraction
from circuitlib.studies.priced import Player, priced

PRICES = (5, 10, 20)
"""In heads measured on all prompts of an episode."""

RULES: tuple[Literal["ucb", "thompson"], ...] = ("ucb", "thompson")
"""Measure the head of the largest upper bound, or that is best in a draw."""

SCORES = ("named", "found")
"""The reward of the head that it would name, and, the paper's, the largest of heads measured whole (nothing before the first)."""


@dataclass(frozen=True)
class Blind(Correlated):
    """Measures what it would if every head paid what is expected of it, whatever heads pay; and names by what it measured."""

    def search(self, meter: Meter, budget: float | int, generator: Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`."""
        expected = Meter(self.belief.mean.expand(meter.episodes, meter.batch, -1))
        super().search(expected, budget, generator)
        _Following(self.belief, self.rule, self.name, order=iter(expected.log.head.T)).search(meter, budget, generator)


@dataclass(frozen=True)
class _Following(Correlated):
    """Measures heads in an order that is given, one of each episode at a time."""

    order: Iterator[Tensor] = field(kw_only=True)

    def _keys(self, mean: Tensor, covariance: Tensor, generator: Generator) -> Tensor:
        return one_hot(next(self.order), mean.shape[1]).float()


def readers(training: Mapping[str, PricedTables], penalty: float) -> Iterator[Player]:
    """The reader by upper bounds and by Thompson sampling, seeing and blind with the same random numbers.

    training: by task, the tables that policies are trained on. penalty: lambda."""
    fewest = min(len(tables.damage) for tables in training.values())
    rows = [reward(x.damage.damage, x.general.damage.mean(0), penalty)[:fewest] for x in training.values()]
    belief = Gaussian.of(torch.stack(rows))
    for rule in RULES:
        for seed in range(DRAWS if rule == "thompson" else 1):
            yield Player(rule, Correlated(belief, rule, rule), seed)
            yield Player(f"{rule}, blind", Blind(belief, rule, f"{rule}, blind"), seed)


def measure_readable(
    evaluation: Mapping[str, PricedTables],
    training: Mapping[str, PricedTables],
    episodes: int,
    penalty: float,
    pool: int,
) -> pd.DataFrame:
    """What each reader has of every task's oracle at each of ``PRICES``, seeing and blind on the same episodes.

    Columns: task, rule (``ucb`` or ``thompson``), price, score (of ``SCORES``), seeing, blind (fractions of the oracle), effect, effect_low, effect_high (of the
    difference, its 95% interval), rests_on (``policies`` throughout, because one that adapts may turn elsewhere on a rounding).

    evaluation, training: tables by task. episodes: of each task. penalty: lambda. pool: prompts that a task's episodes are drawn from."""
    players, rows = list(readers(training, penalty)), []
    for task, tables in evaluation.items():
        played = priced(draw_trials(tables, episodes, penalty), players, PRICES)
        for rule, price, score in product(RULES, PRICES, SCORES):
            at = played[played["price"] == price].fillna({"found": 0.0})
            seeing, blind = (by_seed(at[at["searcher"] == name], score) for name in (rule, f"{rule}, blind"))
            oracle = by_seed(at[at["searcher"] == rule], "oracle")[0]
            gain = fraction(seeing, oracle, pool, against=blind)
            found = {name: fraction(one, oracle, pool).value for name, one in (("seeing", seeing), ("blind", blind))}
            names = {"task": task, "rule": rule, "price": price, "score": score}
            rows.append(names | found | dict(zip(("effect", "effect_low", "effect_high"), gain, strict=True)))
    return pd.DataFrame(rows).assign(rests_on="policies")
