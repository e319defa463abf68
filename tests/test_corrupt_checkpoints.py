"""Half a checkpoint is named, file by file."""

import shutil
from pathlib import Path

import pytest
import torch

from circuitlib.subjects import hub
from circuitlib.subjects.checkpoints import find_checkpoint
from circuitlib.subjects.load import load_subject

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def _corrupted(path: Path, share: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // share] if share else b"")
    with pytest.raises(ValueError, match=rf"half/{path.name} is corrupt \(.*put the whole file there"):
        load_subject(path.parent)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 2])
def test_half_a_file_is_named(name: str, share: int, small: dict[str, Path], tmp_path: Path) -> None:
    _corrupted(shutil.copytree(small["llama"], tmp_path / "half") / name, share)


@pytest.mark.parametrize("share", [0, 2])
def test_half_of_what_torch_saved_is_named(share: int, small: dict[str, Path], tmp_path: Path) -> None:
    """And half of an index of shards, which is read before any file of weights."""
    folder = shutil.copytree(small["llama"], tmp_path / "half")
    (folder / "model.safetensors").unlink()
    torch.save({"x": torch.zeros(3)}, folder / "pytorch_model.bin")
    assert find_checkpoint(str(folder)) == folder
    _corrupted(folder / "pytorch_model.bin", share)
    torch.save({"x": torch.zeros(3)}, folder / "pytorch_model.bin")
    index = folder / "pytorch_model.bin.index.json"
    index.write_text('{"weight_map": {"x": "pytorch_model.bin"}}')
    assert find_checkpoint(str(folder)) == folder
    _corrupted(index, share)


def test_half_of_a_download_is_named(small: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(small["llama"], tmp_path / "half"))
    monkeypatch.setattr(hub, "download", lambda *asked: folder)
    assert find_checkpoint("some/model") == folder
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"half/model\.safetensors is corrupt \(.*put the whole file there"):
        find_checkpoint("some/model")
