"""Sentences about rivals say the numbers of their tables, and words by the rules of the ledger."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from circuitlib.companion.learned import BUDGET
from circuitlib.companion.legend import ATTRIBUTION
from circuitlib.companion.rival_figures import where_table
from circuitlib.companion.rival_sentences import GOAL, goal_sentences, transfer_sentences
from circuitlib.studies.transfer import COUNTS


def named(ratios: dict[str, float], reach: float) -> pd.DataFrame:
    """A summary of what the headwise policy names, by task, with intervals of one width, beside others and at other prices."""
    rows = [
        {
            "task": task,
            "searcher": searcher,
            "price": price,
            "ratio": ratio,
            "low": ratio - reach,
            "high": ratio + reach,
        }
        for task, ratio in ratios.items()
        for searcher, price in (("headwise", BUDGET), ("headwise", 2), ("random", BUDGET))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("mean", "reach", "word"),
    [(0.99, 0.01, "reached"), (0.90, 0.01, "missed"), (0.98, 0.1, "neither reached nor missed for certain")],
)
def test_the_goal(mean: float, reach: float, word: str) -> None:
    said = goal_sentences("a model", named({"ioi": mean, "pronoun": mean, "quiet": 0.1}, reach), ["quiet"])
    assert f"mean of 2 tasks: {100 * mean:.1f}% ({100 * (mean - reach / 2**0.5):.1f} to" in said
    assert f"on average, is {word};" in said
    least = f"missed on IOI ({100 * mean:.0f}%) and pronoun ({100 * mean:.0f}%)" if mean < GOAL[1] else "reached"
    assert said.endswith(f"at worst is {least}.")


def test_where_the_policy_is_ahead() -> None:
    def row(searcher: str, part: str, ratio: float, gain: float, reach: float) -> dict[str, Any]:
        ends = {"gain": gain, "gain_low": gain - reach, "gain_high": gain + reach}
        return {
            "trait": "estimate",
            "part": part,
            "searcher": searcher,
            "tasks": 2,
            "episodes": 9,
            "ratio": ratio,
        } | ends

    rows = [
        row(ATTRIBUTION, "near", 0.98, 0, 0),
        row("headwise", "near", 0.99, 0.01, 0.05),
        row(ATTRIBUTION, "far", 0.70, 0, 0),
        row("headwise", "far", 0.95, 0.25, 0.05),
        row(ATTRIBUTION, "same", 0.5, 0, 0),
        row("headwise", "same", 0.5, 0, 0),
    ]
    table = where_table(pd.DataFrame(rows), ["headwise", "nobody"])
    assert [*table.columns] == ["attribution names", "headwise"], "who was not played has no column"
    assert table["attribution names"].tolist() == ["98%", "70%", "50%"]
    assert table["headwise"].to_dict() == {
        ("estimate", "near", 9, 2): "1 (-4 to 6) undecided",
        ("estimate", "far", 9, 2): "25 (20 to 30) holds",
        ("estimate", "same", 9, 2): "0 (0 to 0) equal",
    }


def test_what_seeing_is_worth_on_behaviours() -> None:
    rng, rows = np.random.default_rng(0), []
    for episode, (task, alike) in enumerate({"converse": 0.67, "plural": 0.1, "rhyme": 0.3}.items()):
        for k in (1, 5):
            for seed in range(4):
                for price in COUNTS:
                    blind = 0.5 + 0.4 * alike + 0.001 * rng.standard_normal()
                    gain = 0.2 + 0.1 * (task == "plural") - 0.4 * (task == "rhyme" and seed > 0) if k == 5 else 0.0
                    for shown, found in (("", blind + gain), (", blind", blind)):
                        of = {"task": task, "alike": alike, "searcher": f"policy k={k}{shown}", "seed": seed}
                        rows.append(of | {"price": price, "episode": episode, "found": 2 * found, "oracle": 2.0})
    said = transfer_sentences("a model", pd.DataFrame(rows))
    assert "k=1" not in said
    assert re.search(rf"13\.\d \([^)]*\) points after {COUNTS[1]} heads \(\*undecided\*\)", said)
    assert said.count("(*undecided*)") == len(COUNTS)
    assert "most on plural, 30.0 points, in 4 of 4 seeds more than nothing; least on rhyme, -10.0, in 1." in said
    assert "3 behaviours" in said
    assert "Most like a training task is converse (its heads' rewards correlate by 0.67)" in said
    means = [0.5 + 0.4 * alike + gain for alike, gain in ((0.67, 0.2), (0.1, 0.3), (0.3, -0.1))]
    assert said.endswith(f"correlates by {np.corrcoef((0.67, 0.1, 0.3), means)[0, 1]:.2f}.")
