"""What passes through the model is measured apart from the rest, so that an edit of the rest leaves it as it is."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from circuitlib import manifest
from circuitlib.ablation.build import SEEDS, Measurement, Recipe, ablation_of, build_table
from circuitlib.ablation.engine import AblationKind
from circuitlib.ablation.hooks import Hooks
from circuitlib.companion import frames
from circuitlib.manifest import code_hash
from circuitlib.paths import ROOT
from circuitlib.studies.behaviours import measure_behaviours
from circuitlib.studies.conventions import measure_conventions
from circuitlib.studies.kinds import measure_kinds
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.prose import held_out_spans

MEASURE = (*frames.SLOW.values(), frames.sizes_of.__module__, frames.detect.__module__)


def test_an_edit_of_search_runs_or_figures_leaves_what_passes_through_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one of the ablation or of a task does not."""
    library = tmp_path / "circuitlib"
    shutil.copytree(ROOT / "circuitlib", library, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(manifest, "ROOT", tmp_path)

    def hashes(*edited: Path) -> dict[str, str]:
        for path in edited:
            path.write_text(path.read_text() + "\nEDITED = True\n")
        return {module: code_hash(module) for module in (*MEASURE, frames.contest.__module__)}

    before = hashes()
    companion = (library / "companion" / f"{name}.py" for name in ("run", "frames", "settings", "figures", "claims"))
    after = hashes(*(library / "search").glob("*.py"), *companion)
    assert [module for module in before if after[module] != before[module]] == [frames.contest.__module__]
    before, after = after, hashes(library / "ablation" / "hooks.py", library / "tasks" / "ioi.py")
    changed = [module for module in MEASURE if after[module] != before[module]]
    assert changed == [*frames.SLOW.values(), frames.detect.__module__]


@pytest.mark.long
def test_conventions_are_what_hooks_measure_under_each(checkpoint: Path, tmp_path: Path) -> None:
    folded, raw = (load_subject(str(checkpoint), convention) for convention in ("folded", "raw"))
    ioi = TASKS["ioi"]
    recipe = Recipe(ioi, 8, "evaluation")
    rows = recipe.some_rows(3)
    expected = {}
    for subject in (folded, raw):
        groups = ioi.prompts(subject.tokenizer, 8, SEEDS["evaluation"])
        damage = torch.cat([Hooks(subject).task(group, ioi.metric).damage for group in groups])
        expected[subject.convention] = damage[rows].mean(0).numpy()
    assert abs(expected["folded"] - expected["raw"]).max() > 1e-3
    frame = pd.DataFrame({"task": "ioi", "head": range(folded.heads)} | expected)
    for own, other in ((folded, raw), (raw, folded)):
        table = build_table(own, recipe, tmp_path / own.convention)
        pd.testing.assert_frame_equal(measure_conventions(other, [(recipe, table)], 3), frame, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_kinds_are_what_hooks_measure_of_each(checkpoint: Path, tmp_path: Path, kind: AblationKind) -> None:
    """On the same rows, whichever kind the tables are of; "again" is of the rows that are left."""
    subject = load_subject(str(checkpoint))
    recipes = [Recipe(TASKS["ioi"], 8, "evaluation", ablation=kind), Recipe(None, 6, "evaluation", ablation=kind)]
    tables = [(recipe, build_table(subject, recipe, tmp_path)) for recipe in recipes]
    frame = measure_kinds(subject, tables, 3)
    assert list(frame.columns) == ["task", "head", "zero", "mean", "resample", "again"]
    for recipe, table in tables:
        rows, of_task = recipe.some_rows(3), frame[frame["task"] == recipe.name]
        assert of_task["head"].tolist() == list(range(subject.heads))
        left = [row for row in range(recipe.count) if row not in rows.tolist()]
        assert of_task["again"].to_numpy() == pytest.approx(table.damage[left].mean(0).numpy())
        for other in get_args(AblationKind):
            hooks = Hooks(subject, ablation_of(other, subject.tokenizer, recipe.text))
            measurement = Measurement(subject, replace(recipe, ablation=other))
            if recipe.task:
                scores = [hooks.task(group, recipe.task.metric).damage for group in measurement.groups]
                damage = torch.cat(scores)
            else:
                damage = hooks.control(measurement.spans, measurement.other).damage
            assert of_task[other].to_numpy() == pytest.approx(damage[rows].mean(0).numpy(), abs=2e-5)
        assert not of_task["mean"].equals(of_task["resample"])


def test_behaviours_are_what_the_plain_model_does(checkpoint: Path) -> None:
    """By the Hugging Face model alone: the share of prompts whose metric is positive, its mean, and the loss on prose."""
    subject, model = load_subject(str(checkpoint), "raw"), AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    tasks = [TASKS["ioi"], TASKS["greater_than"]]
    frame = measure_behaviours(subject, tasks, 12, 3).set_index("task")
    with torch.no_grad():
        for task in tasks:
            scores = []
            for group in task.prompts(subject.tokenizer, 12, 3):
                logits = model(group.tokens).logits[:, -1].double()
                if task.metric.needs_normaliser:
                    logits = logits.softmax(-1)
                signed = logits.gather(1, group.candidates) * group.signs
                scores += signed.sum(1).tolist()
            row = frame.loc[task.name]
            assert row["prompts"] == len(scores) == 12
            assert row["right"] == np.mean([score > 0 for score in scores])
            assert row["mean"] == pytest.approx(np.mean(scores), abs=2e-5)
        spans = held_out_spans(subject.tokenizer)
        losses = [
            torch.nn.functional.cross_entropy(model(some).logits[:, :-1].flatten(0, 1), some[:, 1:].flatten()).item()
            for some in spans.split(1)
        ]
    assert frame.loc["prose", "prompts"] == len(losses)
    assert frame.loc["prose", "mean"] == pytest.approx(np.mean(losses), abs=2e-4)
