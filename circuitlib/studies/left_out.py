"""What is taught on behaviours is judged on behaviours that were left out: by priors fitted to the others, and by intervals over behaviours."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.belief import Prior, fit_prior, paid_elsewhere, see
from circuitlib.search.trials import Trials
from circuitlib.studies.intervals import fraction

FOLDS = 8
"""Parts of the behaviours that are left out together, so that whatever is judged needs as many priors."""


def folds(behaviours: int) -> list[list[int]]:
    """Numbers of the behaviours that are left out together."""
    return [list(range(behaviours))[first::FOLDS] for first in range(min(FOLDS, behaviours))]


def prior_of(trials: Sequence[Trials], rewards: Float[Tensor, "t h"], layers: int) -> Prior:
    """Fitted to behaviours, each seen with what heads pay in the others and without.

    rewards: of each behaviour the mean reward of each head. layers: of the subject.
    """
    others = [paid_elsewhere(rewards[[j for j in range(len(trials)) if j != i]]) for i in range(len(trials))]
    seen = [see(some.estimates, layers, paid) for some, paid in zip(trials, others, strict=True)]
    return fit_prior([*trials, *trials], seen + [see(some.estimates, layers) for some in trials], seed=0)


def beside(named: pd.DataFrame, chosen: Hashable) -> pd.DataFrame:
    """One row per column of ``named``, whose rows are behaviours: named (the mean) with its 95% interval over behaviours (low, high), least and worst (the behaviour
    of which least is named), and ahead, how much more than the ``chosen`` column, paired by behaviour, with its interval (ahead_low, ahead_high)."""
    ones, rows = np.ones(len(named)), {}
    for way in named.columns:
        mine, theirs = (named[one].to_numpy()[None] for one in (way, chosen))
        row: dict[str, Any] = dict(zip(("named", "low", "high"), fraction(mine, ones, None), strict=True))
        row |= {"least": named[way].min(), "worst": named[way].idxmin()}
        ahead = fraction(mine, ones, None, against=theirs)
        rows[way] = row | dict(zip(("ahead", "ahead_low", "ahead_high"), ahead, strict=True))
    return pd.DataFrame(rows).T.rename_axis(named.columns.names).infer_objects()
