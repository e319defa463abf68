"""Seeing and blind readers of what training tasks taught: blind it looks at nothing, and there is something to be read where heads pay together."""

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.correlated import Correlated, Gaussian
from circuitlib.search.episodes import BATCH
from circuitlib.search.meter import Meter
from circuitlib.search.trials import PricedTables
from circuitlib.studies.readable import PRICES, RULES, SCORES, Blind, measure_readable

HEADS = 6


def belief_of(seed: int) -> Gaussian:
    numbers = torch.Generator().manual_seed(seed)
    root = torch.randn(HEADS, HEADS, generator=numbers)
    return Gaussian(torch.randn(HEADS, generator=numbers), root @ root.T + torch.eye(HEADS), 0.5)


def played(searcher: Correlated, rows: torch.Tensor, budget: float = 3.0) -> Meter:
    meter = Meter(rows)
    searcher.search(meter, budget, torch.Generator().manual_seed(7))
    return meter


@given(seed=st.integers(0, 50), rule=st.sampled_from(RULES))
def test_blind_it_measures_the_same_whatever_heads_pay(seed: int, rule: str) -> None:
    blind = Blind(belief_of(seed), rule, "blind")  # type: ignore[arg-type]
    numbers = torch.Generator().manual_seed(seed)
    one, other = (played(blind, torch.randn(2, BATCH, HEADS, generator=numbers)).log for _ in range(2))
    assert torch.equal(one.head, other.head)
    assert torch.equal(one.price, other.price)


@given(seed=st.integers(0, 50), rule=st.sampled_from(RULES))
def test_where_heads_pay_what_is_expected_blind_is_seeing(seed: int, rule: str) -> None:
    belief = belief_of(seed)
    rows = belief.mean.expand(2, BATCH, -1)
    seeing, blind = (played(of(belief, rule, rule), rows) for of in (Correlated, Blind))  # type: ignore[arg-type]
    assert torch.equal(seeing.log.head, blind.log.head)
    assert [name.tolist() for _, name in seeing.log.names] == [name.tolist() for _, name in blind.log.names]


@pytest.mark.parametrize("rule", RULES)
def test_it_names_by_what_it_measured_all_the_same(rule: str) -> None:
    """Once everything is measured, the best."""
    rows = torch.randn(3, BATCH, HEADS, generator=torch.Generator().manual_seed(1))
    meter = played(Blind(belief_of(0), rule, rule), rows, budget=HEADS)  # type: ignore[arg-type]
    assert meter.readings().count.eq(BATCH).all()
    assert torch.equal(meter.log.names[-1][1], rows.mean(1).argmax(1))


def test_a_reader_gains_where_heads_pay_together(make_table: Callable[..., DamageTable]) -> None:
    """Of three groups of heads one matters in each training task, and on a new task a third, of which one head is the best: the first answer from a group tells
    whether to go on in it."""
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
    rows = measure_readable({"docstring": task("docstring", 1, 58)}, training, 5, 1.0, 64)
    assert list(rows["task"].unique()) == ["docstring"]
    assert len(rows) == len(RULES) * len(PRICES) * len(SCORES)
    assert (rows["seeing"] - rows["blind"]).to_numpy() == pytest.approx(rows["effect"].to_numpy())
    last: pd.DataFrame = rows.query("price == 20 and score == 'named'")
    assert (last["seeing"] > 0.99).all()
    early = rows.query("price == 10 and score == 'found' and rule == 'ucb'").iloc[0]
    assert early["effect"] > 0.9
    assert early["effect_low"] > 0
    assert early["blind"] == 0, "blind it has measured no head whole"
