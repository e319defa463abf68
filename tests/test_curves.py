"""Curves are the evaluation's own plays, after every head."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from circuitlib.ablation.tables import CONTROL, DamageTable, load_table
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT, PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.search.env import BUDGET
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import load_policy
from circuitlib.studies.contest import contest
from circuitlib.studies.curves import measure_curves
from circuitlib.studies.evaluate import CONDITION, summarise
from circuitlib.subjects.checkpoints import EMBEDDED

ENDS = ["ratio", "low", "high"]


def beside(curves: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Points that both have."""
    both = curves.merge(summary, on=CONDITION, suffixes=("", " of the evaluation"))
    assert (
        len(both) == len(curves.drop(columns="measured").drop_duplicates(CONDITION[:-1])) * both["measured"].nunique()
    )
    return both


def differ(both: pd.DataFrame) -> float:
    ours, theirs = (both[[f"{end}{of}" for end in ENDS]].to_numpy() for of in ("", " of the evaluation"))
    return float(np.nanmax(np.abs(ours - theirs)))


def test_curves_go_through_the_points_of_the_evaluation(make_table: Callable[..., DamageTable]) -> None:
    """Of searchers told the task where it was trained on, otherwise nothing."""
    tables = {name: make_table(name) for name in ("induction", "ioi", "docstring")}
    tables[CONTROL] = make_table(CONTROL, scale=0.1)
    training = {name: tables[name] for name in ("induction", "ioi", CONTROL)}
    policies = {k: {seed: ActorCritic(2, 12, 16, seed + k) for seed in (0, 3)} for k in (1, 5)}
    curves = measure_curves(tables, training, policies, 4, 1.0, 48)
    assert curves["measured"].max() == 12
    by = curves.groupby([*CONDITION[:-1]], sort=False)["measured"].agg(list)
    assert {*map(tuple, by)} == {tuple(range(1, 13))}
    assert len(by) == 3 * 4
    found: Any = curves.groupby("task")["signal"].agg(set).to_dict()
    assert found == {"induction": {"none", "induction"}, "ioi": {"none", "ioi"}, "docstring": {"none"}}
    summary = summarise(contest(tables, training, policies, "docstring", 4, 1.0), 48)
    both = beside(curves, summary)
    assert set(both["measured"]) == {1, 5, 10, 12}
    assert differ(both) == 0
    assert set(curves.loc[curves["searcher"] == "policy", "rests_on"]) == {"policies"}
    assert set(curves.loc[curves["searcher"] != "policy", "rests_on"]) == {"tables"}
    rises = curves.groupby(CONDITION[:-1])["ratio"].diff().dropna()
    assert (rises >= 0).all()


def test_the_kept_policies_play_the_committed_evaluation_again() -> None:
    run = Run(PUBLISHED[EMBEDDED])
    names = {"evaluation": ("docstring", CONTROL), "train": (*run.settings.training_tasks, CONTROL)}
    tables = {part: {name: _table(run, name, part) for name in some} for part, some in names.items()}
    policies = {k: load_policy(run.policy_path(k))[0] for k in (1, 5)}
    pool = run.settings.evaluation_prompts
    curves = measure_curves(tables["evaluation"], tables["train"], policies, run.settings.episodes, 1.0, pool)
    frame = load_frame(run.frame_path("evaluation"))
    frame = frame[(frame["task"] == "docstring") & ((frame["searcher"] != "policy") | (frame["seed"] < KEPT))]
    both = beside(curves, summarise(frame, pool))
    assert set(both["measured"]) == {1, 5, 10, 20, BUDGET}
    assert differ(both) < 1e-5


def _table(run: Run, name: str, part: Any) -> DamageTable:
    table = load_table(run.table_path(name, part))
    return replace(table, damage=table.damage.float())


@pytest.mark.parametrize("settings", PUBLISHED.values(), ids=PUBLISHED)
def test_the_committed_curves_go_through_the_committed_points(settings: Any) -> None:
    run = Run(settings)
    curves, frame = load_frame(run.frame_path("curves")), load_frame(run.frame_path("evaluation"))
    both = beside(curves, summarise(frame, settings.evaluation_prompts))
    assert set(both["measured"]) == {1, 5, 10, 20, BUDGET}
    assert differ(both) < 1e-5
