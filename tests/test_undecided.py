"""What would decide what is undecided: intervals of more prompts and of more seeds, against closed forms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from circuitlib.companion import claims
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.verdicts import beats
from circuitlib.studies.evaluate import ahead, by_seed
from circuitlib.studies.intervals import fraction
from circuitlib.studies.undecided import TIMES, repeated, seeds_as_one, what_decides

SEEDS, EPISODES, POOL = 5, 30, 160


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two searchers on the same episodes, whose seeds differ."""
    rng = np.random.default_rng(0)
    oracle, episode = rng.uniform(2, 3, EPISODES), np.arange(EPISODES)
    parts = []
    for searcher, share in (("one", 0.7), ("two", 0.6)):
        for seed in range(SEEDS):
            best = oracle * share + 0.1 * rng.normal() + 0.2 * rng.normal(size=EPISODES)
            parts.append(
                pd.DataFrame(
                    {
                        "searcher": searcher,
                        "seed": seed,
                        "episode": episode,
                        "best": best,
                        "oracle": oracle,
                        "word": "x",
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def test_more_prompts_shrink_their_part_alone(rows: pd.DataFrame) -> None:
    """By the formula of intervals: the variance over episodes times 1 / episodes + 32 / (pool - 32), and that over seeds as it was."""
    one = rows[rows["searcher"] == "one"]
    best, oracle = by_seed(one), by_seed(one, "oracle")[0]
    for times in (1, 4):
        many = repeated(one, times)
        assert many["episode"].nunique() == times * EPISODES
        found = fraction(by_seed(many), by_seed(many, "oracle")[0], times * POOL)
        assert found.value == pytest.approx(best.mean() / oracle.mean())
        residual = best.mean(0) - found.value * oracle
        n = times * EPISODES
        spread = np.square(residual).sum() * times / (n - 1)
        parts = [(spread * (1 / n + 32 / (times * POOL - 32)), n - 1), (best.mean(1).var(ddof=1) / SEEDS, SEEDS - 1)]
        variance = sum(part for part, _ in parts)
        freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
        reach = stdtrit(freedom, 0.975) * variance**0.5 / oracle.mean()
        assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach))


def test_boundless_seeds_leave_the_part_of_prompts(rows: pd.DataFrame) -> None:
    alone = seeds_as_one(rows, ["searcher"])
    assert len(alone) == 2 * EPISODES
    one, two = (rows[rows["searcher"] == name] for name in ("one", "two"))
    mean_one, mean_two = (alone[alone["searcher"] == name] for name in ("one", "two"))
    oracle = by_seed(one, "oracle")[0]
    by_hand = fraction(by_seed(one).mean(0)[None], oracle, POOL, against=by_seed(two).mean(0)[None])
    assert ahead(mean_one, mean_two, POOL) == pytest.approx(by_hand)
    assert ahead(mean_one, mean_two, POOL).value == pytest.approx(ahead(one, two, POOL).value)
    assert ahead(mean_one, mean_two, POOL).low > ahead(one, two, POOL).low


def test_the_least_that_decides() -> None:
    """Claims with known parts of their variance: a / times for prompts, b for seeds; decided once the two reach less far than the value."""
    claims = pd.DataFrame({"value": [1.0, -1.0, 1.0, 1.0, 1.0], "a": [3.9, 3.9, 3.9, 1e3, 0.0], "b": [0, 0, 0.9, 0, 2]})

    def verdicts(times: int, seeds: bool) -> pd.Series:
        reach = (claims["a"] / times + claims["b"] * seeds) ** 0.5
        words = [beats(value - far, value + far) for value, far in zip(claims["value"], reach, strict=True)]
        return pd.Series(words)

    found = what_decides(verdicts, 100)
    assert found["prompts"].to_numpy() == pytest.approx([400, 400, 6400, np.nan, np.nan], nan_ok=True)
    assert found["prompts_alone"].to_numpy() == pytest.approx([400, 400, 400, np.nan, 100], nan_ok=True)
    assert max(TIMES) * 100 == 6400


@pytest.mark.parametrize("subject", PUBLISHED)
def test_of_the_ledger(subject: str) -> None:
    """As many prompts and the seeds as they are make the ledger that is committed, and each undecided claim is there once; more never undecide."""
    run = Run(PUBLISHED[subject])
    ledger, evidence = claims.claims(run), claims._evidence(run)
    same = claims._ledger(run, evidence.of(1, True))
    pd.testing.assert_frame_equal(same, ledger, check_dtype=False, rtol=1e-4, atol=1e-5)
    more = claims._ledger(run, evidence.of(8, True))
    narrower: Any = (more["high"] - more["low"]) - (ledger["high"] - ledger["low"])
    assert (narrower.dropna() < 1e-5).all()
    found = claims.undecided(run)
    expected: Sequence[str] = ledger.loc[
        (ledger["verdict"] == "undecided") & ~ledger["claim"].str.contains("seeing gains"), "claim"
    ].tolist()
    assert found["claim"].tolist() == expected
    decided = found["prompts"].notna()
    assert (found.loc[decided, "prompts_alone"] <= found.loc[decided, "prompts"]).all()
