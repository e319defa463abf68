"""Does what a policy learned carry over to behaviours that it was never trained on? Many of them, of which each is one episode.

They are a sample of behaviours, so that an interval of their mean is one over behaviours, and seeds of policies (Student's t; each
counts its fraction of the oracle once, whatever the scale of its rewards).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.search import priors
from circuitlib.search.belief import GRADIENT
from circuitlib.search.episodes import signal_of
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.rivals import LayersByReward, Verified
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import PricedTables, Trials, draw_trials
from circuitlib.studies.contest import DRAWS, Policies
from circuitlib.studies.evaluate import by_seed
from circuitlib.studies.heads import head_rewards
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.reading import Blindfold

COUNTS = (10, 50)
"""Heads measured, or the price of so many."""

PLAYS = 50
"""Plays of each behaviour by each seed of what draws."""


def measure_transfer(
    behaviours: Mapping[str, PricedTables],
    training: Mapping[str, PricedTables],
    policies: Policies,
    layers: int,
    penalty: float,
) -> pd.DataFrame:
    """What policies find on behaviours that they were not trained on, told nothing, seeing their rewards and blind by the same random numbers,
    beside random search, layers and the list by what their heads paid in training, and attribution, which pays for its gradient.

    Columns: task (the behaviour), alike (the largest correlation of its heads' mean rewards with those of a training task), searcher, seed,
    price, episode (the behaviour's number), found (largest reward among heads measured, mean over ``PLAYS``), oracle, rests_on (``policies`` or
    ``tables``).

    behaviours, training: by task, the tables; an episode is of all prompts of a behaviour where there are 32. layers: of the subject.
    penalty: lambda.
    """
    trials = _together([draw_trials(tables, 1, penalty) for tables in behaviours.values()])
    measured = torch.stack([head_rewards(x.damage, x.general, penalty) for x in training.values()])
    among = torch.corrcoef(torch.cat([trials.rewards, measured]))[: len(behaviours), len(behaviours) :]
    plays = trials.some(torch.arange(len(behaviours)).repeat(PLAYS))
    found = priced(plays, players(measured, policies, tuple(training), layers), COUNTS)
    found = found.astype({"found": float, "oracle": float})
    found["episode"] %= len(behaviours)
    by = ["searcher", "seed", "price", "episode"]
    frame = found.groupby(by, sort=False)[["found", "oracle"]].mean().reset_index()
    of_behaviour = pd.DataFrame({"task": list(behaviours), "alike": among.amax(1).numpy()})
    frame = frame.join(of_behaviour, on="episode")
    rests_on = np.where(frame["searcher"].str.startswith("policy"), "policies", "tables")
    return frame[["task", "alike", *by, "found", "oracle"]].assign(rests_on=rests_on)


def players(
    training: Float[Tensor, "tasks h"], policies: Policies, trained_on: tuple[str, ...], layers: int
) -> Iterator[Player]:
    """Who plays. training: mean rewards on the tasks that policies were trained on."""
    nothing = signal_of(trained_on)
    for k, networks in policies.items():
        for seed, network in networks.items():
            blind = Blindfold(network, training.shape[1], "blind")
            yield Player(f"policy k={k}", PolicySearcher(network, nothing), seed)
            yield Player(f"policy k={k}, blind", PolicySearcher(blind, nothing), seed)
    for seed in range(DRAWS):
        yield Player("random", RandomSearcher(), seed)
        yield Player("layers by training reward", LayersByReward(priors.layers_by_mean(training, layers)), seed)
    yield Player("list, mean", StaticPrior(priors.by_mean(training)))
    yield Player("gradient, then verify", Verified(GRADIENT))


def _together(trials: Sequence[Trials]) -> Trials:
    """The episodes of several tasks as those of one."""
    estimates = {}
    for name, first in trials[0].estimates.items():
        of_all = [one.estimates[name] for one in trials]
        task, general = (torch.cat([getattr(one, part) for one in of_all]) for part in ("task", "general"))
        estimates[name] = replace(first, task=task, general=general)
    rows, fresh = (torch.cat([getattr(one, of) for one in trials]) for of in ("rows", "fresh"))
    return Trials("behaviours", rows, fresh, estimates)


def shares(transfer: pd.DataFrame, searcher: str, price: int) -> Float[np.ndarray, "seeds behaviours"]:
    """What each seed of a searcher finds on each behaviour, as a fraction of its oracle."""
    rows = transfer[(transfer["searcher"] == searcher) & (transfer["price"] == price)]
    return by_seed(rows, "found") / by_seed(rows, "oracle")


def over_behaviours(
    mine: Float[np.ndarray, "seeds behaviours"], against: Float[np.ndarray, "others behaviours"] | None = None
) -> Interval:
    """The mean of :func:`shares` over behaviours, or of how much larger they are than others', with its 95% interval over behaviours and seeds."""
    return fraction(mine, np.ones(mine.shape[1]), None, against)
