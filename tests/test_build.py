"""Tables: what hooks measure, saved whole, resumed after an interruption, checked again after an edit."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from circuitlib.ablation import build
from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.build import REFERENCE_SEED, SEEDS, Recipe, apart, build_table, differs_again
from circuitlib.ablation.engine import Ablation, Scores
from circuitlib.ablation.hooks import Hooks, hooked_control, hooked_task
from circuitlib.ablation.tables import DamageTable, load_table, reward, save_table
from circuitlib.manifest import StaleResult, save_tensors
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import control_spans

IOI = TASKS["ioi"]


@pytest.fixture
def subject(odd: Subject) -> Subject:
    return odd


def test_a_table_is_what_hooks_measure(subject: Subject, tmp_path: Path) -> None:
    sets = [[], *([head] for head in range(subject.heads))]
    table = build_table(subject, Recipe(IOI, 6, "train"), tmp_path)
    groups = IOI.prompts(subject.tokenizer, 6, SEEDS["train"])
    hooked = torch.cat([hooked_task(subject, g, IOI.metric, sets) for g in groups])
    assert_close(table.clean, hooked[:, 0], atol=1e-5, rtol=0)
    assert_close(table.damage, hooked[:, :1] - hooked[:, 1:], atol=2e-5, rtol=0)
    control = build_table(subject, Recipe(None, 3, "train"), tmp_path)
    spans = control_spans(subject.tokenizer, 3, SEEDS["train"], "train")
    hooked = hooked_control(subject, spans, sets)
    assert_close(control.damage, hooked[:, 1:] - hooked[:, :1], atol=2e-5, rtol=0)
    assert (table.name, control.name) == ("ioi", "control")
    assert not list((tmp_path / "sweeps").iterdir())


def test_one_span_has_no_other(subject: Subject, tmp_path: Path) -> None:
    """Its only counterfactual would be itself, and every damage zero."""
    with pytest.raises(ValueError, match="there is only one"):
        build_table(subject, Recipe(None, 1, "train", ablation="resample"), tmp_path)


@pytest.mark.parametrize("kind", ["mean", "resample"])
def test_other_ablations_have_tables_too(kind: str, subject: Subject, tmp_path: Path) -> None:
    reference = control_spans(subject.tokenizer, 32, REFERENCE_SEED, "train")
    ablation = Ablation("mean", [reference]) if kind == "mean" else Ablation("resample")
    slow = Hooks(subject, ablation)
    recipe = Recipe(IOI, 6, "train", ablation=kind)  # type: ignore[arg-type]
    groups = IOI.prompts(subject.tokenizer, 6, SEEDS["train"])
    hooked = torch.cat([slow.task(group, IOI.metric).damage for group in groups])
    assert_close(build_table(subject, recipe, tmp_path).damage, hooked, atol=2e-5, rtol=0)
    recipe = Recipe(None, 3, "train", ablation=kind)  # type: ignore[arg-type]
    spans = control_spans(subject.tokenizer, 3, SEEDS["train"], "train")
    other = spans[[2, 0, 1]] if kind == "resample" else None
    hooked = slow.control(spans, other).damage
    assert_close(build_table(subject, recipe, tmp_path).damage, hooked, atol=2e-5, rtol=0)


def test_an_interrupted_table_resumes(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BLOCK", 4)
    recipe, done = Recipe(TASKS["induction"], 10, "train"), list[int]()
    whole = build_table(subject, recipe, tmp_path, done.append)
    assert done == [4, 4, 2]

    def interrupt(rows: int) -> None:
        done.append(rows)
        if len(done) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_table(subject, recipe, tmp_path, interrupt)
    kept = sorted((tmp_path / "sweeps").glob("*.safetensors"))
    assert len(kept) == 2
    measured = []
    measure = build.Measurement.rows

    def counted(self: build.Measurement, rows: torch.Tensor) -> Scores:
        measured.append(len(rows))
        return measure(self, rows)

    monkeypatch.setattr(build.Measurement, "rows", counted)
    resumed = build_table(subject, recipe, tmp_path)
    assert measured == [2]
    assert torch.equal(resumed.damage, whole.damage)


def test_a_corrupt_block_is_named_and_measured_again(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BLOCK", 4)
    recipe = Recipe(TASKS["induction"], 10, "train")
    whole = build_table(subject, recipe, tmp_path)

    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_table(subject, recipe, tmp_path, interrupt)
    (block,) = (tmp_path / "sweeps").glob("*.safetensors")
    content = bytearray(block.read_bytes())
    content[-64:] = bytes(64)
    block.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"measured again: {block.name} is corrupt"):
        again = build_table(subject, recipe, tmp_path)
    assert torch.equal(again.damage, whole.damage)


def test_what_made_a_table_is_compared(subject: Subject, tmp_path: Path) -> None:
    recipe, path = Recipe(TASKS["agreement"], 6, "train"), tmp_path / "table.safetensors"
    table = build_table(subject, recipe, tmp_path)
    written = set()
    for _ in range(8):
        save_table(table, path)
        written.add(path.read_bytes())
    assert len(written) == 1, "the same table is the same bytes"
    assert torch.equal(load_table(path, recipe.provenance(subject.card)).damage, table.damage)
    other = Recipe(TASKS["agreement"], 6, "evaluation")
    with pytest.raises(StaleResult, match="part is 'train', wanted 'evaluation'"):
        load_table(path, other.provenance(subject.card))


def test_the_control_text_is_part_of_what_it_decides(subject: Subject) -> None:
    def differs(task: str | None, ablation: str) -> bool:
        recipes = [
            Recipe(TASKS[task] if task else None, 4, "train", text, ablation)  # type: ignore[arg-type]
            for text in ("docstrings", "wikitext-2")
        ]
        return recipes[0].provenance(subject.card) != recipes[1].provenance(subject.card)

    assert differs(None, "zero")
    assert differs("ioi", "mean")
    assert not differs("ioi", "zero")


def test_rows_measured_again_show_what_an_edit_changed(subject: Subject, tmp_path: Path) -> None:
    recipe = Recipe(IOI, 16, "train")
    table = build_table(subject, recipe, tmp_path)
    assert differs_again(subject, recipe, table) < 1e-5
    other = DamageTable(table.clean, table.damage * 1.01, table.provenance)
    largest = 0.01 * table.damage.abs().amax(1)
    difference = differs_again(subject, recipe, other)
    assert largest.min() - 1e-4 < difference < largest.max() + 1e-4
    control = Recipe(None, 9, "evaluation")
    spans = build_table(subject, control, tmp_path)
    assert differs_again(subject, control, spans) < 1e-5
    shifted = DamageTable(spans.clean + 0.5, spans.damage, spans.provenance)
    assert differs_again(subject, control, shifted) == pytest.approx(0.5, abs=1e-4)


def test_estimates_are_kept_in_half_precision_and_compared_to_its_last_bit(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damage that is measured is not forgiven a thousandth of itself."""
    recipe = Recipe(IOI, 20, "train", through="everything")
    table = build_table(subject, recipe, tmp_path)
    whole = Attribution(subject, through="everything")
    exact = torch.cat([whole.task(group, IOI.metric).damage for group in IOI.prompts(subject.tokenizer, 20, 1)])
    assert table.damage.dtype == torch.float16
    assert_close(table.damage.float(), exact, atol=1e-6, rtol=2**-11)
    assert not torch.equal(table.damage.float(), exact), "it is rounded"
    save_table(table, tmp_path / "t.safetensors")
    assert torch.equal(load_table(tmp_path / "t.safetensors").damage, table.damage)
    assert differs_again(subject, recipe, table) < 1e-6
    other = DamageTable(table.clean, table.damage * 1.1, table.provenance)
    assert differs_again(subject, recipe, other) > 1e-3

    damage = torch.tensor([[8.0, -2.0]])
    for provenance, expected in (({}, 0.01), ({"through": "everything"}, 0.01 - 8 * 2**-10)):
        one, changed = (DamageTable(torch.ones(1), x, provenance) for x in (damage, damage + torch.tensor([0.01, 0])))
        assert apart(changed, one) == pytest.approx(expected, abs=1e-6)
    assert apart(one, DamageTable(torch.ones(1), damage[:, :1], {})) == float("inf")

    monkeypatch.setattr(
        Attribution,
        "task",
        lambda self, group, metric: Scores(
            torch.ones(len(group)), -1e6 * torch.ones(len(group), self.subject.heads), False
        ),
    )
    with pytest.raises(ValueError, match="not finite, or estimates beyond half precision"):
        build_table(subject, Recipe(IOI, 8, "train", through="everything"), tmp_path)


def test_a_table_without_its_tensors_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "t.safetensors", {"clean": torch.ones(3)}, {"task": "ioi"})
    with pytest.raises(StaleResult, match="has no tensor 'damage'"):
        load_table(tmp_path / "t.safetensors")


def test_the_reward_is_damage_minus_lambda_general() -> None:
    damage, general = torch.tensor([2.0, 1.0]), torch.tensor([0.5, -0.5])
    assert reward(damage, general).tolist() == [1.5, 1.5]
    assert reward(damage, general, 2.0).tolist() == [1.0, 2.0]
    assert reward(3.0, 0.5, 0.0) == 3.0
