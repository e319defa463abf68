"""Does the search hold what was hoped of it on behaviours on which nothing of it was chosen? The questions and the rule of the verdicts are of before any head was measured on them.

The belief and the policies are those that were published before, unchanged, and the rule made by hand is the best of those on the six tasks of SmolLM2 at this price.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.processes import in_processes
from circuitlib.search.trials import Trials
from circuitlib.studies.left_out import beside
from circuitlib.studies.priced import Player, priced

LOOKING_AHEAD, HEADWISE, BLIND = "belief, look ahead", "headwise", "headwise, blind"
"""What is to be confirmed: the rule, the policies that PPO made of it, and that these need what they see."""

BY_HAND = "halving, 16 by gradient and 16 of other behaviours"
"""The rival."""

MEAN, EACH = 0.97, 0.95
"""The goal, in fractions of the oracle: on average over behaviours, and on each."""

MORE = 1e-6
"""A difference of two fractions from which on one names more: what is equal to rounding is not more."""

NEAR = 0.8
"""A behaviour is near one that the search was taught on where the mean rewards of heads correlate above this: by what heads pay, whatever the words."""

AHEAD = ("ahead", "ahead_low", "ahead_high")
"""What :func:`circuitlib.studies.left_out.beside` says of how much more one names."""


def measure_confirmation(
    behaviours: Sequence[Trials],
    players: Iterable[Player],
    rewards: Float[Tensor, "b h"],
    taught: Float[Tensor, "t h"],
    budget: int,
) -> pd.DataFrame:
    """One row per searcher and behaviour. Columns: searcher, behaviour, named (the true reward of the head that is named for the ``budget``, as a fraction of the oracle, mean over episodes and
    seeds), nearest (the largest correlation of the behaviour's ``rewards`` with those of one that was ``taught``).

    players: as in :func:`circuitlib.studies.priced.priced`; those that do not play at this budget, or can buy nothing for it, are left out.
    """
    everyone = [replace(one, prices=(budget,)) for one in players if not one.prices or budget in one.prices]
    rows = pd.concat(in_processes(priced, [(trials, everyone) for trials in behaviours]), ignore_index=True)
    means = rows.dropna(subset="named").groupby(["searcher", "task"], sort=False)[["named", "oracle"]].mean()
    table = (means["named"] / means["oracle"]).rename("named").rename_axis(["searcher", "behaviour"]).reset_index()
    correlations = np.corrcoef(rewards, taught)[: len(rewards), len(rewards) :].max(1)
    return table.assign(
        nearest=table["behaviour"].map(dict(zip([one.task for one in behaviours], correlations, strict=True)))
    )


def by_searcher(table: pd.DataFrame) -> pd.DataFrame:
    """One row per searcher, beside :data:`BY_HAND`; columns of :func:`circuitlib.studies.left_out.beside`. Fractions of the oracle."""
    named = table.pivot(index="behaviour", columns="searcher", values="named")
    return beside(named[table["searcher"].unique()], BY_HAND)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """One row per searcher to be confirmed and question. Columns: searcher, question, value, low, high, verdict.

    By the 95% interval over behaviours: *confirmed* where all of it is as is asked, *refuted* where all of it is not, *undecided* otherwise. The least of them has no
    interval, and decides by itself.
    """
    return pd.DataFrame(_judged(table), columns=["searcher", "question", "value", "low", "high", "verdict"])


def _judged(table: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    named = table.pivot(index="behaviour", columns="searcher", values="named")
    by_hand, blind = beside(named, BY_HAND), beside(named, BLIND)
    for searcher in (LOOKING_AHEAD, HEADWISE):
        yield searcher, f"names {MEAN:.0%} on average", *_asked(by_hand, searcher, ("named", "low", "high"), MEAN)
        yield searcher, f"names {EACH:.0%} on each", *_asked(by_hand, searcher, ("least",), EACH)
        yield searcher, "names more than the rule made by hand", *_asked(by_hand, searcher, AHEAD, MORE)
    yield HEADWISE, "names more than blind", *_asked(blind, HEADWISE, AHEAD, MORE)


def _asked(table: pd.DataFrame, searcher: str, columns: Sequence[str], asked: float) -> tuple[float, float, float, str]:
    value, *ends = table.loc[[searcher], [*columns]].to_numpy(float)[0].tolist()
    low, high = ends or [value, value]
    verdict = "confirmed" if low >= asked else "refuted" if high < asked else "undecided"
    return value, *(ends or [np.nan, np.nan]), verdict
