"""Where a searcher wins: episodes by what may make their best head hard to find, and what is named in each class of them.

Three traits of an episode, each of which parts episodes in classes; thresholds were fixed before any class was looked at:

* *estimate*: how far the gradient's estimate of the best head is from what that head pays, as a share of it, in thirds;
* *depth*: whether the best head is in the first sixth of the layers;
* *spread*: which share of all that heads pay (rewards above zero) the five best have, in thirds. The less, the more diffuse the answer.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.oracle import best_head
from circuitlib.studies.evaluate import by_seed
from circuitlib.studies.intervals import fraction
from circuitlib.studies.priced import TOP, mean_of

THIRDS = (1 / 3, 2 / 3)
"""Where errors of estimates, and shares of the best heads, are parted."""

EARLY = 1 / 6
"""The share of the layers, from the first on, that is called early."""

CLASSES = {
    "estimate": ("off by less than a third", "off by one to two thirds", "off by more"),
    "depth": ("first sixth of the layers", "later layers"),
    "spread": ("more than two thirds", "one to two thirds", "less than a third"),
}
"""The classes of each trait, from what should be easy to what should be hard (of depth: from the first layers on)."""


def traits(rewards: Float[Tensor, "e h"], estimated: Float[Tensor, "e h"], layers: int) -> pd.DataFrame:
    """The class of each episode, a row each, in a column for each trait. estimated: rewards by the gradient."""
    best = best_head(rewards)[:, None]
    paid, said = (some.gather(1, best)[:, 0] for some in (rewards, estimated))
    held = rewards.topk(TOP).values.clamp(min=0).sum(1) / rewards.clamp(min=0).sum(1)
    thirds = torch.tensor(THIRDS)
    places = {
        "estimate": torch.bucketize((said - paid).abs() / paid, thirds),
        "depth": (best[:, 0] // (rewards.shape[1] // layers) >= EARLY * layers).long(),
        "spread": len(THIRDS) - torch.bucketize(held, thirds),
    }
    return pd.DataFrame({trait: [CLASSES[trait][i] for i in place] for trait, place in places.items()})


def measure_where(
    played: pd.DataFrame, classes: Mapping[str, pd.DataFrame], searchers: Sequence[str], rival: str, pool: int
) -> pd.DataFrame:
    """What each searcher names in each class of episodes, as a fraction of the paired oracle.

    Columns: trait, part (the class), searcher, tasks, episodes (how many it has), ratio, low, high, and gain, gain_low, gain_high: how
    much more than the ``rival``, on the same episodes. Tasks' fractions are averaged by their numbers of episodes, and their intervals taken as
    independent; a task with a single episode in a class has none, and is left out of it. rests_on: ``policies`` throughout, because those that
    adapt may turn elsewhere on a rounding.

    played: rows of :func:`circuitlib.studies.priced.priced` at one price. classes: by task, of :func:`traits`. pool: prompts that a task's
    episodes are drawn from.
    """
    plays = {key: by_seed(rows, "named") for key, rows in played.groupby(["task", "searcher"])}
    oracles = {task: by_seed(rows, "oracle")[0] for (task, _), rows in played.groupby(["task", "searcher"])}
    rows = []
    for trait, parts in CLASSES.items():
        for part, searcher in product(parts, searchers):
            chosen = {task: np.flatnonzero(of[trait] == part) for task, of in classes.items()}
            chosen = {task: episodes for task, episodes in chosen.items() if len(episodes) > 1}
            if not chosen:
                continue
            ratios, gains = [], []
            for task, episodes in chosen.items():
                mine, theirs = (plays[task, one][:, episodes] for one in (searcher, rival))
                oracle = oracles[task][episodes]
                ratios.append(fraction(mine, oracle, pool))
                gains.append(fraction(mine, oracle, pool, against=theirs))
            weights = [len(episodes) for episodes in chosen.values()]
            row = {"trait": trait, "part": part, "searcher": searcher, "tasks": len(chosen), "episodes": sum(weights)}
            row |= dict(zip(("ratio", "low", "high"), mean_of(ratios, weights), strict=True))
            row |= dict(zip(("gain", "gain_low", "gain_high"), mean_of(gains, weights), strict=True))
            rows.append(row | {"rests_on": "policies"})
    return pd.DataFrame(rows)
