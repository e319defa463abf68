"""Who searches on the axis of price, and what each knows beforehand; all of them on the same episodes."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.estimates import Through
from circuitlib.ablation.tables import reward
from circuitlib.processes import in_processes
from circuitlib.search import priors
from circuitlib.search.belief import ESTIMATES, GRADIENT, GRADIENT_ALONE, Believer, paid_elsewhere, with_few
from circuitlib.search.correlated import Correlated, Gaussian
from circuitlib.search.episodes import signal_of
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import head_order
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.priced_policy import Learned, PricedPolicy
from circuitlib.search.rivals import Halving, LayersByReward, Verified
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.contest import DRAWS, Policies
from circuitlib.studies.heads import head_rewards
from circuitlib.studies.priced import PRICES, Player, priced

FROZEN = "frozen gradient"
RIVAL_ESTIMATES: dict[str, Through] = ESTIMATES | {FROZEN: "frozen"}
"""What rivals can buy of an evaluation task: what priors are made of, and the gradient with norms and attention patterns held."""

ELSEWHERE = 16
"""Heads that pay most in other behaviours, on average, which may matter where no estimate says so."""

ROUNDS = ((4, 8), (8, 3), (20, 1))
"""Of candidates chosen by hand, on how many further prompts they are measured, and how many are kept."""

BY_HAND = (16, GRADIENT_ALONE, 8)
"""The rule by hand that names most on behaviours left out (:mod:`circuitlib.studies.by_hand`): the best heads by an estimate, and the first of the training tasks' lists in turns."""

IN_ROUNDS = f"three rounds, {BY_HAND[0]} by {BY_HAND[1]} and {BY_HAND[2]} of lists in turns"
"""Its name; made for a price of eight."""

ALONE = "not shown other behaviours"
"""Of what was learned, where it is not told what heads pay in other behaviours of the model, though these have been measured."""

SMALL = tuple(price for price in PRICES if price <= 20)
"""Prices for those that choose every few prompts: they are made for small ones, and take long with large ones."""

PLANNED = (2, 5)
"""How many candidates a policy measures for a pick where it plans."""


def priced_contest(
    evaluation: Mapping[str, PricedTables],
    training: Mapping[str, PricedTables],
    policies: Policies,
    reference: Mapping[int, ActorCritic],
    learned: Learned | None,
    behaviours: Mapping[str, PricedTables],
    layers: int,
    episodes: int,
    penalty: float,
) -> pd.DataFrame:
    """Every searcher with every budget on the same episodes of every task, told nothing; columns of
    :func:`circuitlib.studies.priced.priced`.

    evaluation, training: by task, the tables of damages and estimates. policies: the paper's, by k and seed. reference: those of sb3-contrib's
    ``MaskablePPO``, by seed, of which there may be none. behaviours: tables of other tasks
    that the subject does, of which there may be none. layers: of the subject. episodes: of each task. penalty: lambda.
    """
    buyable = list(next(iter(evaluation.values())).estimates)
    everyone = list(players(training, buyable, policies, reference, learned, behaviours, layers, penalty))
    tasks = [(with_few(draw_trials(tables, episodes, penalty)), everyone) for tables in evaluation.values()]
    return pd.concat(in_processes(priced, tasks), ignore_index=True)


def players(
    training: Mapping[str, PricedTables],
    buyable: Sequence[str],
    policies: Policies,
    reference: Mapping[int, ActorCritic],
    learned: Learned | None,
    behaviours: Mapping[str, PricedTables],
    layers: int,
    penalty: float,
) -> Iterator[Player]:
    """Everyone who plays; ``buyable``: the estimates that can be bought of an evaluation task on all its prompts."""
    measured = _head_rewards(training, penalty)
    for seed in range(DRAWS):
        yield Player("random", RandomSearcher(), seed)
        yield Player("layers by training reward", LayersByReward(priors.layers_by_mean(measured, layers)), seed)
    heads = measured.shape[1]
    # Which head is best is known once all have been measured, and no sooner.
    yield Player("exhaustive", StaticPrior(torch.arange(heads)), prices=(heads,))
    for how, make in priors.LISTS.items():
        yield Player(f"list, {how}", StaticPrior(make(measured)))
    for task, rewards in zip(training, measured, strict=True):
        yield Player(f"list of {task}", StaticPrior(head_order(rewards[None])))
    estimated = torch.stack([_estimated(x, penalty).mean(0) for x in training.values()])
    yield Player("list, gradients", StaticPrior(priors.by_normalised_mean(estimated)))
    for estimate in (*buyable, GRADIENT_ALONE):
        yield Player(f"{estimate}, then verify", Verified(estimate))
    across = heads // layers
    yield Player("halving, all heads", Halving(heads))
    for candidates in (8, 16, 32):
        yield Player(f"halving, {candidates} by gradient", Halving(candidates, GRADIENT))
    yield Player("halving, 16 by gradient and layer 0", Halving(16, GRADIENT, always=range(across)))
    yield Player(f"halving, 16 by {GRADIENT_ALONE}", Halving(16, GRADIENT_ALONE))
    candidates, estimate, listed = BY_HAND
    yield Player(
        IN_ROUNDS, Halving(candidates, estimate, always=priors.in_turns(measured)[:listed].tolist(), rounds=ROUNDS)
    )
    if behaviours:
        elsewhere = priors.by_normalised_mean(_head_rewards(behaviours, penalty))[:ELSEWHERE].tolist()
        for estimate in (GRADIENT, GRADIENT_ALONE):
            yield Player(
                f"halving, 16 by {estimate} and {ELSEWHERE} of other behaviours",
                Halving(16, estimate, always=elsewhere),
            )
    fewest = min(len(x.damage) for x in training.values())
    rows, guesses = (
        torch.stack([of(x, penalty)[:fewest] for x in training.values()]) for of in (_measured, _estimated)
    )
    for rule in ("thompson", "ucb"):
        yield Player(f"{rule}, training tasks", Correlated(Gaussian.of(rows), rule))
        yield Player(f"{rule}, training tasks and gradient", Correlated(Gaussian.of(rows, guesses), rule, GRADIENT))
    nothing = signal_of(tuple(training))
    for k, networks in policies.items():
        for seed, network in networks.items():
            yield Player(f"policy k={k}", PolicySearcher(network, nothing), seed)
            for candidates in PLANNED:
                planner = PolicySearcher(network, nothing, candidates)
                yield Player(f"policy k={k}, planning with {candidates}", planner, seed)
                yield Player(
                    f"policy k={k}, planning with {candidates}, repeats free", planner, seed, repeats_free=True
                )
    for seed, network in reference.items():
        yield Player("MaskablePPO", PolicySearcher(network, nothing), seed)
    if learned is not None:
        alone = believer = Believer(learned.prior, layers)
        if behaviours:
            believer = Believer(learned.prior, layers, paid_elsewhere(_head_rewards(behaviours, penalty)))
            yield Player(f"belief, look ahead, {ALONE}", LookAhead(alone), prices=SMALL)
        for rule, thompson in (("thompson", True), ("look ahead", False)):
            yield Player(f"belief, {rule}", LookAhead(believer, thompson=thompson), prices=SMALL)
        for seed, headwise in learned.policies.items():
            if behaviours:
                yield Player(f"headwise, {ALONE}", PricedPolicy(headwise, alone), seed, prices=SMALL)
            for shown, blind in (("headwise", False), ("headwise, blind", True)):
                yield Player(shown, PricedPolicy(headwise, believer, blind=blind), seed, prices=SMALL)


def _head_rewards(tables: Mapping[str, PricedTables], penalty: float) -> Float[Tensor, "tasks h"]:
    return torch.stack([head_rewards(x.damage, x.general, penalty) for x in tables.values()])


def _measured(tables: PricedTables, penalty: float) -> Float[Tensor, "n h"]:
    return reward(tables.damage.damage, tables.general.damage.mean(0), penalty)


def _estimated(tables: PricedTables, penalty: float) -> Float[Tensor, "n h"]:
    _, task, general = tables.estimates[GRADIENT]
    return reward(task.damage, general.damage.mean(0), penalty)
