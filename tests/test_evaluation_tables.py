"""The tables of the evaluation say what its frames do, read in another way."""

import re
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from circuitlib.companion import evaluation_tables as tables
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.studies.evaluate import summarise
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2

PICKS = 50


class Published:
    def __init__(self, subject: str) -> None:
        self.run = Run(PUBLISHED[subject])
        self.evaluation = load_frame(self.run.frame_path("evaluation"))
        self.summary = summarise(self.evaluation, self.run.settings.evaluation_prompts)

    def plays(self, task: str, measured: int, **of: Any) -> pd.DataFrame:
        rows = self.evaluation.query("task == @task and measured == @measured")
        for name, value in of.items():
            rows = rows[rows[name] == value]
        return rows

    def share(self, task: str, measured: int, **of: Any) -> float:
        """In percent: a mean over plays over the oracle's mean."""
        rows = self.plays(task, measured, **of)
        return 100 * rows["best"].mean() / rows["oracle"].mean()


@pytest.fixture(scope="module", params=[EMBEDDED, SMOLLM2])
def published(request: pytest.FixtureRequest) -> Published:
    return Published(request.param)


def test_what_is_found(published: Published) -> None:
    table: Any = tables.found_table(published.summary, "docstring")
    searchers: dict[str, dict[str, Any]] = {
        "policy, trained with k=5": {"searcher": "policy", "trained_k": 5, "planned_k": 1},
        "random": {"searcher": "random"},
    }
    for label, of in searchers.items():
        for measured in (1, 10, PICKS):
            share = published.share("docstring", measured, signal="none", **of)
            assert table.loc[label, measured].split(" ")[0] == f"{share:z.0f}"
    told: Any = tables.found_table(published.summary, "ioi")
    (own,) = [name for name in told.index if name.startswith("list")]
    share = published.share("ioi", 1, searcher="static prior", signal="ioi")
    assert told.loc[own, 1].split(" ")[0] == f"{share:z.0f}"
    lied: Any = tables.found_table(published.summary, "docstring", "ioi")
    share = published.share("docstring", 10, searcher="policy", trained_k=5, planned_k=1, signal="ioi")
    assert lied.loc["policy, trained with k=5", 10].split(" ")[0] == f"{share:z.0f}", "what is told another task"


def test_signals(published: Published) -> None:
    table: Any = tables.signals_table(published.summary, "docstring")
    asked = published.evaluation.query("task == 'docstring' and searcher != 'random' and planned_k <= 1")
    own = (asked["searcher"] == "static prior") & (asked["signal"] != "none")
    named = asked["searcher"].mask(own, "list of " + asked["signal"])
    assert {*table.index} == {*zip(named, asked["trained_k"], asked["signal"], strict=True)}
    for index, row in table.iterrows():
        searcher, k, signal = cast("tuple[str, int, str]", index)
        who = "static prior" if searcher == f"list of {signal}" else searcher
        of = {"searcher": who, "trained_k": k, "signal": signal, "planned_k": int(searcher == "policy")}
        assert row[10] == pytest.approx(published.share("docstring", 10, **of))


def test_planning_is_counted_both_ways(published: Published) -> None:
    table: Any = tables.planning_table(published.summary, "docstring")
    assert {*table.index} >= {(1, 1), (5, 1), (5, 5)}
    for index, row in table.iterrows():
        k, planned = cast("tuple[int, int]", index)
        in_all = PICKS * planned
        of = {"searcher": "policy", "signal": "none", "trained_k": k, "planned_k": planned}
        assert row.iloc[0] == in_all
        shares = [published.share("docstring", count, **of) for count in (in_all, PICKS)]
        assert row.iloc[1:].tolist() == pytest.approx(shares)


def test_heads_until_ninety_percent(published: Published) -> None:
    tasks = published.run.main_tasks
    table: Any = tables.ninety_table(published.summary, tasks)
    assert list(table.columns) == list(tasks)
    of = {"searcher": "policy", "trained_k": 5, "planned_k": 1, "signal": "none"}
    plays = published.plays("docstring", PICKS, **of)
    share = np.mean(plays["best"] >= 0.9 * plays["oracle"])
    reached = plays["reached_90"].where(plays["best"] >= 0.9 * plays["oracle"], np.inf)
    median = np.median(reached)
    words = f"{median:.0f}" if np.isfinite(median) else "not in half"
    assert table.loc["policy, trained with k=5", "docstring"] == f"{words} ({share:.0%})"


def test_new_tasks(published: Published) -> None:
    run = published.run
    table: Any = tables.new_tasks_table(run)
    assert set(table.index) == {*run.tasks} - {*run.training_tasks}
    searchers: dict[str, dict[str, Any]] = {
        "policy, trained with k=5": {"searcher": "policy", "trained_k": 5, "planned_k": 1, "signal": "none"},
        "random": {"searcher": "random"},
        "list by mean reward": {"searcher": "static prior", "signal": "none"},
    }
    ahead = {f"policy ahead of {name}" for name in ("random", "list by mean reward")}
    assert {*table.columns} == {*searchers, *ahead, "best head's share of the metric"}
    policy, *others = searchers
    for task in table.index:
        shares = {label: published.share(task, PICKS, **chosen) for label, chosen in searchers.items()}
        for label, share in shares.items():
            assert table.loc[task, label].split(" ")[0] == f"{share:z.0f}"
        for other in others:
            cell = table.loc[task, f"policy ahead of {other}"]
            value, low, high = map(int, re.findall(r"-?\d+", cell))
            assert value == pytest.approx(shares[policy] - shares[other], abs=0.51)
            assert low <= value <= high
            assert cell.endswith("undecided" if low < 0 < high else "holds" if low > 0 else "round")


def test_variants_stand_only_in_tables_of_everyone(published: Published) -> None:
    of_searchers = [
        partial(tables.found_table, published.summary, "docstring"),
        partial(tables.ninety_table, published.summary, ["docstring"]),
    ]
    for table in of_searchers:
        first, everyone = table(), table(everyone=True)
        main = {label for label in first.index if not label.startswith("list of")}
        assert main == {"list by mean reward", "policy, trained with k=5", "random"}
        assert {*everyone.index} - {*first.index} == {
            "policy, trained with k=1",
            "policy, trained with k=5, planning with 5",
        }
        assert everyone.loc[first.index].equals(first)


def test_robust_numbers(published: Published) -> None:
    table: Any = tables.robust_table(published.evaluation, "docstring", (10, PICKS))
    for measured in (10, PICKS):
        plays = published.plays("docstring", measured, signal="none", searcher="policy", trained_k=5, planned_k=1)
        ratios = np.sort((plays["best"] / plays["oracle"]).to_numpy())
        rival = published.plays("docstring", measured, signal="none", searcher="static prior").set_index("episode")
        ours, theirs = plays["best"].to_numpy(), plays["episode"].map(rival["best"]).to_numpy()
        row = table.loc[("policy", 5, measured)]
        assert row["mean, %"] == pytest.approx(100 * ratios.mean())
        quarter = len(ratios) // 4
        assert row["interquartile mean, %"] == pytest.approx(100 * ratios[quarter : len(ratios) - quarter].mean())
        better = np.mean((ours > theirs) + 0.5 * (ours == theirs))
        assert row["over static prior, %"] == pytest.approx(100 * better)
    assert {*table.index.get_level_values("measured")} == {10, PICKS}
