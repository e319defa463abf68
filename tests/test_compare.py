"""Beside the committed results: equal agrees, every difference is noticed, policies are compared in distribution."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlib.ablation.tables import DamageTable, load_table, save_table
from circuitlib.companion import run as runs
from circuitlib.companion.commands import STUDIES, by_command
from circuitlib.companion.compare import (
    SIGNIFICANCE,
    TAUGHT,
    _rivals,
    compare,
    fractions_by_seed,
    frame_difference,
    same_distribution,
)
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT, Settings
from circuitlib.manifest import StaleResult, as_json, load_frame, read_provenance, remove, save_frame
from circuitlib.paths import RESULTS


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose results are the committed ones. Distributions are compared on fewer divisions, which is 20 times faster and tells
    hundredths as well."""
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setattr("circuitlib.companion.compare.same_distribution", partial(same_distribution, most=1000))
    run = Run(Settings(), "runs/default")
    shutil.copytree(RESULTS / "gpt2-mini", run.folder)
    return run


def _rewrite(run: Run, name: str, frame: pd.DataFrame) -> None:
    path = run.frame_path(name)
    save_frame(path, frame, read_provenance(path))


def test_the_committed_results_agree_with_themselves(copied: Run) -> None:
    comparison = compare(copied, Run())
    assert comparison["agrees"].all()
    assert (comparison["value"] == 0).all()
    assert set(comparison["by"]) == {"difference"}
    assert len(comparison) > 14


def test_a_difference_in_a_table_is_noticed(copied: Run) -> None:
    path = copied.table_path("ioi", "train")
    table = load_table(path)
    damage = table.damage.clone()
    damage[5, 7] += 1e-3
    save_table(DamageTable(table.clean, damage, table.provenance), path)
    comparison = compare(copied, Run()).set_index("result")
    assert list(comparison.index[~comparison["agrees"]]) == ["damage_ioi_train"]


def test_a_difference_in_any_frame_is_noticed(copied: Run) -> None:
    def column(name: str, of: str, change: float) -> pd.DataFrame:
        frame = load_frame(copied.frame_path(name))
        return frame.assign(**{of: frame[of] + change})

    _rewrite(copied, "heads", column("heads", "share", 0.01))
    _rewrite(copied, "detections", column("detections", "score", 1e-5))
    _rewrite(copied, "pairs", column("pairs", "first", 1))
    claims = load_frame(copied.folder / "claims.csv")
    claims.loc[0, "verdict"] = "another"
    _rewrite(copied, "claims", claims)
    _rewrite(copied, "behaviours", load_frame(copied.folder / "behaviours.csv").iloc[1:])
    remove(copied.folder / "conventions.csv")
    save_frame(copied.folder / "new_study.csv", claims, {})
    for name in by_command(copied):
        remove(copied.folder / name)
    save_frame(copied.folder / "few.csv", claims, {})
    comparison = compare(copied, Run()).set_index("result")
    by_commands = {file for study in STUDIES for file in study.files} | {"damage_agreement_train"}
    assert not by_commands & {*comparison.index}, "no run measures them"
    assert set(comparison.index[~comparison["agrees"]]) == {
        "behaviours.csv",
        "claims.csv",
        "conventions.csv",
        "heads.csv",
        "new_study.csv",
        "pairs.csv",
    }
    assert comparison.loc["heads.csv", "value"] == pytest.approx(0.01, rel=1e-3)


def test_a_searcher_without_policy_is_compared_by_its_differences(copied: Run) -> None:
    frame = load_frame(copied.frame_path("evaluation"))
    frame.loc[frame["searcher"] == "static prior", "best"] += 0.01
    _rewrite(copied, "evaluation", frame)
    comparison = compare(copied, Run()).set_index("result")
    assert list(comparison.index[~comparison["agrees"]]) == ["evaluation, without policies"]


def _policies(frame: pd.DataFrame) -> pd.Series:
    return frame["searcher"].str.startswith(("policy", "headwise"))


@pytest.mark.parametrize(
    ("name", "change", "noticed"),
    [
        ("rivals", lambda frame: frame.assign(found=frame["found"] / 2), "rivals"),
        ("rivals", lambda frame: frame.assign(fresh=0.0), "rivals"),
        ("rivals", lambda frame: frame.assign(recall=0.0), "rivals"),
        ("rivals", lambda frame: frame.assign(measured_best=False), "rivals"),
        ("rivals", lambda frame: frame.assign(named=frame["named"].mask(_policies(frame), 0.0)), "rivals"),
        ("rivals", lambda frame: frame[~_policies(frame)], "rivals, who plays"),
        ("training_k1", lambda frame: frame.assign(best=0.0), "training_k1.parquet"),
        ("training_k5", lambda frame: frame.iloc[1:], "training_k5.parquet"),
    ],
)
def test_a_difference_in_a_long_frame_is_noticed(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame], noticed: str, copied: Run
) -> None:
    path = copied.folder / f"{name}.parquet"
    save_frame(path, change(load_frame(path)), read_provenance(path))
    comparison = compare(copied, Run()).set_index("result")
    assert noticed in comparison.index[~comparison["agrees"]]
    assert set(comparison.index[~comparison["agrees"]]) <= {noticed, "rivals"}


def test_one_episode_that_turns_elsewhere_is_rounding(copied: Run) -> None:
    """Of one that adapts; what it finds then may be there or not."""
    path = copied.folder / "rivals.parquet"
    frame = load_frame(path)
    one = frame.query("searcher == 'belief, look ahead' and price == 8 and task == 'docstring'").index[0]
    frame.loc[one, "measured_best"] = not frame.loc[one, "measured_best"]
    frame.loc[one, "found"] = np.nan
    save_frame(path, frame, read_provenance(path))
    assert compare(copied, Run())["agrees"].all()


@pytest.mark.parametrize(("searchers", "agrees"), [(TAUGHT, False), (("halving",), False), (("nobody",), True)])
def test_what_any_searcher_has_found_is_compared(searchers: tuple[str, ...], agrees: bool, copied: Run) -> None:
    path = copied.folder / "rivals.parquet"
    frame = load_frame(path)
    frame["found"] = frame["found"].mask(frame["searcher"].str.startswith(searchers), 0.0)
    save_frame(path, frame, read_provenance(path))
    assert compare(copied, Run())["agrees"].all() == agrees


def test_what_a_command_trains_need_not_play(copied: Run) -> None:
    path = copied.folder / "rivals.parquet"
    frame = load_frame(path)
    trained = frame.query("searcher == 'policy k=1'").assign(searcher="MaskablePPO", named=0.0)
    for plays in (frame.query("searcher != 'MaskablePPO'"), pd.concat([frame, trained])):
        save_frame(path, plays, read_provenance(path))
        assert compare(copied, Run())["agrees"].all()


def test_what_was_learned_anew_is_compared_by_itself(copied: Run) -> None:
    for run, content in ((copied, b"ours"), (Run(), None)):
        if content:
            (run.folder / "learned.safetensors").write_bytes(content)
    theirs = copied.folder.parent / "theirs"
    shutil.copytree(copied.folder, theirs)
    (theirs / "learned.safetensors").write_bytes(b"theirs")
    path = copied.folder / "rivals.parquet"
    frame = load_frame(path)
    frame["named"] = frame["named"].mask(frame["searcher"].str.startswith("headwise"), 0.0)
    save_frame(path, frame, read_provenance(path))
    rows = pd.DataFrame(_rivals(copied.folder, theirs, True, 30), columns=["result", "by", "value", "bar", "agrees"])
    assert rows.set_index("result")["agrees"].to_dict() == {
        "rivals, who plays": True,
        "rivals, without other policies": True,
        "rivals, learned anew": False,
    }


@pytest.mark.parametrize(("word", "agrees"), [("undecided", True), ("the other way round", False)])
def test_a_verdict_that_rests_on_policies_may_not_turn_into_its_opposite(word: str, agrees: bool, copied: Run) -> None:
    evaluation = load_frame(copied.frame_path("evaluation"))
    _rewrite(copied, "evaluation", evaluation.query("seed < 4"))  # as a default run trains
    ledger = load_frame(copied.frame_path("claims"))
    held = ledger.query("rests_on == 'policies' and verdict == 'holds'").index
    ledger.loc[held[0], "verdict"] = word
    _rewrite(copied, "claims", ledger)
    comparison = compare(replace(copied, settings=replace(copied.settings, seeds=KEPT)), Run()).set_index("result")
    assert comparison.loc["claims, opposite verdicts", "agrees"] == agrees
    _rewrite(copied, "claims", ledger.drop(held[0]))
    comparison = compare(replace(copied, settings=replace(copied.settings, seeds=KEPT)), Run()).set_index("result")
    assert comparison.loc["claims, opposite verdicts", "value"] == np.inf


def test_a_result_of_any_kind_that_is_missing_is_noticed(copied: Run) -> None:
    gone = (
        "policy_k5.safetensors",
        "training_k1.parquet",
        "rivals.parquet",
        "evaluation.parquet",
        "damage_ioi_train.safetensors",
    )
    for name in gone:
        remove(copied.folder / name)
    (copied.folder / "policy_k1_others.safetensors").write_bytes(b"of seeds that are not published")
    comparison = compare(copied, Run()).set_index("result")
    assert set(comparison.index[comparison["value"] == np.inf]) == set(gone)


def test_another_subject_is_refused(copied: Run) -> None:
    card = copied.folder / "subject.json"
    card.write_text(as_json(json.loads(card.read_text()) | {"control_text": "wikitext-2"}))
    with pytest.raises(StaleResult):
        compare(Run(Settings(), copied.output), Run())


def test_a_condition_that_is_missing_is_noticed(copied: Run) -> None:
    frame = load_frame(copied.frame_path("evaluation"))
    _rewrite(copied, "evaluation", frame[(frame["searcher"] != "policy") | (frame["signal"] != "ioi")])
    comparison = compare(copied, Run()).set_index("result")
    assert list(comparison.index[~comparison["agrees"]]) == ["evaluation, policies"]
    _rewrite(copied, "evaluation", frame[frame["searcher"] != "random"])
    comparison = compare(copied, Run()).set_index("result")
    assert "evaluation, without policies" in comparison.index[~comparison["agrees"]]


def _with_policies(frame: pd.DataFrame, change: np.ndarray) -> pd.DataFrame:
    """An evaluation whose policies' seeds are moved by ``change [seeds]``, in fractions of the oracle."""
    moved = frame["best"] + change[frame["seed"]] * frame["oracle"]
    return frame.assign(best=moved.where(frame["searcher"] == "policy", frame["best"]))


def test_policies_of_another_processor_agree_in_distribution(copied: Run) -> None:
    """Seeds move by a few points, each its own way; claims that rest on policies may change, others not."""
    frame = load_frame(copied.frame_path("evaluation"))
    _rewrite(
        copied,
        "evaluation",
        _with_policies(frame, np.resize([0.02, -0.01, 0.015, -0.02, 0.005], copied.settings.seeds)),
    )
    claims = load_frame(copied.folder / "claims.csv")
    of_policies = claims["rests_on"] == "policies"
    claims.loc[of_policies, "ours"] += 0.02
    _rewrite(copied, "claims", claims)
    comparison = compare(copied, Run()).set_index("result")
    assert comparison["agrees"].all()
    assert comparison.loc["evaluation, policies", "by"] == "distribution"
    claims.loc[claims["rests_on"] == "tables", "ours"] += 0.02
    _rewrite(copied, "claims", claims)
    comparison = compare(copied, Run()).set_index("result")
    assert list(comparison.index[~comparison["agrees"]]) == ["claims.csv"]


def test_policies_that_are_worse_do_not_agree(copied: Run) -> None:
    frame = load_frame(copied.frame_path("evaluation"))
    _rewrite(copied, "evaluation", _with_policies(frame, np.full(copied.settings.seeds, -0.3)))
    comparison = compare(copied, Run()).set_index("result")
    assert list(comparison.index[~comparison["agrees"]]) == ["evaluation, policies"]


def test_fewer_seeds_are_compared_by_those_in_both_or_in_distribution(copied: Run) -> None:
    """As a quicker run trains them: its aggregates rest on fewer seeds, and only what rests on tables is compared one by one."""
    fewer = Run(replace(copied.settings, seeds=KEPT), copied.output)
    frame = load_frame(copied.frame_path("evaluation"))
    drops = (frame["searcher"] == "policy") & (frame["seed"] >= KEPT)
    _rewrite(copied, "evaluation", frame[~drops])
    claims = load_frame(copied.folder / "claims.csv")
    claims.loc[claims["rests_on"] == "policies", "ours"] += 0.02
    _rewrite(copied, "claims", claims)
    comparison = compare(fewer, Run()).set_index("result")
    assert comparison["agrees"].all()
    assert comparison.loc["evaluation, policies", "value"] == 0
    assert "policy_circuits.csv" not in comparison.index, "nothing of it rests on tables, so nothing of it agrees"
    worse = _with_policies(frame[~drops], np.full(copied.settings.seeds, -0.3))
    _rewrite(copied, "evaluation", worse)
    comparison = compare(fewer, Run()).set_index("result")
    assert comparison.loc["evaluation, policies", "by"] == "distribution"
    assert list(comparison.index[~comparison["agrees"]]) == ["evaluation, policies"]


@pytest.mark.long
def test_the_test_of_distributions_keeps_its_level() -> None:
    """Two draws of one distribution are told apart no more often than promised, over 400 of them."""
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        common = rng.normal(size=(12, 1))
        seeds = common + 0.1 * rng.normal(size=(12, 12)) + 0.1 * rng.normal(size=12)
        rejected += same_distribution(seeds[:, :KEPT], seeds[:, KEPT:]) <= SIGNIFICANCE
    assert rejected <= 10  # expected 4 of 400
    assert same_distribution(seeds[:, :KEPT], seeds[:, KEPT:] + 1.0) == pytest.approx(1 / 495)
    assert same_distribution(seeds[:, :5], seeds[:, 5:10] + 1.0) == pytest.approx(2 / 252)
    assert same_distribution(seeds[:, :5], seeds[:, :5]) == 1.0


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shift=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_test_is_symmetric(shift: float, seed: int) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 4, 3))
    assert same_distribution(one, other + shift) == same_distribution(other + shift, one)


def test_fractions_are_per_condition_and_seed() -> None:
    key = {"task": "t", "signal": "none", "searcher": "policy", "trained_k": 1, "planned_k": 1}
    rows = [
        key | {"measured": m, "seed": s, "episode": e, "best": b, "oracle": o}
        for m, s, e, b, o in [(1, 0, 0, 1.0, 2.0), (1, 0, 1, 3.0, 6.0), (1, 1, 0, 2.0, 2.0), (1, 1, 1, 6.0, 6.0)]
    ]
    assert fractions_by_seed(pd.DataFrame(rows)).to_numpy().tolist() == [[0.5, 1.0]]


def test_what_is_not_a_number_is_no_difference_of_zero() -> None:
    one, other = pd.DataFrame({"a": [np.inf]}), pd.DataFrame({"a": [1.0]})
    assert frame_difference(one, other) == np.inf
    assert frame_difference(one[:0], other[:0]) == 0


def test_words_and_whole_numbers_are_compared_exactly() -> None:
    frame = pd.DataFrame({"word": ["a", "b"], "count": [1, 2], "value": [0.5, np.nan]})
    assert frame_difference(frame, frame.copy()) == 0.0
    assert frame_difference(frame, frame.assign(value=[0.75, np.nan])) == 0.25
    for other in (
        frame.assign(word=["a", "c"]),
        frame.assign(count=[1, 3]),
        frame.assign(value=[0.5, 0.5]),
        frame.iloc[:1],
        frame.rename(columns={"word": "words"}),
    ):
        assert frame_difference(frame, other) == float("inf")
