"""Sentences that are made of a table say its numbers, and its words by the rules of the ledger."""

import re
from typing import Any

import pandas as pd
import pytest

from circuitlib.companion import authors, planted
from circuitlib.companion.run import Run
from circuitlib.companion.sentences import (
    gain_sentences,
    headline_sentences,
    listed,
    percent,
    planted_sentences,
    points,
    replay_sentences,
)
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.verdicts import gains
from circuitlib.manifest import load_frame


def test_parts_of_a_sentence() -> None:
    assert listed(["one"]) == "one"
    assert listed(["one", "two"]) == "one and two"
    assert listed(["one", "two", "three"]) == "one, two and three"
    assert percent(0.996) == "100%"
    assert percent(-0.001) == "0%", "no negative zero"
    assert points(-0.0001, -0.0149, 0.0051) == "0.0 (-1.5 to 0.5)"


def row(searcher: str, shown: str, measured: int, ratio: float, **effect: float) -> dict[str, Any]:
    """A row of the replay of docstring, told nothing."""
    trained_k = 5 if searcher == "policy" else 0
    of = {"task": "docstring", "told": "none", "searcher": searcher, "trained_k": trained_k, "shown": shown}
    return of | {"measured": measured, "ratio": ratio, "effect": 0.0, "effect_low": 0.0, "effect_high": 0.0} | effect


@pytest.mark.parametrize(
    ("effect", "low", "high", "word"),
    [
        (0.05, 0.02, 0.08, "gains"),
        (-0.05, -0.08, -0.02, "loses"),
        (0.02, -0.02, 0.06, "undecided"),
        (0, -0.01, 0.01, "gains nothing"),
    ],
)
def test_the_replay_in_words(effect: float, low: float, high: float, word: str) -> None:
    rows = [
        row("policy", "seeing", 50, 0.9 + effect),
        row("policy", "blind", 50, 0.9, effect=effect, effect_low=low, effect_high=high),
        row("policy", "flipped", 50, 0.4),
        row("layers", "none", 10, 0.5),
        row("layers", "none", 12, 0.995),
        row("layers", "none", 50, 1.0),
        row("random", "none", 50, 0.6),
    ]
    said = replay_sentences(pd.DataFrame(rows))
    assert f"{100 * (0.9 + effect):.0f}% seeing its rewards, 90% seeing zeros and 40% with their signs turned" in said
    assert f"it *{word}*" in said
    assert said.endswith("Above 99%: layers after 12.")
    alone = replay_sentences(pd.DataFrame(rows[:3]))
    assert alone.endswith("Above 99%: none of them.")


def test_the_committed_replay_is_said_task_by_task() -> None:
    replay = authors.replay()
    for line, (task, rows) in zip(
        replay_sentences(replay).splitlines(), replay.groupby("task", sort=False), strict=True
    ):
        at: Any = rows.query("told == 'none' and searcher == 'policy' and trained_k == 5 and measured == 50").set_index(
            "shown"
        )
        assert line.startswith(f"- **{task}, told nothing.**")
        assert f"{100 * at.loc['blind', 'ratio']:.0f}% seeing zeros" in line


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("k", [1, 5])
def test_every_comparison_has_one_word(name: str, k: int) -> None:
    rows = load_frame(Run(PUBLISHED[name]).frame_path("seeing")).query("trained_k == @k")
    said = gain_sentences("a model", load_frame(Run(PUBLISHED[name]).frame_path("seeing")), trained_k=k)
    drawn = rows.query("searcher == 'policy' and shown == 'blind' and measured in (10, 20, 50)")
    words = [gains(*ends) for ends in drawn[["effect_low", "effect_high", "ratio"]].to_numpy()]
    counts = {word: int(count) for word, count in re.findall(r"\*([a-z ]+)\* in (\d+)", said)}
    assert counts == {word: words.count(word) for word in set(words)}
    assert f"{len(drawn)} comparisons" in said
    over_zeros, over_turned = said.split("Over turned signs")
    assert len(re.findall(r"told [^,;]*, after \d+", over_zeros)) == counts.get("gains", 0)
    turned = rows.query("searcher == 'policy' and shown == 'flipped' and measured in (10, 20, 50)")
    gained = [gains(*ends) == "gains" for ends in turned[["effect_low", "effect_high", "ratio"]].to_numpy()]
    assert len(re.findall(r"told [^,;]*, after \d+", over_turned)) == sum(gained)
    fewer = gain_sentences("a model", rows, ["greater_than"], k)
    counted = (drawn["task"] != "greater_than").sum()
    assert f"{counted} comparisons, with k={k} (without greater-than, where no head stands out)" in fewer


def test_planted_rewards_in_words() -> None:
    control = planted.planted()
    said = planted_sentences(control, planted.LEARNED, planted.BLINDED)
    last: Any = control.query("measured == 50").pivot(index=["scale", "noise"], columns="shown", values="ratio")
    met = last[(last["seeing"] >= planted.LEARNED) & (last["blind"] <= planted.BLINDED)]
    for scale, _ in met.index:
        assert f"{scale:g} logits, with" in said
    assert said.count("logits") == len(last) + len(met)
    assert "met at no place." in planted_sentences(control, 1.1, 0.0)


def test_the_headline_as_a_share_of_itself_told_induction() -> None:
    rows = pd.DataFrame(
        {
            "task": ["docstring", "docstring", "docstring", "induction"],
            "trained_k": [5, 5, 1, 5],
            "told": ["none", "induction", "none", "induction"],
            "paper": [1.0, 2.0, 0.3, 9.0],
            "replayed": [1.5, 2.0, 0.3, 9.0],
            "paper_share": [0.5, 1.02, 0.1, 0.9],
            "share": [0.75, 1.0, 0.1, 0.9],
            "low": [-0.01, -0.2, 0.2, 0.2],
            "high": [0.01, 0.2, 0.3, 0.3],
        }
    )
    said = headline_sentences(rows)
    assert "Of 4 rows: 1 *consistent*, 2 *inconsistent* and 1 *undecided*." in said
    assert "finds 102% of the oracle in the paper and 100% in the replay" in said
    assert "the headline is 50% in the paper and 75% in the replay" in said
