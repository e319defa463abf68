"""What another processor's rounding changes, and what it may not: emulated ones, a GPU, and policies that differ."""

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from circuitlib.ablation.estimates import Through
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion import frames
from circuitlib.companion.compare import compare
from circuitlib.companion.frames import backup, beginnings, behaviours, conventions, detections, kinds, pairs
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT, Settings
from circuitlib.manifest import read_provenance
from circuitlib.paths import ROOT
from circuitlib.tasks.control_text import Part

pytestmark = pytest.mark.long

SMALL: dict[str, Any] = {"train_prompts": 32, "evaluation_prompts": 32, "seeds": 5, "steps": 4000, "episodes": 5}
"""Five seeds beside five can be told apart at 1%; fewer could not."""
PAPERS = SMALL | {"further_tasks": ()}
"""The same of the paper's three tasks alone."""
PROCESSORS = {
    "AVX2 in torch": {"ATEN_CPU_CAPABILITY": "avx2"},
    "AVX2 in oneDNN": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "MKL's compatible branch": {"MKL_CBWR": "COMPATIBLE"},
    "another OpenBLAS kernel": {"OPENBLAS_CORETYPE": "Sandybridge"},
}


PROGRAM = """
import json, sys
from circuitlib.companion.reproduce import reproduce
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings

reproduce(Run(Settings.of(json.loads(sys.argv[1])), sys.argv[2]), [])
"""
"""All that a run measures, and no notebook."""


def _measured(output: str, environment: dict[str, str]) -> Run:
    """A small run, measured in a process of its own: these variables are read when a library is loaded."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(PAPERS), output]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(Settings.of(PAPERS), output)


@pytest.mark.long(minutes=16)
def test_other_processors_agree() -> None:
    """One after the other, beside what this machine measures: in one test, so that this is measured once."""
    output = f"runs/processors-{os.getpid()}"
    try:
        here = _measured(f"{output}/here", {})
        for name, environment in PROCESSORS.items():
            there = _measured(f"{output}/{name.replace(' ', '-')}", environment)
            comparison = compare(there, here)
            assert comparison["agrees"].all(), f"{name}\n{comparison.to_string()}"
            assert len(comparison) > 14
            recorded = [read_provenance(run.table_path("ioi", "train"))["processor"]["torch"] for run in (there, here)]
            assert (recorded[0] == "AVX2") == (name == "AVX2 in torch" or recorded[1] == "AVX2")
    finally:
        shutil.rmtree(ROOT / output, ignore_errors=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_agrees() -> None:
    """In all that passes through the model."""
    output = f"runs/gpu-{os.getpid()}"
    here, there = (Run(Settings.of(SMALL), f"{output}/{device}", device) for device in ("cpu", "cuda"))
    studies = (behaviours, beginnings, detections, pairs, backup, conventions, kinds)
    try:
        for run in (here, there):
            for part in get_args(Part):
                for name, through in product((*run.tasks_of(part), CONTROL), (None, *get_args(Through))):
                    run.table(name, part, through=through)
            for study in studies:
                study(run)
        comparison = compare(there, here)
        assert comparison["agrees"].all(), comparison.to_string()
        assert len(comparison) > 4 * 10 + len(studies)
        for path in (there.table_path("ioi", "train"), there.frame_path("pairs")):
            assert read_provenance(path)["processor"]["gpu"] == torch.cuda.get_device_name()
    finally:
        shutil.rmtree(ROOT / output)


def test_policies_trained_half_as_long_do_not_agree(tmp_path: Path) -> None:
    """Planted: the published tables, and policies, as many as a default run trains, that stop at half of the published steps."""
    public, output = Run(), f"runs/half-{os.getpid()}"
    half = Run(Settings(steps=public.settings.steps // 2, seeds=KEPT), output)
    half.folder.mkdir(parents=True)
    try:
        for path in (*public.folder.glob("damage_*"), *public.folder.glob("tasks.*")):
            shutil.copy(path, half.folder)
        shutil.copy(public.folder / "subject.json", half.folder)
        frames.evaluation(half)
        comparison = compare(half, public).set_index("result")
        assert comparison.loc["evaluation, policies", "by"] == "distribution"
        assert not comparison.loc["evaluation, policies", "agrees"]
        assert comparison.loc["evaluation, without policies", "agrees"]
    finally:
        shutil.rmtree(ROOT / output)
