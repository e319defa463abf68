"""Settings are checked at once, committed results are never overwritten, stale ones never used."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from circuitlib import manifest as provenance
from circuitlib.ablation.tables import load_table
from circuitlib.companion import frames as studies
from circuitlib.companion import run as results
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import StaleResult, code_hash, differences, load_frame, written_whole
from circuitlib.paths import RESULTS, SUBJECTS


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("steps", "200000", TypeError, "steps must be int, not str"),
        ("steps", 10, ValueError, "steps must be at least 400"),
        ("convention", "centred", ValueError, "convention must be one of"),
        ("train_prompts", 8, ValueError, "train_prompts must be at least 32"),
        ("seeds", 0, ValueError, "seeds must be at least 1"),
        ("episodes", True, TypeError, "episodes must be int, not bool"),
        ("control", "poems", ValueError, "control must be one of"),
        ("control", "", ValueError, "control must be one of"),
        ("control", None, TypeError, "control must be str, not NoneType"),
    ],
)
def test_bad_settings(field: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(**{field: value})  # type: ignore[arg-type]


def test_the_control_text_is_the_subjects_own_unless_it_is_named(checkpoint: Path) -> None:
    assert Settings().text == "docstrings"
    assert Settings("gpt2").text == Settings(str(checkpoint)).text == "wikitext-2"
    assert Settings(control="wikitext-2").text == "wikitext-2"
    assert Settings("gpt2", control="docstrings").text == "docstrings"


def test_equal_settings_are_equal(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(control="docstrings") == Settings() != Settings(control="wikitext-2")
    assert Settings("gpt2", control="wikitext-2") == Settings("gpt2")
    assert Settings(str(SUBJECTS / "gpt2-mini")) == Settings()
    monkeypatch.chdir(checkpoint.parent)
    assert Settings("odd").subject == str(checkpoint)


def test_subjects_do_not_share_folders(checkpoint: Path, tmp_path: Path) -> None:
    """Directories that end in the same name, and hub names that do, are different subjects."""
    names = ["gpt2-mini", "gpt2", "odd", "one/odd", "two/odd", str(checkpoint)]
    for place in ("one", "two"):
        shutil.copytree(checkpoint, tmp_path / place / "odd")
        names.append(str(tmp_path / place / "odd"))
    runs = [Run(Settings(name), True, "runs/mine") for name in names]
    for folders in ("folder", "figures", "notebooks"):
        assert len({getattr(run, folders) for run in runs}) == len(names)


def test_results_of_another_subject_or_text_are_refused(
    checkpoint: Path, neox_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even in the same folder: a checkpoint may be replaced by another."""
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "CACHE", tmp_path / "cache")
    directory = tmp_path / "model"
    shutil.copytree(checkpoint, directory)
    settings = Settings(str(directory), evaluation_prompts=32, control="docstrings")
    run = Run(settings, True, "runs/mine")
    table = run.table("control", "evaluation")
    assert table.provenance["text"] == "docstrings"
    frame = pd.DataFrame({"a": [1.5]})
    run.frame("study", lambda: frame, ("oracle",))
    other = Run(replace(settings, control="wikitext-2"), True, "runs/mine")
    with pytest.raises(StaleResult, match="text is 'docstrings', wanted 'wikitext-2'"):
        other.table("control", "evaluation")
    with pytest.raises(StaleResult, match="text is 'docstrings', wanted 'wikitext-2'"):
        other.frame("study", lambda: frame, ("oracle",))
    shutil.rmtree(directory)
    shutil.copytree(neox_checkpoint, directory)
    replaced = Run(settings, True, "runs/mine")
    with pytest.raises(StaleResult, match="weights is"):
        replaced.table("control", "evaluation")
    with pytest.raises(StaleResult, match="weights is"):
        replaced.frame("study", lambda: frame, ("oracle",))


def test_committed_results_cannot_be_overwritten() -> None:
    with pytest.raises(ValueError, match="give an output folder"):
        Run(Settings(), recompute=True)
    with pytest.raises(ValueError, match="give an output folder"):
        Run(Settings(seeds=4))
    with pytest.raises(TypeError, match="recompute must be bool, not 'false'"):
        Run(Settings(), recompute="false")  # type: ignore[arg-type]


def test_every_committed_result_is_what_the_code_makes() -> None:
    """Reading checks content and provenance: subject, seeds, settings and hashes of the code."""
    run = Run()
    for task in (*results.TRAINING_TASKS, "control"):
        assert len(run.table(task, "train")) == run.settings.rows(task, "train")
    for task in (*studies.MAIN_TASKS, *studies.FURTHER_TASKS, "control"):
        assert len(run.table(task, "evaluation")) == run.settings.rows(task, "evaluation")
    assert set(run.policies()) == {1, 5}
    for study in (
        studies.behaviours,
        studies.heads,
        studies.evaluation,
        studies.detections,
        studies.pairs,
        studies.conventions,
    ):
        assert len(study(run)) > 5
    stored = {path.name for path in run.folder.iterdir()}
    assert "claims.csv" in stored


def test_committed_tables_are_small() -> None:
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 10e6
    for path in RESULTS.rglob("damage_*.safetensors"):
        assert load_table(path).damage.isfinite().all()


def test_a_changed_frame_is_refused(tmp_path: Path) -> None:
    source = RESULTS / "gpt2-mini" / "heads.csv"
    path = tmp_path / "heads.csv"
    for suffix in (".csv", ".json"):
        shutil.copy(source.with_suffix(suffix), path.with_suffix(suffix))
    load_frame(path)
    wanted = json.loads(path.with_suffix(".json").read_text())["provenance"]
    with pytest.raises(StaleResult, match="code is"):
        load_frame(path, wanted | {"code": "0"})
    path.write_text(path.read_text().replace("ioi", "IOI"))
    with pytest.raises(StaleResult, match="was changed after it was written"):
        load_frame(path)


def test_frames_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    run = Run(Settings(), True, "runs/test")
    calls = []

    def compute() -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"a": [1.0, None], "b": ["none", "x"]})

    first = run.frame("study", compute, ("oracle",), size=3)
    assert run.frame("study", compute, ("oracle",), size=3).equals(first)
    assert first["b"].tolist() == ["none", "x"]
    assert len(calls) == 1
    with pytest.raises(StaleResult, match="inputs is"):
        run.frame("study", compute, ("oracle",), size=4)


def test_code_hash_is_blind_to_comments_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    file = tmp_path / "circuitlib" / "m.py"
    file.parent.mkdir()

    def hash_of(text: str) -> str:
        file.write_text(text)
        return code_hash(["m"])

    plain = hash_of('def f(x):\n    return "a" + x\n')
    assert (
        hash_of(
            '"""Module."""\n\n\ndef f(x):  # adds\n    """Add.\n\n    More.\n    """\n    return "a" + x\n'
        )
        == plain
    )
    assert hash_of('def f(x):\n    return "b" + x\n') != plain


def test_versions_are_recorded_not_compared() -> None:
    assert (
        differences({"a": 1, "versions": {"torch": "1"}}, {"a": 1, "versions": {"torch": "2"}})
        == []
    )
    assert differences({"a": 1}, {"a": [2]}) == ["a is 1, wanted [2]"]


def test_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")

    def fail_half_way() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
