"""The policies that sb3-contrib's ``MaskablePPO`` learned on a run's tables, and where they are stored.

Training them takes most of an hour, so that no run does it by itself: :mod:`circuitlib.companion.training_ways` does, by a command of its own.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuitlib.ablation.build import code_of
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT
from circuitlib.manifest import content_hash, differences, is_stored, made_on, read_provenance
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import load_policy


def reference_path(run: Run) -> Path:
    """Where they are, of the seeds that are kept."""
    return run.folder / "policy_reference.safetensors"


def reference_provenance(run: Run) -> dict[str, Any]:
    """Everything that determines them."""
    return {
        "subject": run.card.record(),
        "config": asdict(run.ppo_config(1)),
        "penalty": run.settings.penalty,
        "seeds": list(range(KEPT)),
        "tables": run.table_hashes((*run.training_tasks, CONTROL), "train"),
        "code": code_of("circuitlib.companion.maskable"),
    } | made_on()


def reference_policies(run: Run) -> dict[int, ActorCritic]:
    """By seed: a run's own, or the committed ones where they were learned on the same tables; otherwise none.
    Raises as :func:`circuitlib.search.policy.load_policy` does."""
    path = _found(run)
    return load_policy(path, reference_provenance(run))[0] if path else {}


def reference_hash(run: Run) -> str:
    """The content of what :func:`reference_policies` reads; empty where there are none."""
    path = _found(run)
    return content_hash(path) if path else ""


def _found(run: Run) -> Path | None:
    if is_stored(reference_path(run)):
        return reference_path(run)
    committed = reference_path(run.committed) if run.committed else None
    if committed is None or not is_stored(committed):
        return None
    return None if differences(read_provenance(committed), reference_provenance(run)) else committed
