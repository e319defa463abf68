"""A reader of what training tasks taught, beside the order that it begins with; and there is something to be read where heads pay together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.correlated import BOUND, Gaussian
from circuitlib.search.episodes import BATCH
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.readable import MEASURED, belief_of, blind_order, measure_readable, seeing_order

HEADS = 6


def a_belief(seed: int) -> Gaussian:
    numbers = torch.Generator().manual_seed(seed)
    root = torch.randn(HEADS, HEADS, generator=numbers)
    return Gaussian(torch.randn(HEADS, generator=numbers), root @ root.T + torch.eye(HEADS), 0.5)


@given(seed=st.integers(0, 100))
def test_it_measures_the_largest_upper_bound_given_all_it_has_seen(seed: int) -> None:
    """Conditioning on all rewards at once, in double precision, in the place of one after the other."""
    belief, rewards = a_belief(seed), torch.randn(2, HEADS, generator=torch.Generator().manual_seed(seed + 1))
    order = seeing_order(belief, rewards, HEADS)
    prior, covariance = belief.mean.double().numpy(), belief.covariance.double().numpy()
    for episode, heads in enumerate(order.tolist()):
        assert sorted(heads) == list(range(HEADS))
        for step in range(HEADS):
            known, left = heads[:step], sorted(heads[step:])
            within = covariance[np.ix_(known, known)] + belief.noise**2 / BATCH * np.eye(step)
            weights = covariance[:, known] @ np.linalg.inv(within) if known else np.zeros((HEADS, 0))
            mean = prior + weights @ (rewards[episode, known].double().numpy() - prior[known])
            spread = np.diag(covariance - weights @ covariance[known])
            bounds = mean + BOUND * np.sqrt(spread.clip(min=0))
            assert bounds[heads[step]] >= bounds[left].max() - 1e-3


@given(seed=st.integers(0, 100))
def test_both_begin_alike(seed: int) -> None:
    belief, rewards = a_belief(seed), torch.randn(3, HEADS, generator=torch.Generator().manual_seed(seed))
    assert (seeing_order(belief, rewards, 1)[:, 0] == blind_order(belief, 1)[0]).all()


def test_where_heads_say_nothing_of_each_other_nothing_is_gained(make_table: Callable[..., DamageTable]) -> None:
    belief, rewards = a_belief(0), torch.randn(3, HEADS, generator=torch.Generator().manual_seed(3))
    apart = Gaussian(belief.mean, torch.diag(belief.covariance.diagonal()), belief.noise)
    assert torch.equal(seeing_order(apart, rewards, HEADS), blind_order(apart, HEADS).expand(3, -1))


def test_a_reader_gains_where_heads_pay_together(make_table: Callable[..., DamageTable]) -> None:
    """Of three groups of heads one matters in each training task. Of a new task one of these does, and its best head is another: the first answers tell the group."""
    heads, groups = 60, torch.arange(60) % 3
    nothing = make_table("control", prompts=64, heads=heads)
    nothing.damage.zero_()

    def task(name: str, group: int, best: int) -> PricedTables:
        table = make_table(name, prompts=64, heads=heads)
        table.damage[:] = torch.where(groups == group, 1.0, -1.0)
        table.damage[:, best] = 1.5
        table.damage.add_(0.1 * torch.randn(table.damage.shape, generator=torch.Generator().manual_seed(best)))
        return PricedTables(table, nothing)

    training = {"induction": task("induction", 0, 0), "ioi": task("ioi", 1, 1)}
    new = task("docstring", 1, 58)
    rows: Any = measure_readable({"docstring": new}, training, 5, 1.0, 64).set_index("measured")
    assert list(rows.index) == list(MEASURED)
    assert (rows["seeing"] - rows["blind"]).tolist() == pytest.approx(rows["effect"].tolist())
    assert rows["seeing"].is_monotonic_increasing
    assert rows["blind"].is_monotonic_increasing
    assert rows.loc[20, "seeing"] > 0.99, "the group has twenty heads"
    rewards = draw_trials(new, 5, 1.0).rewards
    order = blind_order(belief_of(training, 1.0), 20)
    by_hand = rewards[:, order].amax(1).sum() / rewards.amax(1).sum()
    assert rows.loc[20, "blind"] == pytest.approx(by_hand.item())
    assert rows.loc[20, "effect"] > 0.1
    assert rows.loc[20, "effect_low"] > 0
