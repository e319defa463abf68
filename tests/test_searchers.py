"""Searchers see only what they pay for; prices, *found* and *named* against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlib.search import oracle
from circuitlib.search.episodes import signal_of
from circuitlib.search.meter import Meter
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import SEARCHERS, RandomSearcher, Searcher, StaticPrior, kind_of

HEADS, BATCH = 12, 8
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


class Halving:
    """Successive halving: every head on a quarter of the prompts, the better half on half, the best of those on all."""

    name = "halving"

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        heads = torch.arange(meter.heads).expand(meter.episodes, -1)
        for prompts in (meter.batch // 4, meter.batch // 2, meter.batch):
            answers = meter.measure(heads, prompts)
            heads = heads.gather(1, answers.topk(heads.shape[1] // 2).indices)


def searchers() -> list[Searcher]:
    return [
        RandomSearcher(),
        StaticPrior(torch.arange(HEADS - 1, -1, -1)),
        PolicySearcher(eager(), NOTHING),
        PolicySearcher(eager(), NOTHING, greedy=True),
        PolicySearcher(eager(), NOTHING, candidates=5),
        Halving(),
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


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    index=st.integers(0, len(searchers()) - 1),
    budget=st.integers(1, 40),
    change=st.sampled_from([-1e6, 1.0, 1e6]),
)
def test_what_was_not_measured_changes_no_choice(seed: int, index: int, budget: int, change: float) -> None:
    rows = drawn_rows(seed)
    first = Meter(rows)
    searchers()[index].search(first, budget, torch.Generator().manual_seed(seed))
    measured = torch.zeros(rows.shape, dtype=torch.bool)
    for head, prompts in zip(first.log.head.T, first.log.prompts.tolist(), strict=True):
        measured[torch.arange(len(rows)), :prompts, head] = True
    again = Meter(rows.where(measured, rows + change))
    searchers()[index].search(again, budget, torch.Generator().manual_seed(seed))
    assert torch.equal(first.log.head, again.log.head)
    assert torch.equal(first.log.answer, again.log.answer)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), index=st.integers(0, len(searchers()) - 1), k=st.integers(1, 60))
def test_found_is_monotone_and_ends_at_the_oracle(seed: int, index: int, k: int) -> None:
    rows = drawn_rows(seed)
    rewards, meter = rows.mean(1), Meter(rows)
    searchers()[index].search(meter, k, torch.Generator().manual_seed(seed))
    found = meter.log.found(rewards)
    assert (found.diff() >= 0)[found.diff().isfinite()].all()
    meter.measure(torch.arange(HEADS).expand(len(rows), -1))
    found, named = meter.log.found(rewards), meter.log.named(rewards)
    assert torch.equal(found[:, -1], rewards.amax(1))
    assert torch.equal(named[:, -1], rewards.amax(1))
    assert (found[:, -1:] >= found).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_meter_by_brute_force(data: st.DataObject) -> None:
    """Any calls: answers, price, found and named."""
    rows = drawn_rows(data.draw(st.integers(0, 1000)), 2)
    rewards, meter, price = rows.mean(1), Meter(rows), 0.0
    best, estimates = [-np.inf] * 2, [dict[int, tuple[int, float]]() for _ in range(2)]
    expected: list[tuple[float, list[float], list[float]]] = []
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            meter.pay(3)
            price += 3
        prompts, k = data.draw(st.integers(1, BATCH)), data.draw(st.integers(1, 4))
        some = st.lists(st.integers(0, HEADS - 1), min_size=k, max_size=k)
        heads = [data.draw(some), data.draw(some)]
        answers = meter.measure(torch.tensor(heads), prompts)
        for j in range(k):
            price += prompts / BATCH
            named = []
            for e in range(2):
                head = heads[e][j]
                answer = rows[e, :prompts, head].mean().item()
                assert answers[e, j].item() == pytest.approx(answer, abs=1e-6)
                if prompts == BATCH:
                    best[e] = max(best[e], rewards[e, head].item())
                if estimates[e].get(head, (0, 0.0))[0] <= prompts:
                    estimates[e][head] = prompts, answer
                top = max(estimates[e], key=lambda h: estimates[e][h][1])
                named.append(rewards[e, top].item())
            expected.append((price, list(best), named))
    log = meter.log
    assert meter.price == price
    assert log.price.tolist() == [price for price, _, _ in expected]
    assert log.found(rewards).T.tolist() == [found for _, found, _ in expected]
    assert log.named(rewards).T.tolist() == [named for _, _, named in expected]
    for price, found, _ in expected:
        later = [f for p, f, _ in expected if p <= price + 0.01]
        assert log.at(log.found(rewards), price + 0.01).tolist() == later[-1]
        assert found


def test_meter_refuses() -> None:
    meter = Meter(drawn_rows(0), features=torch.ones(5, HEADS, 2), features_price=3)
    heads = torch.zeros(5, 1, dtype=torch.int64)
    for prompts in (0, BATCH + 1):
        with pytest.raises(ValueError, match="prompts must be between 1 and 8"):
            meter.measure(heads, prompts)
    for head in (-1, HEADS):
        with pytest.raises(ValueError, match="heads must be between 0 and 11"):
            meter.measure(heads + head)
    for other in (heads[:3], heads[:, 0], heads[None]):
        with pytest.raises((ValueError, TypeError), match=r"heads must be \[5, k\]|heads"):
            meter.measure(other)
    with pytest.raises(ValueError, match="negative"):
        meter.pay(-1)
    with pytest.raises(ValueError, match="nothing has been measured"):
        _ = meter.log
    assert meter.features is None
    assert meter.price == 0
    meter.pay(3)
    assert meter.features is not None
    meter.measure(heads)
    assert meter.price == 4
    with pytest.raises(ValueError, match="for a price of 3"):
        meter.log.at(meter.log.found(torch.ones(5, HEADS)), 3)


def test_searchers_measure_what_they_are_charged_for() -> None:
    rows = drawn_rows(0)
    rewards = rows.mean(1)
    for searcher in searchers()[:4]:
        meter = Meter(rows)
        searcher.search(meter, 10, torch.Generator().manual_seed(0))
        assert meter.log.head.shape == (5, 10)
        assert meter.price == 10
        assert all(len(set(row)) == 10 for row in meter.log.head.tolist())
        exhausted = Meter(rows)
        searcher.search(exhausted, 50, torch.Generator().manual_seed(0))
        assert exhausted.price == HEADS
    meter = Meter(rows)
    PolicySearcher(eager(), NOTHING, candidates=4).search(meter, 10, torch.Generator().manual_seed(0))
    assert meter.price == 10
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
    assert meter.price == 8 * 5 + 4 + 3 + 2 + 1
    assert torch.equal(meter.log.found(rows.mean(1))[:, -1], rows.mean(1).amax(1))


def test_a_greedy_policy_takes_the_most_probable_head() -> None:
    rows, network = drawn_rows(0), eager()
    meter = Meter(rows)
    PolicySearcher(network, NOTHING, greedy=True).search(meter, 2, torch.Generator().manual_seed(0))
    log_probs, _ = network(torch.zeros(1, 2 + 2 * HEADS))
    assert (meter.log.head[:, 0] == log_probs.argmax()).all()


def test_every_searcher_is_registered() -> None:
    for searcher in (RandomSearcher(), StaticPrior(torch.arange(2))):
        assert kind_of(searcher.name).key == searcher.name
    for k in (1, 5):
        assert kind_of(PolicySearcher(eager(), NOTHING).name, k).title == f"policy, k={k}"
    with pytest.raises(ValueError, match="not 'policy k=7'"):
        kind_of("policy", 7)
    for field in ("title", "colour", "marker"):
        assert len({getattr(kind, field) for kind in SEARCHERS.values()}) == len(SEARCHERS)
