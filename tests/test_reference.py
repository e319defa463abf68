"""Whose policies sb3-contrib's play beside: a run's own, the committed ones of the same tables, or none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from circuitlib.ablation.tables import DamageTable, load_table, save_table
from circuitlib.companion import frames
from circuitlib.companion.reference import reference_hash, reference_path, reference_policies, reference_provenance
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT
from circuitlib.manifest import StaleResult, content_hash
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import rounded, save_policy


@pytest.fixture
def networks() -> dict[int, ActorCritic]:
    return rounded({seed: ActorCritic(2, 144, 8, seed) for seed in range(KEPT)})


def _same(one: dict[int, ActorCritic], other: dict[int, ActorCritic]) -> bool:
    pairs = zip(one.values(), other.values(), strict=True)
    return one.keys() == other.keys() and all(torch.equal(a.actor.weight, b.actor.weight) for a, b in pairs)


def test_a_run_without_them_has_none(make_run: Callable[..., Run]) -> None:
    mine = make_run()
    assert reference_policies(mine) == {}
    assert reference_hash(mine) == ""


def test_a_runs_own(make_run: Callable[..., Run], networks: dict[int, ActorCritic]) -> None:
    """And not once the tables are others."""
    mine = make_run()
    save_policy(networks, reference_path(mine), reference_provenance(mine))
    assert _same(reference_policies(mine), networks)
    assert reference_hash(mine) == content_hash(reference_path(mine))
    _change(mine.table_path("ioi", "train"))
    with pytest.raises(StaleResult, match=r"policy_reference.safetensors is of another run: tables"):
        reference_policies(mine)


def test_the_committed_ones_where_the_tables_are_the_same(
    make_run: Callable[..., Run], networks: dict[int, ActorCritic]
) -> None:
    """Which are equal to the byte where committed tables are taken; a run that measured its own anew has none."""
    mine = make_run()
    committed = Run(mine.settings, "runs/committed")
    shutil.copytree(mine.folder, committed.folder)
    vars(mine)["committed"] = committed
    assert reference_policies(mine) == {}
    save_policy(networks, reference_path(committed), reference_provenance(committed))
    assert _same(reference_policies(mine), networks)
    assert reference_hash(mine) == content_hash(reference_path(committed))
    _change(mine.table_path("ioi", "train"))
    assert reference_policies(mine) == {}
    assert reference_hash(mine) == ""


def _change(path: Path) -> None:
    table = load_table(path)
    save_table(DamageTable(table.clean, table.damage + 1, table.provenance), path)


def test_behaviours_are_carried_over_to_on_the_real_model_alone(make_run: Callable[..., Run]) -> None:
    with pytest.raises(ValueError, match="behaviours to transfer to are those of smollm2"):
        frames.transfer(make_run())
