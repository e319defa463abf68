"""Which rule by hand names most on behaviours left out? All measure a few candidates on ever more prompts; they differ in who the candidates are, and in how soon they are dropped."""

from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.processes import in_processes
from circuitlib.search.belief import GRADIENT, GRADIENT_ALONE, GRADIENT_ON_FEW
from circuitlib.search.priors import by_normalised_mean
from circuitlib.search.rivals import Halving
from circuitlib.search.trials import Trials
from circuitlib.studies.priced import Player, priced

GRADIENTS = (GRADIENT, GRADIENT_ALONE, GRADIENT_ON_FEW)
"""What the first candidates are the best by."""

CANDIDATES = (8, 16, 24, 32)
"""How many."""

ROUNDS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "halves": (),
    "4, keep 8; 8, keep 3; 20": ((4, 8), (8, 3), (20, 1)),
    "4, keep 6; 8, keep 2; 20": ((4, 6), (8, 2), (20, 1)),
    "3, keep 6; 8, keep 2; 21": ((3, 6), (8, 2), (21, 1)),
    "2, keep 12; 6, keep 4; 24": ((2, 12), (6, 4), (24, 1)),
}
"""Further prompts and candidates kept (:class:`circuitlib.search.rivals.Halving`), in words."""


def besides(listed: Int[Tensor, " heads"], rewards: Float[Tensor, "t h"], layers: int) -> dict[str, list[int]]:
    """Who else may be a candidate, in words. listed: the training tasks' lists in turns. rewards: of the other behaviours the mean reward of each head."""
    elsewhere = by_normalised_mean(rewards)
    return {
        "none": [],
        "layer 0": list(range(rewards.shape[1] // layers)),
        "8 of lists in turns": listed[:8].tolist(),
        "8 of other behaviours": elsewhere[:8].tolist(),
        "16 of other behaviours": elsewhere[:16].tolist(),
    }


def measure_by_hand(
    played: Sequence[Trials], rewards: Float[Tensor, "t h"], listed: Int[Tensor, " heads"], layers: int, budget: int
) -> pd.DataFrame:
    """One row per rule. Columns: estimate, candidates, beside (who else), rounds, named (the true reward of the head that is named for the ``budget``, as a fraction of the oracle, mean over
    behaviours), least and worst (the behaviour of which least is named).

    played: of each behaviour, episodes with estimates. rewards: of each behaviour the mean reward of each head; a behaviour is played by what the others pay. listed, layers: as in
    :func:`besides`. Raises ``ValueError`` for a single behaviour.
    """
    if len(played) < 2:
        raise ValueError("at least two behaviours are needed: each is played by what others pay")
    jobs = []
    for i, trials in enumerate(played):
        others = besides(listed, rewards[torch.arange(len(played)) != i], layers)
        jobs.append((trials, [Player(name, rule) for name, rule in _rules(others).items()], (budget,)))
    found = pd.concat(in_processes(priced, jobs)).groupby(["searcher", "task"], sort=False)[["named", "oracle"]].mean()
    named = (found["named"] / found["oracle"]).unstack("task")
    keys = pd.DataFrame(named.index.str.split("|").tolist(), columns=["estimate", "candidates", "beside", "rounds"])
    scores = {"named": named.mean(axis=1), "least": named.min(axis=1), "worst": named.idxmin(axis=1)}
    return keys.astype({"candidates": int}).assign(**{name: column.to_numpy() for name, column in scores.items()})


def _rules(others: Mapping[str, Sequence[int]]) -> dict[str, Halving]:
    return {
        f"{estimate}|{candidates}|{beside}|{rounds}": Halving(candidates, estimate, always=heads, rounds=ROUNDS[rounds])
        for estimate, candidates, (beside, heads), rounds in product(GRADIENTS, CANDIDATES, others.items(), ROUNDS)
    }
