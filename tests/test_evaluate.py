"""The evaluation's tables against brute force."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.episodes import signal_of
from circuitlib.search.evaluate import Entry, bootstrap_ratio, draw_episodes, evaluate, summarise
from circuitlib.search.meter import Meter
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import RandomSearcher, StaticPrior


@pytest.fixture
def episodes() -> torch.Tensor:
    return torch.randn(9, 4, 12, generator=torch.Generator().manual_seed(0)) + 2


def test_evaluation_by_brute_force(episodes: torch.Tensor) -> None:
    order = torch.tensor([5, 3, 0, 1, 2, 4, 6, 7, 8, 9, 10, 11])
    frame = evaluate("ioi", episodes, [Entry(StaticPrior(order), "ioi")], measured=(1, 4), picks=12)
    assert set(frame["measured"]) == {1, 4, 12}
    for row in frame.itertuples():
        episode = episodes[int(row.episode)].mean(0).tolist()  # type: ignore[arg-type]
        assert row.best == pytest.approx(max(episode[h] for h in order[: row.measured].tolist()))
        assert row.oracle == pytest.approx(max(episode))
        first = next(i for i, h in enumerate(order.tolist(), 1) if episode[h] >= 0.9 * max(episode))
        assert row.reached_90 == first


def test_a_subject_with_few_heads_is_evaluated_to_its_last(episodes: torch.Tensor) -> None:
    """50 picks of 5 candidates, and 50 heads to be measured, of 12."""
    policy = PolicySearcher(ActorCritic(2, 12, 16, 0), signal_of(("induction", "ioi")), 5)
    entries = [Entry(RandomSearcher()), Entry(policy, "none", 3, 1, 5)]
    frame = evaluate("ioi", episodes, entries)
    counts = frame.groupby("searcher")["measured"].agg(lambda x: sorted(set(x)))
    assert counts["random"] == [1, 5, 10, 12]
    assert counts["policy"] == [1, 5, 10, 12, 50]
    last = frame[frame["measured"] == frame.groupby("searcher")["measured"].transform("max")]
    assert np.array_equal(last["best"], last["oracle"])


def test_an_overspent_budget_is_an_error(episodes: torch.Tensor) -> None:
    class Spendthrift(RandomSearcher):
        def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
            for _ in range(3):
                meter.measure(torch.zeros(meter.episodes, 1, dtype=torch.int64))
            super().search(meter, budget, generator)

    with pytest.raises(ValueError, match=r"random spent 7.0 of a budget of 4"):
        evaluate("ioi", episodes, [Entry(Spendthrift())], measured=(1, 4), picks=2)


def test_a_head_never_reached_is_missing_not_zero() -> None:
    episodes = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])[:, None]
    frame = evaluate("ioi", episodes, [Entry(StaticPrior(torch.arange(3)))], measured=(1,), picks=1)
    assert frame["reached_90"].isna().tolist() == [False, True]
    assert summarise(frame)["reached_90_share"].item() == 0.5


def test_summary_and_intervals() -> None:
    ratio, low, high = bootstrap_ratio(np.full((3, 8), 3.0), np.full(8, 4.0))
    assert ratio == low == high == 0.75
    rng = np.random.default_rng(0)
    oracle = rng.uniform(2, 3, 40)
    best = oracle * rng.uniform(0.6, 1.0, (3, 40))
    ratio, low, high = bootstrap_ratio(best, oracle)
    assert ratio == pytest.approx(best.mean() / oracle.mean())
    assert low < ratio < high
    assert high - low < 0.15
    condition = {"task": "t", "signal": "none", "searcher": "s", "trained_k": 0, "planned_k": 0}
    rows = [
        condition | {"measured": 10, "seed": s, "episode": e, "best": b, "oracle": 2.0, "reached_90": r}
        for s, e, b, r in [(0, 0, 1.0, 4.0), (0, 1, 2.0, 6.0), (1, 0, 1.5, 8.0), (1, 1, 1.5, 9.0)]
    ]
    summary = summarise(pd.DataFrame(rows)).iloc[0]
    assert summary["ratio"] == pytest.approx(0.75)
    assert summary["reached_90_heads"] == 7
    early = summarise(pd.DataFrame(rows).assign(measured=5)).iloc[0]
    assert early["reached_90_share"] == 0.25, "what is reached later has not been reached by then"
    assert np.isnan(early["reached_90_heads"])


def test_episodes_are_the_same_for_everyone(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi"), make_table("control", scale=0.1)
    first, again = draw_episodes(task, control, 5), draw_episodes(task, control, 5)
    assert torch.equal(first, again)
    assert first.shape == (5, 32, 12)
    assert not torch.equal(first[0], first[1])
    free = draw_episodes(task, control, 1, penalty=0.0)[0]
    rows = {tuple(row) for row in task.damage.tolist()}
    assert {tuple(row) for row in free.tolist()} < rows
    assert len({tuple(row) for row in free.tolist()}) == 32
