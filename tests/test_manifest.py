"""The one store: nothing half written, every flipped byte named, stale results refused, code hashed by imports."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlib import manifest
from circuitlib.manifest import (
    StaleResult,
    code_hash,
    differences,
    is_stored,
    load_frame,
    load_tensors,
    read_provenance,
    restamp,
    save_frame,
    save_tensors,
    written_whole,
)
from circuitlib.paths import RESULTS

PROVENANCE = {"task": "ioi", "seed": 3, "versions": {"torch": "2"}}
FRAME = pd.DataFrame({"a": [1.0, None], "b": ["none", "x"]})


@pytest.fixture(params=["tensors", "csv", "parquet"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A result of either kind."""
    if request.param == "tensors":
        path = tmp_path / "result.safetensors"
        save_tensors(path, {"x": torch.arange(6.0), "y": torch.ones(2, 2)}, PROVENANCE)
    else:
        path = tmp_path / f"result.{request.param}"
        save_frame(path, FRAME, PROVENANCE)
    return path


def _load(path: Path) -> object:
    return load_tensors(path) if path.suffix == ".safetensors" else load_frame(path)


def test_round_trip(tmp_path: Path) -> None:
    tensors = {"x": torch.arange(6.0).view(2, 3).T, "y": torch.ones(2, dtype=torch.float16)}
    save_tensors(tmp_path / "t.safetensors", tensors, PROVENANCE)
    again, provenance = load_tensors(tmp_path / "t.safetensors", PROVENANCE)
    assert provenance == PROVENANCE
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    for name in ("f.csv", "g.parquet"):
        save_frame(tmp_path / name, FRAME, PROVENANCE)
        pd.testing.assert_frame_equal(load_frame(tmp_path / name, PROVENANCE), FRAME)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_every_flipped_byte_is_named(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the committed results: any file, any byte, any bit."""
    folder = RESULTS / "gpt2-mini"
    files = sorted(p for p in folder.iterdir() if is_stored(p) and p.suffix != ".json")
    source = data.draw(st.sampled_from(files))
    target = tmp_path_factory.mktemp("flipped") / source.name
    for file in (source, source.with_suffix(".json")):
        (target.parent / file.name).write_bytes(file.read_bytes())
    read_provenance(target)
    victim = data.draw(st.sampled_from([target, target.with_suffix(".json")]))
    content = bytearray(victim.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    victim.write_bytes(content)
    with pytest.raises(StaleResult, match=rf"{target.stem}\.\w+ is corrupt"):
        _load(target)


def test_every_byte_of_a_small_result(stored: Path) -> None:
    for victim in (stored, stored.with_suffix(".json")):
        whole = victim.read_bytes()
        for at in range(len(whole)):
            content = bytearray(whole)
            content[at] ^= 0x10
            victim.write_bytes(content)
            with pytest.raises(StaleResult, match="is corrupt"):
                _load(stored)
        victim.write_bytes(whole)
    _load(stored)


def test_a_result_without_manifest_is_not_there(stored: Path) -> None:
    assert is_stored(stored)
    stored.with_suffix(".json").unlink()
    assert not is_stored(stored)
    with pytest.raises(StaleResult, match=r"has no manifest result\.json"):
        _load(stored)


def test_what_differs_is_said(stored: Path) -> None:
    read_provenance(stored, PROVENANCE | {"versions": {"torch": "3"}})
    with pytest.raises(StaleResult, match="seed is 3, wanted 4"):
        read_provenance(stored, PROVENANCE | {"seed": 4})
    with pytest.raises(StaleResult, match="text is None, wanted 'prose'"):
        read_provenance(stored, PROVENANCE | {"text": "prose"})
    assert differences({"subject": {"bos": "a", "name": "s"}}, {"subject": {"bos": "b", "name": "s"}}) == [
        "subject.bos is 'a', wanted 'b'"
    ]
    assert differences({"a": (1, 2)}, {"a": [1, 2]}) == []


def test_a_new_stamp_keeps_the_content(stored: Path) -> None:
    before = stored.read_bytes()
    restamp(stored, {"task": "docstring"})
    assert stored.read_bytes() == before
    assert read_provenance(stored) == {"task": "docstring"}
    stored.write_bytes(before[:-1] + b"\0")
    with pytest.raises(StaleResult, match="is corrupt"):
        restamp(stored, PROVENANCE)


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


def test_a_write_that_is_interrupted_leaves_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a result and its manifest there is a moment; what it leaves counts as not there."""
    path = tmp_path / "t.safetensors"
    save_tensors(path, {"x": torch.zeros(2)}, PROVENANCE)

    def stop(path: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "content_hash", stop)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(path, {"x": torch.ones(2)}, PROVENANCE)
    assert not is_stored(path)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose module ``top`` imports ``below.middle``, which imports ``below.lowest`` in a function."""
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    folder = tmp_path / "circuitlib"
    (folder / "below").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "below" / "__init__.py").write_text("")
    (folder / "top.py").write_text("from circuitlib.below import middle\n")
    (folder / "below" / "middle.py").write_text("def f():\n    from circuitlib.below.lowest import g\n    return g\n")
    (folder / "below" / "lowest.py").write_text("def g():\n    return 1\n")
    (folder / "beside.py").write_text("x = 1\n")
    return folder


def test_code_is_hashed_with_what_it_imports(package: Path) -> None:
    def top() -> str:
        return code_hash("circuitlib.top")

    plain = top()
    for path, text, changes in (
        ("beside.py", "x = 2\n", False),
        ("below/lowest.py", '"""Words."""\n\n\ndef g():  # a comment\n    """More."""\n    return 1\n', False),
        ("below/lowest.py", "def g() -> Float[Tensor, 'é -> b']:\n    return 1\n", False),
        ("below/lowest.py", "def g(a: int = 1):\n    return 1\n", True),
        ("below/lowest.py", "def g():\n    return 2\n", True),
        ("below/__init__.py", "x = 1\n", True),
    ):
        before = (package / path).read_text()
        (package / path).write_text(text)
        assert (top() != plain) == changes, (path, text)
        (package / path).write_text(before)
    assert top() == plain


def test_an_annotation_computes_nothing_and_a_default_or_a_field_does(package: Path) -> None:
    def code(text: str) -> str:
        (package / "top.py").write_text(text)
        return code_hash("circuitlib.top")

    plain = code("def f(a, b: int = 'x', *c, d: tuple = (1, 2), **e):\n    g = lambda h: h\n    return g(a)\n")
    assert plain == code(
        "def f(a: str, b: 'é: ->' = 'x', *c: int, d: dict[\n    str, int\n] = (1, 2), **e: T) -> Callable[[int], str]:\n    g = lambda h: h\n    return g(a)\n"
    )
    assert plain != code("def f(a, b: int = 'y', *c, d: tuple = (1, 2), **e):\n    g = lambda h: h\n    return g(a)\n")
    assert code("class A:\n    x: int = 1\n") != code("class A:\n    x: float = 1\n")


def test_the_code_of_a_table_is_what_measures_it() -> None:
    imported = manifest._imported("circuitlib.ablation.build")
    for name in ("ablation.sweep", "ablation.decoder", "tasks.ioi", "tasks.words", "subjects.load", "threads"):
        assert f"circuitlib.{name}" in imported
    assert not [name for name in imported if name.startswith(("circuitlib.search", "circuitlib.companion"))]


def test_manifests_are_readable_json(stored: Path) -> None:
    manifest_ = json.loads(stored.with_suffix(".json").read_text())
    assert manifest_["provenance"] == PROVENANCE
    assert len(manifest_["sha256"]) == len(manifest_["seal"]) == 16
    assert np.all([c in "0123456789abcdef" for c in manifest_["sha256"]])
