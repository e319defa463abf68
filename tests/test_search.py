"""Oracle, searchers and their evaluation, against brute force."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib.ablation.tables import DamageTable
from circuitlib.search import oracle
from circuitlib.search.evaluate import Entry, bootstrap_ratio, draw_episodes, evaluate, summarise
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.ppo_seeds import ActorCritic
from circuitlib.search.searchers import RandomSearcher, StaticPrior


@pytest.fixture
def rewards() -> torch.Tensor:
    return torch.randn(9, 12, generator=torch.Generator().manual_seed(0)) + 2


def test_oracle_is_brute_force(rewards: torch.Tensor) -> None:
    for episode, best, head in zip(
        rewards, oracle.best_reward(rewards), oracle.best_head(rewards), strict=True
    ):
        values = episode.tolist()
        assert best.item() == max(values)
        assert head.item() == values.index(max(values))
    means = rewards.mean(0).tolist()
    assert oracle.head_order(rewards).tolist() == sorted(range(12), key=lambda h: -means[h])


def test_searchers_measure_what_they_are_charged_for(rewards: torch.Tensor) -> None:
    network = ActorCritic([0], 2, 12, 16)
    generator = torch.Generator().manual_seed(0)
    order = torch.arange(11, -1, -1)
    for searcher in (RandomSearcher(), StaticPrior(order), PolicySearcher(network, torch.zeros(2))):
        measured = searcher.search(rewards, 10, generator)
        assert measured.shape == (9, 10)
        assert all(len(set(row)) == 10 for row in measured.tolist())
    assert (StaticPrior(order).search(rewards, 3, generator) == torch.tensor([11, 10, 9])).all()
    planned = PolicySearcher(network, torch.zeros(2), candidates=4).search(rewards, 10, generator)
    assert planned.shape == (9, 10)
    for row, episode in zip(planned.tolist(), rewards, strict=True):
        first, second = row[:4], row[4:8]
        taken = max(first, key=lambda h: episode[h].item())
        assert len(set(first)) == len(set(second)) == 4
        assert taken not in second
    with pytest.raises(ValueError, match="run out of 12 heads"):
        PolicySearcher(network, torch.zeros(2), candidates=5).search(rewards, 50, generator)


def test_policy_searcher_sees_what_the_environment_shows(rewards: torch.Tensor) -> None:
    seen = []

    class Recorder(ActorCritic):
        def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(observations.clone())
            return super().forward(observations)

    searcher = PolicySearcher(Recorder([0], 2, 12, 16), torch.tensor([0.0, 1.0]))
    measured = searcher.search(rewards, 3, torch.Generator().manual_seed(0))
    last = seen[2][0]
    assert (last[:, :2] == torch.tensor([0.0, 1.0])).all()
    for row, observation, episode in zip(measured.tolist(), last, rewards, strict=True):
        assert observation[2:14].nonzero()[:, 0].tolist() == sorted(row[:2])
        for head in row[:2]:
            assert observation[14 + head].item() == pytest.approx(episode[head].item() / 5)


def test_evaluation_by_brute_force(rewards: torch.Tensor) -> None:
    order = torch.tensor([5, 3, 0, 1, 2, 4, 6, 7, 8, 9, 10, 11])
    frame = evaluate("ioi", rewards, [Entry(StaticPrior(order), "none")], measured=(1, 4), picks=12)
    assert set(frame["measured"]) == {1, 4, 12}
    for row in frame.itertuples():
        episode = rewards[int(row.episode)].tolist()  # type: ignore[arg-type]
        assert row.best == pytest.approx(max(episode[h] for h in order[: row.measured].tolist()))
        assert row.oracle == pytest.approx(max(episode))
        first = next(i for i, h in enumerate(order.tolist(), 1) if episode[h] >= 0.9 * max(episode))
        assert row.reached_90 == first


def test_a_head_never_reached_is_missing_not_zero() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    frame = evaluate(
        "ioi", rewards, [Entry(StaticPrior(torch.arange(3)), "none")], measured=(1,), picks=1
    )
    assert frame["reached_90"].isna().tolist() == [False, True]
    assert summarise(frame)["reached_90_share"].item() == 0.5


def test_summary_and_intervals() -> None:
    ratio, low, high = bootstrap_ratio(np.full((3, 8), 3.0), np.full(8, 4.0))
    assert ratio == low == high == 0.75
    rng = np.random.default_rng(0)
    oracle_ = rng.uniform(2, 3, 40)
    best = oracle_ * rng.uniform(0.6, 1.0, (3, 40))
    ratio, low, high = bootstrap_ratio(best, oracle_)
    assert ratio == pytest.approx(best.mean() / oracle_.mean())
    assert low < ratio < high
    assert high - low < 0.15
    rows = [
        {"task": "t", "signal": "none", "searcher": "s", "trained_k": 0, "planned_k": 0, "measured": 5, "seed": s, "episode": e, "best": b, "oracle": 2.0, "reached_90": r}
        for s, e, b, r in [(0, 0, 1.0, 4.0), (0, 1, 2.0, 6.0), (1, 0, 1.5, 8.0), (1, 1, 1.5, 9.0)]
    ]  # fmt: skip
    summary = summarise(pd.DataFrame(rows)).iloc[0]
    assert summary["ratio"] == pytest.approx(0.75)
    assert summary["reached_90_heads"] == 7


def test_episodes_are_the_same_for_everyone(make_table: Callable[..., DamageTable]) -> None:
    tables = make_table("ioi"), make_table("control", scale=0.1)
    first, again = draw_episodes(*tables, 5), draw_episodes(*tables, 5)
    assert torch.equal(first, again)
    assert first.shape == (5, 12)
    assert not torch.equal(first[0], first[1])
