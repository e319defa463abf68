"""No file that is read can execute anything: a payload in every kind of them."""

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from circuitlib.ablation.build import _kept
from circuitlib.ablation.prompt_file import read_passages, read_prompts
from circuitlib.ablation.tables import load_table
from circuitlib.companion import claims, paper, speed
from circuitlib.companion.run import Run
from circuitlib.manifest import StaleResult, _write_manifest, load_frame, load_tensors
from circuitlib.search.policy import load_policy
from circuitlib.subjects.card import Card
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import control_text
from circuitlib.workshop.pretrain import Phase, train


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _read_wikitext(path: Path) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_text, "_wikitext_path", lambda: path)
        control_text.control_paragraphs.cache_clear()
        return control_text.control_paragraphs("wikitext-2")


READERS: dict[str, Callable[[Path], object]] = {
    "table.safetensors": load_table,
    "tensors.safetensors": load_tensors,
    "block.safetensors": _kept,
    "policy.safetensors": load_policy,
    "frame.csv": load_frame,
    "frame.parquet": load_frame,
    "subject.json": Card.read,
    "prompts.csv": read_prompts,
    "prompts.jsonl": read_prompts,
    "control.txt": read_passages,
    "wikitext.parquet": _read_wikitext,
}


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
@pytest.mark.parametrize("name", READERS)
def test_no_stored_result_executes_anything(name: str, write: Callable[[Any, Any], None], tmp_path: Path) -> None:
    """With a manifest that vouches for it, too."""
    mark, path = tmp_path / "executed", tmp_path / name
    with path.open("wb") as file:
        write(Payload(mark), file)
    if path.suffix != ".json":
        _write_manifest(path, {"task": "ioi"})
    with suppress(Exception):
        READERS[name](path)
    assert not mark.exists()
    with path.open("rb") as file:
        (pickle.load(file) if write is pickle.dump else torch.load(file, weights_only=False))
    assert mark.exists(), "the payload is one"


def test_no_checkpoint_executes_anything(
    small: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that are a pickle, and a configuration that names code beside it."""
    mark = tmp_path / "executed"
    weights = Path(shutil.copytree(small["llama"], tmp_path / "weights"))
    (weights / "model.safetensors").unlink()
    torch.save(Payload(mark), weights / "pytorch_model.bin")
    code = Path(shutil.copytree(small["llama"], tmp_path / "code"))
    config = json.loads((code / "config.json").read_text())
    names = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model", "AutoTokenizer": "mine.Tokenizer"}
    (code / "config.json").write_text(json.dumps(config | {"auto_map": names}))
    (code / "mine.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\nConfig = Model = Tokenizer = object\n"
    )
    for directory in (weights, code):
        with suppress(Exception):
            load_subject(str(directory))
        assert not mark.exists(), directory.name


def test_nothing_that_pretraining_keeps_executes_anything(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """Token ids of its text, and the checkpoint that it goes on from."""
    mark, prose = tmp_path / "executed", np.arange(2000, dtype=np.int16)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    for name, write in (("train.npy", pickle.dump), ("held_out.npy", pickle.dump), ("checkpoint.pt", torch.save)):
        for part in ("train", "held_out"):
            np.save(tmp_path / f"{part}.npy", prose)
        with (tmp_path / name).open("wb") as file:
            write(Payload(mark), file)
        with pytest.raises((ValueError, pickle.UnpicklingError)):
            train(0, (Phase(1, 1, 16, {"induction": 1.0}, 256, 0.0),), tmp_path, tmp_path / "subject")
        assert not mark.exists(), name


def test_a_changed_number_of_a_speed_table_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(next(speed.RECORDED.iterdir()), tmp_path / "here"))
    monkeypatch.setattr(speed, "RECORDED", tmp_path)
    for path in folder.glob("*.csv"):
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
        for read in (speed.recorded, speed.recorded_machines):
            with pytest.raises(StaleResult, match=rf"{path.name} is corrupt"):
                read(path.stem)


def test_a_changed_number_of_the_paper_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(claims.PAPER.read_bytes())
    content[content.index(b"2.1")] ^= 8
    (tmp_path / "mechrl_v1.json").write_bytes(content)
    monkeypatch.setattr(paper, "PAPER", tmp_path / "mechrl_v1.json")
    paper.mechrl.cache_clear()
    for read in (paper.docstring_results, paper.paper_fractions, lambda: claims.claims(Run())):
        with pytest.raises(StaleResult, match=r"mechrl_v1\.json is corrupt"):
            read()
