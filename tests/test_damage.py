"""Tables: what was measured, saved whole, verified on load, resumed after an interruption."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from circuitlib.ablation import build as damage
from circuitlib.ablation.build import SEEDS, build_table, provenance
from circuitlib.ablation.hooks import hooked_control, hooked_task
from circuitlib.ablation.tables import load_table, save_table
from circuitlib.manifest import StaleResult
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import control_spans


def test_table_is_what_the_hooks_measure(checkpoint: Path, tmp_path: Path) -> None:
    subject = load_subject(str(checkpoint))
    table = build_table(subject, "ioi", 20, "train", tmp_path)
    sets = [[], *([h] for h in range(subject.heads))]
    groups = TASKS["ioi"].prompts(subject.tokenizer, 20, SEEDS["train"])
    hooked = torch.cat([hooked_task(subject, g, TASKS["ioi"].metric, sets) for g in groups])
    assert_close(table.clean, hooked[:, 0], atol=1e-5, rtol=0)
    assert_close(table.damage, hooked[:, :1] - hooked[:, 1:], atol=2e-5, rtol=0)
    control = build_table(subject, "control", 4, "train", tmp_path)
    hooked = hooked_control(
        subject, control_spans(subject.tokenizer, 4, SEEDS["train"], "train"), sets
    )
    assert_close(control.damage, hooked[:, 1:] - hooked[:, :1], atol=2e-5, rtol=0)
    assert not list((tmp_path / "sweeps").iterdir())


def test_interrupted_sweep_resumes(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = load_subject(str(checkpoint))
    monkeypatch.setattr(damage, "BLOCK", 16)
    whole = build_table(subject, "induction", 40, "train", tmp_path)
    calls = []

    def interrupted(block: dict[str, torch.Tensor], path: Path) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save_file(block, path)

    monkeypatch.setattr(damage, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_table(subject, "induction", 40, "train", tmp_path)
    assert len(list((tmp_path / "sweeps").iterdir())) == 2
    resumed = build_table(subject, "induction", 40, "train", tmp_path)
    assert len(calls) == 4
    assert torch.equal(resumed.damage, whole.damage)


def test_round_trip_and_what_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    subject = load_subject(str(checkpoint))
    table = build_table(subject, "agreement", 6, "train", tmp_path)
    path = tmp_path / "table.safetensors"
    written = set()
    for _ in range(8):
        save_table(table, path)
        written.add(path.read_bytes())
    assert len(written) == 1, "the same table is the same bytes"
    again = load_table(path, provenance(subject, "agreement", 6, "train"))
    assert torch.equal(again.damage, table.damage)
    assert again.name == "agreement"
    with pytest.raises(StaleResult, match="part is 'train', wanted 'evaluation'"):
        load_table(path, provenance(subject, "agreement", 6, "evaluation"))
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    changed = table.damage.clone()
    changed[3, 4] += 1e-3
    save_file({"clean": table.clean, "damage": changed}, path, metadata)
    with pytest.raises(StaleResult, match="is damaged: content hash"):
        load_table(path)
    save_file({"clean": table.clean, "damage": table.damage}, path)
    with pytest.raises(StaleResult, match="has no manifest"):
        load_table(path)


def test_the_control_text_is_part_of_what_made_the_control_table(
    checkpoint: Path, tmp_path: Path
) -> None:
    subject = load_subject(str(checkpoint))
    assert provenance(subject, "ioi", 4, "train", "wikitext-2") == provenance(
        subject, "ioi", 4, "train"
    )
    path = tmp_path / "control.safetensors"
    save_table(build_table(subject, "control", 4, "train", tmp_path), path)
    load_table(path, provenance(subject, "control", 4, "train", "docstrings"))
    with pytest.raises(StaleResult, match="text is 'docstrings', wanted 'wikitext-2'"):
        load_table(path, provenance(subject, "control", 4, "train", "wikitext-2"))


def test_unknown_task_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown task 'poetry'; there are induction"):
        build_table(load_subject(str(checkpoint)), "poetry", 4, "train", tmp_path)
