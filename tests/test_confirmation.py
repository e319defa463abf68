"""What is confirmed: who plays, beside whom, and when an interval confirms, refutes or leaves undecided."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_priced import LAYERS, drawn

from circuitlib.companion.confirmation import behaviours_table, confirmation, verdict_table
from circuitlib.companion.rival_figures import searcher_title
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.search.belief import GRADIENT, Believer, Prior
from circuitlib.search.headwise import Headwise
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.meter import Meter
from circuitlib.search.priced_policy import PricedPolicy
from circuitlib.search.rivals import Halving
from circuitlib.search.searchers import RandomSearcher
from circuitlib.studies.confirmation import (
    BLIND,
    BY_HAND,
    HEADWISE,
    LOOKING_AHEAD,
    by_searcher,
    judged,
    measure_confirmation,
)
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.priced_contest import IN_ROUNDS

BUDGET = 3


class Idle:
    """It can buy nothing."""

    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        """Name nothing."""


def players() -> list[Player]:
    believer, network = Believer(Prior(0), LAYERS), Headwise(0)
    return [
        Player(LOOKING_AHEAD, LookAhead(believer), prices=(1, BUDGET)),
        *(Player(HEADWISE, PricedPolicy(Headwise(seed), believer), seed, prices=(BUDGET,)) for seed in range(2)),
        Player(BLIND, PricedPolicy(network, believer, blind=True), prices=(BUDGET,)),
        Player(BY_HAND, Halving(4, GRADIENT)),
        Player("not at this price", RandomSearcher(), prices=(BUDGET + 1,)),
        Player("buys nothing for it", Idle()),
    ]


def test_each_plays_each_behaviour_at_the_one_price() -> None:
    behaviours = [drawn(seed, task=f"behaviour {seed}", error=2.0) for seed in range(3)]
    rewards = torch.stack([one.rewards.mean(0) for one in behaviours])
    other = torch.randn(rewards.shape[1], generator=torch.Generator().manual_seed(0))
    taught = torch.stack([2 * rewards[1], other])
    table = measure_confirmation(behaviours, players(), rewards, taught, BUDGET)
    assert table["searcher"].unique().tolist() == [LOOKING_AHEAD, HEADWISE, BLIND, BY_HAND]
    for row in table.to_dict("records"):
        searcher, number = row["searcher"], int(row["behaviour"][-1])
        mine = [one for one in players() if one.name == searcher]
        rows = priced(behaviours[number], mine, (BUDGET,)).query("price == @BUDGET")
        assert row["named"] == pytest.approx(rows["named"].sum() / rows["oracle"].sum())
        near = [np.corrcoef(rewards[number], one)[0, 1] for one in taught]
        assert row["nearest"] == pytest.approx(max(near))
    assert table.loc[table["behaviour"] == "behaviour 1", "nearest"].to_numpy() == pytest.approx(1)


def of(**named: list[float]) -> pd.DataFrame:
    """A table by what each names on each behaviour."""
    rows = [
        {"searcher": searcher, "behaviour": f"behaviour {i}", "named": value, "nearest": 0.0}
        for searcher, values in named.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_an_interval_decides() -> None:
    even, spread = [0.99, 0.98, 0.99, 0.98], [1.0, 0.8, 1.0, 0.98]
    table = of(**{LOOKING_AHEAD: even, HEADWISE: spread, BLIND: [0.5, 0.4, 0.6, 0.5], BY_HAND: [0.9, 0.91, 0.9, 0.92]})
    beside = by_searcher(table)
    assert beside.loc[LOOKING_AHEAD, "named"] == pytest.approx(np.mean(even))
    assert beside.loc[HEADWISE, "worst"] == "behaviour 1"
    rows = judged(table).set_index(["searcher", "question"])
    verdicts = rows["verdict"].to_dict()
    assert verdicts == {
        (LOOKING_AHEAD, "names 97% on average"): "confirmed",
        (LOOKING_AHEAD, "names 95% on each"): "confirmed",
        (LOOKING_AHEAD, "names more than the rule made by hand"): "confirmed",
        (HEADWISE, "names 97% on average"): "undecided",
        (HEADWISE, "names 95% on each"): "refuted",
        (HEADWISE, "names more than the rule made by hand"): "undecided",
        (HEADWISE, "names more than blind"): "confirmed",
    }
    half = np.std(even, ddof=1) / 2 * 3.182446  # Student's t of three degrees of freedom
    first = rows[["low", "high"]].to_numpy()[0].tolist()
    assert first == pytest.approx([np.mean(even) - half, min(np.mean(even) + half, 1)], rel=1e-5)
    equal = of(**{LOOKING_AHEAD: even, HEADWISE: even, BLIND: even, BY_HAND: even}).pipe(judged)
    assert {*equal.loc[equal["question"].str.startswith("names more"), "verdict"]} == {"refuted"}, "as much is not more"
    poor = [0.5, 0.51, 0.52, 0.5]
    worse = of(**{LOOKING_AHEAD: poor, HEADWISE: poor, BLIND: even, BY_HAND: even})
    assert (judged(worse)["verdict"] == "refuted").all()


def test_near_behaviours_are_told_apart() -> None:
    even = [0.99, 0.98, 0.99, 0.5]
    table = of(**{LOOKING_AHEAD: even, HEADWISE: even, BLIND: [0.5] * 4, BY_HAND: [0.9] * 4, IN_ROUNDS: [0.8] * 4})
    table["nearest"] = table["behaviour"].map({"behaviour 3": 0.81, "behaviour 0": 0.8}).fillna(0.1)
    shown: Any = verdict_table(table)
    rows = shown.loc[(searcher_title(LOOKING_AHEAD), "names 95% on each")]
    assert rows.tolist() == ["50.0", "refuted", "98.0", "confirmed"]
    assert rows.index.tolist() == [
        "all 4",
        "verdict, all 4",
        "the 3 that are not near",
        "verdict, the 3 that are not near",
    ]
    mean = shown.loc[(searcher_title(HEADWISE), "names 97% on average")]
    assert [cell.split(" ")[0] for cell in mean] == ["86.5", "undecided", "98.7", "confirmed"]
    each = behaviours_table(table)
    assert each.index.tolist() == ["behaviour 3", "behaviour 1", "behaviour 0", "behaviour 2"]
    assert each["nearest"].tolist() == pytest.approx([81, 10, 80, 10])
    assert each.iloc[:, 0].tolist() == pytest.approx([50, 98, 99, 99])
    assert each[searcher_title(IN_ROUNDS)].tolist() == pytest.approx([80] * 4)


def test_a_subject_without_behaviours_is_refused() -> None:
    with pytest.raises(ValueError, match="gpt2-mini has no tables"):
        confirmation(Run(Settings()))
