"""The tables that put the ledger to the test say what their frames do, read in another way."""

import json
from typing import Any

import numpy as np
import pytest

from circuitlib.companion import ledger_tables as tables
from circuitlib.companion.claims import undecided
from circuitlib.companion.retrained import in_short
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.verdicts import agreement
from circuitlib.manifest import load_frame
from circuitlib.paths import REFERENCE
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2

MINI = Run(PUBLISHED[EMBEDDED])
BOTH = pytest.mark.parametrize("run", [Run(PUBLISHED[name]) for name in (EMBEDDED, SMOLLM2)], ids=[EMBEDDED, SMOLLM2])


def frame(run: Run, name: str) -> Any:
    return load_frame(run.frame_path(name))


def test_verdicts_are_counted() -> None:
    ledgers = {run.title: frame(run, "claims") for run in (MINI, Run(PUBLISHED[SMOLLM2]))}
    table: Any = tables.verdicts_table(ledgers)
    for title, ledger in ledgers.items():
        assert table[title].sum() == len(ledger)
        for (side, verdict), count in table[title].items():
            known = ledger["paper"].notna() == (side == "beside a number of the paper's")
            assert count == (known & (ledger["verdict"] == verdict)).sum()


@BOTH
def test_other_ablations(run: Run) -> None:
    measured, table = frame(run, "other_ablations"), tables.ablations_table(run)
    words: dict[str, dict[str, str]] = {}
    for row in measured.to_dict("records"):
        cell = table.loc[row["claim"], tables.ABLATIONS[row["ablation"]]]
        assert cell == f"{row['ours']:z.2f} ({row['low']:z.2f} to {row['high']:z.2f}) {row['verdict']}"
        words.setdefault(row["claim"], {})[row["ablation"]] = row["verdict"]
    assert len(table) == len(words)
    turned, opposed = tables.turned(run)
    assert set(turned) == {claim for claim, of in words.items() if len({*of.values()}) > 1}
    assert set(opposed) == {claim for claim, of in words.items() if len({*of.values()} - {"undecided"}) > 1}
    ledger = frame(run, "claims").set_index("claim")
    assert table["in the ledger"].equals(ledger.loc[table.index, "verdict"].rename("in the ledger"))


@BOTH
def test_the_headline_again(run: Run) -> None:
    again, table = frame(run, "retrained"), tables.headline_again(run)
    of = {"task": "docstring", "signal": "none", "trained_k": 5, "planned_k": 1}
    rows = [row for row in again.to_dict("records") if all(row[name] == value for name, value in of.items())]
    assert len(rows) == len(table) > 3
    for row in rows:
        shown = table.loc[row["measured"]]
        assert shown["again"] == pytest.approx(100 * row["again"])
        assert shown["difference"] == pytest.approx(shown["again"] - shown["ratio"], abs=1e-3)
        assert shown["low"] <= shown["ratio"] <= shown["high"]


@BOTH
def test_prompts_and_the_larger_pool(run: Run) -> None:
    ledger, larger = (frame(run, name).set_index("claim") for name in ("claims", "larger_pool"))
    open_ones = ledger[(ledger["verdict"] == "undecided") & ~ledger.index.str.contains("seeing")]
    needed, once = tables.prompts_table(run), tables.larger_table(run)
    assert set(needed.index) == set(once.index) == set(open_ones.index)
    for claim, row in once.iterrows():
        assert row["verdict"] == larger.loc[claim, "verdict"]
        ours, after = ledger.loc[claim], larger.loc[claim]
        assert row["before"] == f"{ours['ours']:z.2f} ({ours['low']:z.2f} to {ours['high']:z.2f})"
        assert row["larger pool"] == f"{after['ours']:z.2f} ({after['low']:z.2f} to {after['high']:z.2f})"
    plan: Any = undecided(run).set_index("claim")
    alone: Any = needed["with boundlessly many seeds"].astype(float)
    assert alone.equals(plan["prompts_alone"].rename(alone.name))
    assert once["prompts needed"].equals(needed.loc[once.index, "prompts needed"])
    assert needed[["ours", "low", "high"]].equals(ledger.loc[needed.index, ["ours", "low", "high"]])
    more = needed["prompts needed"].dropna()
    assert (more > run.settings.evaluation_prompts).all()


@BOTH
def test_what_would_change(run: Run) -> None:
    rows, table = frame(run, "what_if"), tables.changes_table(run, "docstring")
    ledger = frame(run, "claims").set_index("claim")
    headline = ledger.loc["docstring, policy trained with k=5, told nothing, after 50 heads"]
    assert table.loc["as published", "headline"] == headline["verdict"], "the ledger's own"
    of: Any = rows[rows["task"] == "docstring"].set_index(["change", "searcher"])
    assert set(table.index) == set(of.index.get_level_values("change"))
    for change, row in table.iterrows():
        policy = of.loc[(change, "policy")]
        assert [row["list"], row["policy"]] == [of.loc[(change, name), "early"] for name in ("list", "policy")]
        assert row["policy, 50 heads"] == policy["all"]
        unknown = policy["low"] != policy["low"]
        # Newcombe's: both intervals' reaches, as if at right angles.
        off = policy["all"] - headline["paper"]
        below = np.hypot(policy["all"] - policy["low"], headline["paper_high"] - headline["paper"])
        above = np.hypot(policy["high"] - policy["all"], headline["paper"] - headline["paper_low"])
        assert row["headline"] == ("" if unknown else agreement(off - below, off + above))
        assert (row["list ahead"] == "") == unknown
    assert "headline" not in tables.changes_table(run, "ioi"), "the paper's headline is of docstring"


def test_the_papers_numbers() -> None:
    paper = json.loads((REFERENCE / "mechrl_v1.json").read_text())["transfer_docstring_30_episodes"]
    table: Any = tables.published_table().set_index(["searcher", "told"])
    oracle = paper["oracle_15_episodes"]["mean_best"]
    for (searcher, told), value in {
        ("policy, trained with k=1", "IOI"): paper["k1"]["told_ioi"],
        ("policy, trained with k=5", "nothing"): paper["k5"]["unknown"],
        ("random", ""): paper["random"]["mean_best"],
    }.items():
        assert table.loc[(searcher, told)].tolist() == pytest.approx([value, 100 * value / oracle])
    assert len(table) == 7


RUNS = [Run(PUBLISHED[name]) for name in (EMBEDDED, SMOLLM2)]


def test_how_many_turn() -> None:
    table: Any = tables.turning_table(RUNS)
    for run in RUNS:
        measured = frame(run, "other_ablations")
        words = [set(rows["verdict"]) for _, rows in measured.groupby("claim")]
        turned, opposed = (sum(len(some - gone) > 1 for some in words) for gone in (set(), {"undecided"}))
        assert table.loc[run.title].tolist() == [len(words), turned, opposed]


def test_trainings() -> None:
    table: Any = tables.trainings_table(RUNS)
    for run in RUNS:
        again = frame(run, "retrained")
        for planned, row in table.loc[run.title].iterrows():
            shares = in_short(again).set_index("planned_k").loc[planned]
            assert [*row[:-2]] == [*shares.drop("inside")]
            assert [*row[-2:]] == ["{}; again {}".format(*again[["on", "again_on"]].iloc[0]), again["p"][0]]
    assert {*table.index.get_level_values("subject")} == {run.title for run in RUNS}


def test_what_decides_and_what_is_inside() -> None:
    deciding: Any = tables.deciding_table(RUNS)
    inside: Any = tables.inside_table(RUNS)
    for run in RUNS:
        needed, have = tables.prompts_table(run), run.settings.evaluation_prompts
        asked = needed["prompts needed"].astype(float).tolist()
        counts = [len(asked), *(sum(some <= times * have for some in asked) for times in (4, 64))]
        assert deciding.loc[run.title].tolist() == [*counts, needed["with boundlessly many seeds"].isna().sum()]
        ledger = frame(run, "claims").set_index("claim")
        larger = frame(run, "larger_pool").to_dict("records")
        held = [ledger.loc[row["claim"], "low"] <= row["ours"] <= ledger.loc[row["claim"], "high"] for row in larger]
        assert inside.loc[run.title].tolist() == [len(larger), sum(held)]
