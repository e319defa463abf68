"""Searchers see only what they pay for; prices, *found* and *named* against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlib.companion.legend import kind_of
from circuitlib.search import oracle
from circuitlib.search.belief import DIRECT, DIRECT_ON_FEW, GRADIENT, GRADIENT_ON_FEW, Believer, Prior, with_few
from circuitlib.search.correlated import Correlated, Gaussian
from circuitlib.search.episodes import signal_of
from circuitlib.search.headwise import Headwise
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.meter import Estimate, Meter
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.priced_policy import PricedPolicy
from circuitlib.search.rivals import Halving, LayersByReward, Verified, schedule
from circuitlib.search.searchers import RandomSearcher, Searcher, StaticPrior
from circuitlib.search.trials import Trials

HEADS, LAYERS, BATCH = 12, 3, 8
NOTHING = signal_of(("induction", "ioi"))


def drawn_rows(seed: int, episodes: int = 5) -> torch.Tensor:
    """Rewards whose means differ by head, and rows that differ from the mean."""
    g = torch.Generator().manual_seed(seed)
    mean = torch.randn(episodes, 1, HEADS, generator=g)
    return mean + torch.randn(episodes, BATCH, HEADS, generator=g)


def eager(seed: int = 0) -> ActorCritic:
    """A network whose choices depend on what it is paid: weights far from their initial ones."""
    network = ActorCritic(2, HEADS, 16, seed)
    network.actor.weight.data *= 300
    return network


PRICES = {"gradient": 3, "direct": 1}


def metered(rows: torch.Tensor, seed: int = 0) -> Meter:
    """A meter at which estimates can be bought that err by as much as heads differ."""
    g = torch.Generator().manual_seed(seed + 1_000)
    noise = {name: torch.randn(rows.shape, generator=g) for name in PRICES}
    estimates = {name: Estimate(PRICES[name], rows + noise[name], 0.1 * rows) for name in PRICES}
    both = {GRADIENT: estimates["gradient"], DIRECT: estimates["direct"]}
    few = with_few(Trials("drawn", rows, rows.mean(1), both)).estimates
    return Meter(rows, estimates | {name: few[name] for name in (GRADIENT_ON_FEW, DIRECT_ON_FEW)})


def searchers() -> list[Searcher]:
    return [
        RandomSearcher(),
        StaticPrior(torch.arange(HEADS - 1, -1, -1)),
        PolicySearcher(eager(), NOTHING),
        PolicySearcher(eager(), NOTHING, greedy=True),
        PolicySearcher(eager(), NOTHING, candidates=5),
        LayersByReward(torch.tensor([2, 0, 1])),
        Verified("gradient"),
        Halving(8),
        Halving(4, "gradient", always=(0, 5)),
        Halving(4, "gradient", always=(0, 5), rounds=((2, 3), (4, 1))),
        Correlated(Gaussian.of(drawn_rows(7)), "thompson"),
        Correlated(Gaussian.of(drawn_rows(7)), "ucb", "gradient"),
        LookAhead(Believer(Prior(0), LAYERS)),
        LookAhead(Believer(Prior(0), LAYERS), thompson=True),
        PricedPolicy(Headwise(0), Believer(Prior(0), LAYERS)),
        PricedPolicy(Headwise(0), Believer(Prior(0), LAYERS), blind=True),
    ]


def test_oracle_is_brute_force() -> None:
    rewards = drawn_rows(0, 9).mean(1)
    best = zip(rewards, oracle.best_reward(rewards), oracle.best_head(rewards), strict=True)
    for episode, reward, head in best:
        values = episode.tolist()
        assert reward.item() == max(values)
        assert head.item() == values.index(max(values))
    means = rewards.mean(0).tolist()
    assert oracle.head_order(rewards).tolist() == sorted(range(HEADS), key=lambda h: -means[h])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    index=st.integers(0, len(searchers()) - 1),
    budget=st.integers(1, 40),
    change=st.sampled_from([-1e6, 1.0, 1e6]),
)
def test_what_was_not_measured_changes_no_choice(seed: int, index: int, budget: int, change: float) -> None:
    rows = drawn_rows(seed)
    first = metered(rows)
    searchers()[index].search(first, budget, torch.Generator().manual_seed(seed))
    if not first.price.any():
        return
    measured = torch.arange(BATCH)[:, None] < first.readings().count[:, None]
    again = Meter(rows.where(measured, rows + change), first._estimates)
    searchers()[index].search(again, budget, torch.Generator().manual_seed(seed))
    assert torch.equal(first.log.head, again.log.head)
    assert torch.equal(first.log.answer, again.log.answer)
    assert len(first.log.names) == len(again.log.names)
    for (price, head), (price_again, head_again) in zip(first.log.names, again.log.names, strict=True):
        assert torch.equal(price, price_again)
        assert torch.equal(head, head_again)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), index=st.integers(0, len(searchers()) - 1), k=st.integers(1, 60))
def test_no_searcher_spends_more_than_its_budget(seed: int, index: int, k: int) -> None:
    meter = metered(drawn_rows(seed))
    searchers()[index].search(meter, k, torch.Generator().manual_seed(seed))
    assert meter.price.max() <= k


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), index=st.integers(0, len(searchers()) - 1), k=st.integers(1, 60))
def test_found_is_monotone_and_ends_at_the_oracle(seed: int, index: int, k: int) -> None:
    rows = drawn_rows(seed)
    rewards, meter = rows.mean(1), metered(rows)
    searchers()[index].search(meter, k, torch.Generator().manual_seed(seed))
    meter.measure(torch.arange(HEADS).expand(len(rows), -1))
    found = meter.log.found(rewards).value
    assert (found.diff() >= 0)[found.diff().isfinite()].all()
    assert torch.equal(found[:, -1], rewards.amax(1))
    assert (found[:, -1:] >= found).all()
    if not meter.log.names:
        assert torch.equal(meter.log.named(rewards).value[:, -1], rewards.amax(1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_meter_by_brute_force(data: st.DataObject) -> None:
    """Any calls: answers, prices, readings, found and named."""
    rows = drawn_rows(data.draw(st.integers(0, 1000)), 2)
    rewards, meter = rows.mean(1), metered(rows)
    price, bought, count = [0.0, 0.0], set[str](), torch.zeros(2, HEADS, dtype=torch.int64)
    best, known = [-np.inf] * 2, [dict[int, tuple[int, float]]() for _ in range(2)]
    expected: list[tuple[list[float], list[float], list[float]]] = []
    for _ in range(data.draw(st.integers(1, 6))):
        kind = data.draw(st.sampled_from(["estimate", "measure", "further"]))
        if kind == "estimate":
            name = data.draw(st.sampled_from(sorted(PRICES)))
            meter.estimate(name)
            price = [p + PRICES[name] * (name not in bought) for p in price]
            bought.add(name)
            continue
        k = data.draw(st.integers(1, 4))
        some = st.lists(st.integers(0, HEADS - 1), min_size=k, max_size=k, unique=kind == "further")
        heads = torch.tensor([data.draw(some), data.draw(some)])
        left = BATCH - count.gather(1, heads)
        if kind == "measure":
            paid = torch.full_like(heads, BATCH)
            answers = meter.measure(heads)
        else:
            paid = torch.tensor([[data.draw(st.integers(0, most)) for most in row] for row in left.tolist()])
            answers = meter.further(heads, paid)
        for j in range(k):
            named = []
            for e in range(2):
                head = int(heads[e, j])
                count[e, head] = BATCH if kind == "measure" else count[e, head] + paid[e, j]
                seen = int(count[e, head])
                price[e] += int(paid[e, j]) / BATCH
                answer = rows[e, :seen, head].mean().item() if seen else 0.0
                assert answers[e, j].item() == pytest.approx(answer, abs=1e-6)
                if seen == BATCH:
                    best[e] = max(best[e], rewards[e, head].item())
                if seen:
                    known[e][head] = seen, answer
                top = max(known[e], key=lambda h: known[e][h][1], default=None)
                named.append(np.nan if top is None else rewards[e, top].item())
            expected.append((list(price), list(best), named))
    readings = meter.readings()
    assert torch.equal(readings.count, count)
    for e in range(2):
        for head in range(HEADS):
            paid_for = rows[e, : count[e, head], head]
            mean = paid_for.mean().item() if len(paid_for) else 0.0
            assert readings.mean[e, head].item() == pytest.approx(mean, abs=1e-6)
    assert meter.price.tolist() == price
    log = meter.log
    assert log.head.shape == (2, len(expected))
    assert log.price.T.tolist() == [prices for prices, _, _ in expected]
    assert log.found(rewards).value.T.tolist() == [found for _, found, _ in expected]
    expected_names = np.array([named for _, _, named in expected], dtype=np.float32).reshape(-1, 2)
    assert np.array_equal(log.named(rewards).value.T, expected_names, equal_nan=True)
    for at in {p for prices, _, _ in expected for p in prices}:
        for e in range(2):
            until = [found[e] for prices, found, _ in expected if prices[e] <= at + 0.01]
            value = log.found(rewards).at(at + 0.01)[e].item()
            assert value == until[-1] if until else np.isnan(value)


def test_a_head_that_is_named_counts_from_then_on() -> None:
    rows = drawn_rows(0)
    rewards, meter = rows.mean(1), Meter(rows)
    first, second = torch.zeros(5, dtype=torch.int64), torch.full((5,), 7)
    meter.name(first)
    meter.measure(second[:, None])
    meter.name(second)
    named = meter.log.named(rewards)
    assert torch.equal(named.at(0.9), rewards[:, 0])
    assert torch.equal(named.at(1), rewards[:, 7])
    assert meter.log.found(rewards).at(0.9).isnan().all()


def test_meter_refuses() -> None:
    meter = metered(drawn_rows(0))
    heads = torch.zeros(5, 1, dtype=torch.int64)
    for prompts in (-1, BATCH + 1):
        with pytest.raises(ValueError, match="0 further pairs or more, up to 8"):
            meter.further(heads, prompts)
    with pytest.raises(ValueError, match="must be different"):
        meter.further(heads.expand(-1, 2), 1)
    for head in (-1, HEADS):
        with pytest.raises(ValueError, match="heads must be between 0 and 11"):
            meter.measure(heads + head)
    for other in (heads[:3], heads[:, 0], heads[None]):
        with pytest.raises((ValueError, TypeError), match=r"heads must be \[5, k\]|heads"):
            meter.measure(other)
    with pytest.raises(ValueError, match="there are \\['direct', 'direct effect on 8 prompts', 'gradient', 'gradient"):
        meter.estimate("norms")
    assert meter.log.head.shape == (5, 0)
    assert meter.log.found(torch.ones(5, HEADS)).at(1).isnan().all()
    assert not meter.price.any()
    meter.estimate("gradient")
    meter.estimate("gradient")
    meter.measure(heads)
    meter.measure(heads)  # again, and charged again, as the paper's planner does
    assert meter.price.tolist() == [5.0] * 5
    with pytest.raises(ValueError, match="0 further pairs"):
        meter.further(heads, 1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(candidates=st.integers(1, 300), pairs=st.integers(0, 2000))
def test_schedule_of_halving(candidates: int, pairs: int) -> None:
    rounds, left, known = schedule(candidates, pairs, 32), candidates, 0
    spent = 0
    for more, kept in rounds:
        spent, known = spent + more * left, known + more
        assert more >= 1
        assert kept == max(1, (left + 1) // 2)
        left = kept
    assert spent <= pairs
    assert known <= 32
    assert bool(rounds) == (candidates <= pairs)


def test_estimates_are_bought_only_where_the_budget_suffices() -> None:
    for searcher in (Verified("gradient"), Halving(4, "gradient")):
        meter = metered(drawn_rows(0))
        searcher.search(meter, 2.9, torch.Generator())
        assert not meter.price.any()
        searcher.search(meter, 3, torch.Generator())
        assert meter.price.tolist() == [3.0] * 5
        assert torch.equal(meter.log.names[-1][1], meter.estimate("gradient").rewards.mean(1).argmax(1))


def test_layer_by_layer() -> None:
    meter = Meter(drawn_rows(0))
    LayersByReward(torch.tensor([2, 0, 1])).search(meter, HEADS, torch.Generator().manual_seed(0))
    layers = meter.log.head // 4
    assert (layers == torch.tensor([2, 0, 1]).repeat_interleave(4)).all()
    assert (meter.log.head.sort(1).values == torch.arange(HEADS)).all()
    assert len({tuple(row) for row in meter.log.head.tolist()}) > 1


def test_searchers_measure_what_they_are_charged_for() -> None:
    rows = drawn_rows(0)
    rewards = rows.mean(1)
    for searcher in searchers()[:4]:
        meter = Meter(rows)
        searcher.search(meter, 10, torch.Generator().manual_seed(0))
        assert meter.log.head.shape == (5, 10)
        assert meter.price.tolist() == [10.0] * 5
        assert all(len(set(row)) == 10 for row in meter.log.head.tolist())
        exhausted = Meter(rows)
        searcher.search(exhausted, 50, torch.Generator().manual_seed(0))
        assert exhausted.price.tolist() == [HEADS] * 5
    meter = Meter(rows)
    PolicySearcher(eager(), NOTHING, candidates=4).search(meter, 10, torch.Generator().manual_seed(0))
    assert meter.price.tolist() == [10.0] * 5
    for row, episode in zip(meter.log.head.tolist(), rewards, strict=True):
        first, second, third = row[:4], row[4:8], row[8:]
        assert len(set(first)) == len(set(second)) == 4
        taken = [max(some, key=lambda h: episode[h].item()) for some in (first, second)]
        assert taken[0] not in second + third
        assert taken[1] not in third


def test_planning_ends_with_the_heads() -> None:
    """The last picks have fewer untried heads than candidates: 5 + 5 + ... + 5 + 4 + 3 + 2 + 1."""
    rows = drawn_rows(0)
    meter = Meter(rows)
    PolicySearcher(eager(), NOTHING, 5).search(meter, 1000, torch.Generator().manual_seed(0))
    assert meter.price.tolist() == [8 * 5 + 4 + 3 + 2 + 1] * 5
    assert torch.equal(meter.log.found(rows.mean(1)).value[:, -1], rows.mean(1).amax(1))


def test_a_greedy_policy_takes_the_most_probable_head() -> None:
    rows, network = drawn_rows(0), eager()
    meter = Meter(rows)
    PolicySearcher(network, NOTHING, greedy=True).search(meter, 2, torch.Generator().manual_seed(0))
    log_probs, _ = network(torch.zeros(1, 2 + 2 * HEADS))
    assert (meter.log.head[:, 0] == log_probs.argmax()).all()


def test_policies_are_registered_by_what_they_are() -> None:
    for k in (1, 5):
        assert kind_of("policy", k).title == f"policy, trained with k={k}"
        assert kind_of("policy", k, "blind").title == f"policy, trained with k={k}, blind"
    assert kind_of("policy", shown="blind").title == "policy, sees zeros"
    with pytest.raises(ValueError, match="not 'policy k=7'"):
        kind_of("policy", 7)
    with pytest.raises(ValueError, match="not 'random, blind'"):
        kind_of("random", shown="blind")
