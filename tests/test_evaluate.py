"""The evaluation's tables against brute force."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from circuitlib.ablation.tables import CONTROL, DamageTable
from circuitlib.companion.frames import say_nothing
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.search.episodes import BATCH, signal_of
from circuitlib.search.meter import Meter
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.evaluate import Entry, ahead, evaluate, summarise
from circuitlib.studies.intervals import fraction


@pytest.fixture
def episodes() -> torch.Tensor:
    return torch.randn(9, 4, 12, generator=torch.Generator().manual_seed(0)) + 2


def test_evaluation_by_brute_force(episodes: torch.Tensor) -> None:
    order = torch.tensor([5, 3, 0, 1, 2, 4, 6, 7, 8, 9, 10, 11])
    frame = evaluate("ioi", episodes, [Entry("list", StaticPrior(order), "ioi")], measured=(1, 4), picks=12)
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
    entries = [Entry("random", RandomSearcher()), Entry("policy", policy, "none", 3, 1, 5)]
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

    with pytest.raises(ValueError, match=r"spendthrift spent 7.0 of a budget of 4"):
        evaluate("ioi", episodes, [Entry("spendthrift", Spendthrift())], measured=(1, 4), picks=2)


@pytest.mark.parametrize("measured", [(0,), (-1,), (1, float("nan"))])
def test_nothing_is_recorded_before_the_first_head(episodes: torch.Tensor, measured: tuple[int, ...]) -> None:
    # Where annotations are checked, too, what is no number of heads is refused as such.
    with pytest.raises((ValueError, TypeCheckError), match=r"after at least 1 head measured|Expected type: .*\[int\]"):
        evaluate("ioi", episodes, [Entry("random", RandomSearcher())], measured)


def test_a_head_never_reached_is_missing_not_zero() -> None:
    episodes = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])[:, None]
    frame = evaluate("ioi", episodes, [Entry("list", StaticPrior(torch.arange(3)))], measured=(1,), picks=1)
    assert frame["reached_90"].isna().tolist() == [False, True]
    assert summarise(frame, None)["reached_90_share"].item() == 0.5


CONDITION: dict[str, Any] = {"task": "t", "signal": "none", "searcher": "s", "trained_k": 0, "planned_k": 0}


def rows_of(best: np.ndarray, oracle: float = 2.0, reached: np.ndarray | float = np.nan) -> pd.DataFrame:
    """The rows of one condition after ten heads, of ``best [seeds, episodes]``."""
    index = pd.MultiIndex.from_product([range(n) for n in best.shape], names=["seed", "episode"])
    columns: dict[str, Any] = {
        "measured": 10,
        "best": best.ravel(),
        "oracle": oracle,
        "reached_90": np.broadcast_to(reached, best.shape).ravel(),
    }
    return index.to_frame(index=False).assign(**CONDITION, **columns)


def test_summary() -> None:
    best, reached = np.array([[1.0, 2.0], [1.5, 1.2]]), np.array([[4.0, 6.0], [8.0, 9.0]])
    frame = rows_of(best, reached=reached)
    for pool in (None, 160):
        row = summarise(frame, pool).iloc[0]
        assert row[["ratio", "low", "high"]].tolist() == list(fraction(best, np.full(2, 2.0), pool))
    assert row["best"] == best.mean()
    assert row["reached_90_heads"] == 7
    early = summarise(frame.assign(measured=5), 160).iloc[0]
    assert early["reached_90_share"] == 0.25, "what is reached later has not been reached by then"
    assert np.isnan(early["reached_90_heads"])
    shuffled = summarise(frame.sample(frac=1, random_state=0), 160)
    assert shuffled.equals(summarise(frame, 160)), "in whatever order the rows are"


def test_one_searcher_ahead_of_another() -> None:
    one, other = np.array([[1.0, 2.0, 1.5], [1.5, 1.2, 1.1]]), np.array([[0.5, 1.0, 1.0]])
    ours = rows_of(one)
    twice = np.repeat(other, 2, axis=0)
    expected = fraction(one, np.full(3, 2.0), 96, against=twice)
    assert ahead(ours, rows_of(twice), 96) == expected
    assert ahead(ours, rows_of(other), 96) == pytest.approx(expected), "a searcher without seeds is the same for all"
    assert expected.value == pytest.approx((one.mean() - other.mean()) / 2)
    back = ahead(rows_of(other), ours, 96)
    assert back == pytest.approx([-expected.value, -expected.high, -expected.low])
    with pytest.raises(ValueError, match="12 rows are not one for each of 2 seeds and 3 episodes"):
        ahead(pd.concat([ours, ours]), rows_of(other), 96)


def test_searchers_of_other_numbers_of_seeds_are_compared_with_all_of_them() -> None:
    """Twenty policies, and a rival that draws five times: the interval contains the truth in 95 of 100 reruns, of both."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        ours = 1.5 + 0.3 * rng.normal(size=(20, 1)) + 0.1 * rng.normal(size=(20, 40))
        theirs = 1.1 + 0.3 * rng.normal(size=(5, 1)) + 0.1 * rng.normal(size=(5, 40))
        found = ahead(rows_of(ours), rows_of(theirs), None)
        assert found.value == pytest.approx((ours.mean() - theirs.mean()) / 2)
        covered += found.low <= 0.2 <= found.high
    assert 0.91 <= covered / 200 <= 0.985


def test_episodes_are_the_same_for_everyone(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi"), make_table("control", scale=0.1)
    first, again = (draw_trials(PricedTables(task, control), 5).rows for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (5, 32, 12)
    assert not torch.equal(first[0], first[1])
    free = draw_trials(PricedTables(task, control), 1, penalty=0.0).rows[0]
    rows = {tuple(row) for row in task.damage.tolist()}
    assert {tuple(row) for row in free.tolist()} < rows
    assert len({tuple(row) for row in free.tolist()}) == 32


def test_a_smaller_pool_of_spans_hardly_narrows_intervals() -> None:
    """An interval's factor is of the pool of prompts. What rewards' means would vary by over pools of prompts and of spans, beside what that factor makes of what
    episodes vary by: of the five best heads of each task, and of their differences."""
    for settings in PUBLISHED.values():
        run = Run(settings)
        general = run.table(CONTROL, "evaluation").damage.double()
        for task in run.tasks:
            damage = run.table(task, "evaluation").damage.double()
            best = (damage - general.mean(0)).mean(0).topk(5).indices.tolist()
            widths = [_width(damage[:, head], general[:, head]) for head in best]
            apart = [
                _width(*(of[:, one] - of[:, two] for of in (damage, general))) for one, two in combinations(best, 2)
            ]
            if task in say_nothing(run):
                assert 1.15 < widths[0] < 1.2
                assert 1.35 < max(*widths, *apart) < 1.45
            else:
                assert widths[0] < 1.012
                assert max(*widths, *apart) < (1.28 if task == "greater_than" else 1.025)


def _width(damage: Float[Tensor, " prompts"], general: Float[Tensor, " spans"]) -> float:
    """How much wider an interval would be that knew how many spans there are."""
    variances = [(of.var().item(), len(of)) for of in (damage, general)]
    right = sum(variance / count for variance, count in variances)
    episodes = sum(variance / BATCH * (1 - BATCH / count) for variance, count in variances)
    return (right / (episodes * BATCH / (len(damage) - BATCH))) ** 0.5
