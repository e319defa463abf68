"""Every rule by which an interval becomes a word, and what the ledger says by them of the committed results."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from circuitlib.companion import authors, verdicts
from circuitlib.companion.claims import COLUMNS, agrees
from circuitlib.companion.paper import paper_fractions
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.studies.evaluate import summarise
from circuitlib.studies.intervals import Interval, difference, fraction, left_over, share

Rule = Callable[[float, float], str]

RULES = [verdicts.agreement, verdicts.beats, *(partial(verdicts.gains, blind=blind) for blind in (0.5, 0.995))]


def is_stronger(wide: str, narrow: str) -> bool:
    """Every word but ``undecided`` is equally strong; none may become another, except that what gains nothing may be seen to gain
    once there is room for it."""
    return wide not in ("undecided", narrow) and narrow not in ("gains nothing", "at the ceiling")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    low=st.floats(-1, 1),
    width=st.floats(0, 1),
    below=st.floats(0, 1),
    above=st.floats(0, 1),
    rule=st.sampled_from(RULES),
)
def test_a_wider_interval_is_never_a_stronger_word(
    low: float, width: float, below: float, above: float, rule: Rule
) -> None:
    narrow, wide = rule(low, low + width), rule(low - below, low + width + above)
    assert not is_stronger(wide, narrow)
    assert wide == "undecided" or narrow != "undecided"


ENDS = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(sorted)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(ours=ENDS, paper=ENDS, wider=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_wider_interval_of_either_is_never_a_stronger_verdict(
    ours: list[float], paper: list[float], wider: list[float]
) -> None:
    intervals = [Interval(middle, low, high) for low, middle, high in (ours, paper)]
    reach = [Interval(one.value, one.low - wider[i], one.high + wider[i + 2]) for i, one in enumerate(intervals)]
    assert agrees(*reach) in ("undecided", agrees(*intervals))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    most=st.integers(0, 30),
    theirs=st.integers(0, 20),
    pool=st.integers(33, 5000),
    fewer=st.integers(33, 5000),
    loss=st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_fewer_prompts_are_never_a_stronger_verdict(
    most: int, theirs: int, pool: int, fewer: int, loss: list[float]
) -> None:
    """Nor a narrower interval: of shares of episodes, and of fractions of the oracle and their differences for one seed. (For several,
    fewer prompts leave the seeds a smaller part of the variance, and with it more degrees of freedom.)"""
    pools = sorted((pool, fewer))
    paper, best = share(theirs / 20, 20, None), 1 - np.array([loss])
    few, many = ([share(most / 30, 30, n), fraction(best, np.ones(3), n)] for n in pools)
    for one, other in zip(few, many, strict=True):
        assert one.high - one.low >= other.high - other.low - 1e-12
    assert agrees(few[0], paper) in ("undecided", agrees(many[0], paper))
    given_paper = Interval(theirs / 20, theirs / 20, theirs / 20)
    assert agrees(few[1], given_paper) in ("undecided", agrees(many[1], given_paper))
    gains = [fraction(best, np.ones(3), n, against=best**2 / 2 + 0.2) for n in pools]
    words = [verdicts.beats(gain.low, gain.high) for gain in gains]
    assert words[0] in ("undecided", words[1])


def test_one_batch_of_prompts_decides_nothing() -> None:
    unknown = share(0.5, 30, 32)
    assert np.isnan(unknown[1:]).all()
    assert agrees(unknown, Interval(0.5, 0.5, 0.5)) == "undecided"


def test_shares_are_wilsons_and_their_difference_newcombes() -> None:
    for hits in (0, 3, 20):
        low, high = binomtest(hits, 20).proportion_ci(method="wilson")
        assert share(hits / 20, 20, None) == pytest.approx((hits / 20, low, high))
    # Newcombe 1998, table II, method 10.
    for (a, m), (b, n), low, high in (((56, 70), (48, 80), 0.0524, 0.3339), ((10, 10), (0, 10), 0.6075, 1.0)):
        found = difference(share(a / m, m, None), share(b / n, n, None))
        assert found == pytest.approx((a / m - b / n, low, high), abs=5e-5)
    assert 1 / left_over(30, 160) == pytest.approx(1 / (1 / 30 + 32 / 128)), (
        "thirty episodes of 160 prompts are worth 3.5"
    )


def test_verdicts() -> None:
    unknown = float("nan")
    assert {verdicts.agreement(unknown, unknown), verdicts.beats(unknown, unknown)} == {"undecided"}
    assert verdicts.gains(unknown, unknown, 1.0) == "undecided"
    assert [verdicts.beats(*ends) for ends in ((0.1, 0.2), (-0.2, -0.1))] == ["holds", "the other way round"]
    assert verdicts.agreement(-0.05, 0.05) == "consistent"
    assert verdicts.agreement(0.01, 0.06) == "undecided"
    assert verdicts.agreement(-0.2, -0.051) == "inconsistent"
    assert verdicts.gains(-0.01, 0.01, 0.9) == "gains nothing"
    assert verdicts.gains(-0.01, 0.01, 0.995) == "at the ceiling"
    assert verdicts.gains(0.002, 0.02, 0.995) == "gains"
    assert verdicts.gains(-0.02, -0.002, 0.995) == "loses"
    assert verdicts.gains(-0.02, 0.002, 0.995) == "undecided"


@pytest.fixture(params=PUBLISHED)
def ledger(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The committed ledger and the summary of the evaluation that it is of."""
    run = Run(PUBLISHED[request.param])
    evaluation = load_frame(run.frame_path("evaluation"))
    return load_frame(run.frame_path("claims")), summarise(evaluation, run.settings.evaluation_prompts)


IN_WORDS = {"none": "nothing", "ioi": "IOI"}


def test_every_number_of_the_paper_has_a_row(ledger: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """With our number and interval from the evaluation, and the verdict that follows from what the row says."""
    claims, summary = ledger
    assert list(claims) == COLUMNS
    rows: Any = claims[claims["unit"] == "fraction of oracle"].set_index("claim")
    assert len(rows) == len(paper_fractions()) == 11
    for (task, k, told), paper in paper_fractions().items():
        words = f"policy trained with k={k}, told {IN_WORDS.get(told, told)}" if k else "random"
        row = rows.loc[f"{IN_WORDS.get(task, task)}, {words}, after 50 heads"]
        of = summary.query("task == @task and signal == @told and trained_k == @k and planned_k <= 1")
        ours = of[(of["measured"] == 50) & (of["searcher"] == ("policy" if k else "random"))].iloc[0]
        assert row["paper"] == pytest.approx(paper, abs=1e-5)
        assert row[["ours", "low", "high"]].tolist() == pytest.approx(ours[["ratio", "low", "high"]].tolist(), abs=1e-5)
        theirs = Interval(*row[["paper", "paper_low", "paper_high"]])
        assert row["verdict"] == agrees(Interval(*row[["ours", "low", "high"]]), theirs)
        if task != "ioi":
            replayed = authors.agreement().query("task == @task and trained_k == @k and told == @told").iloc[0]
            below, above = replayed["difference"] - replayed["low"], replayed["high"] - replayed["difference"]
            assert theirs == pytest.approx((paper, paper - above, paper + below), abs=1e-5), (
                "as wide as the replay says"
            )
        else:
            assert theirs == pytest.approx((paper, paper, paper), abs=1e-5), "as given"
        assert row["rests_on"] == ("policies" if k else "tables")


def test_what_the_paper_has_no_number_of(
    ledger: tuple[pd.DataFrame, pd.DataFrame], request: pytest.FixtureRequest
) -> None:
    """A list, which is the same for all seeds, and random search, drawn a few times, beside all seeds of the policy."""
    claims, _ = ledger
    rows = claims[claims["unit"].str.endswith("paired")]
    run = Run(PUBLISHED[request.node.callspec.params["ledger"]])
    evaluation = load_frame(run.frame_path("evaluation"))
    docstring: Any = evaluation.query(
        "task == 'docstring' and signal == 'none' and planned_k <= 1 and trained_k in (0, 5)"
    )
    oracle, expected = docstring["oracle"].mean(), []
    for count in (10, 50):
        at = docstring[docstring["measured"] == count]
        found = at.groupby("searcher")["best"].mean()
        expected += [(found["policy"] - found[searcher]) / oracle for searcher in ("static prior", "random")]
    priced = load_frame(run.frame_path("rivals")).query("task == 'docstring'")
    for count in (10, 50):
        named = priced[priced["price"] == count].groupby("searcher")["named"].mean()
        expected += [
            (named["policy k=5"] - named[searcher]) / oracle for searcher in ("list, in turns", "gradient, then verify")
        ]
    gained, ahead = rows[rows["claim"].str.contains("what seeing gains")], rows[rows["claim"].str.contains("ahead of")]
    assert len(gained) + len(ahead) == len(rows) == 10
    seen: Any = load_frame(run.frame_path("seeing")).query(
        "task == 'docstring' and searcher == 'policy' and trained_k == 5 and told == 'none' and measured in (10, 50)"
    )
    ratios = seen.pivot(index="measured", columns="shown", values="ratio")
    assert gained["ours"].tolist() == pytest.approx((ratios["seeing"] - ratios["blind"]).tolist(), abs=1e-5)
    for row, blind in zip(gained.itertuples(), ratios["blind"], strict=True):
        assert row.verdict == verdicts.gains(float(row.low), float(row.high), blind)  # type: ignore[arg-type]
    assert ahead["ours"].tolist() == pytest.approx(expected, abs=1e-5)
    assert rows["paper"].isna().all()
    for row in ahead.itertuples():
        assert row.verdict == verdicts.beats(float(row.low), float(row.high))  # type: ignore[arg-type]
    (pairs,) = claims[claims["unit"] == "share of pairs"].to_dict("records")
    of_ioi = load_frame(run.frame_path("pairs")).query("task == 'ioi'")
    prompts = run.settings.evaluation_prompts // 10
    level = 1 - 0.05 / len(of_ioi)
    told = [
        t.interval(level, prompts - 1, excess, error)
        for excess, error in zip(of_ioi["excess"], of_ioi["error"], strict=True)
    ]
    assert pairs["ours"] == pytest.approx(np.mean(of_ioi["excess"] > 0), abs=1e-5)
    assert pairs["low"] == pytest.approx(np.mean([low > 0 for low, _ in told]), abs=1e-5)
    assert pairs["high"] == pytest.approx(np.mean([high > 0 for _, high in told]), abs=1e-5)
    assert pairs["verdict"] == verdicts.beats(pairs["low"] - 0.1, pairs["high"] - 0.1)
    assert (claims.loc[claims["unit"] == "share of episodes", "low"] < 0.5).all(), "few episodes share no prompt"
    assert claims["claim"].is_unique
    assert claims["claim"].str.len().max() <= 80, "the console prints them"
