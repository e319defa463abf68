"""A subject: a language model, its tokenizer, and the convention under which its heads are ablated.

Any Hugging Face decoder checkpoint that TransformerLens' ``TransformerBridge`` loads is a subject: the
embedded ``gpt2-mini``, a local directory, or a name on the hub, such as the paper's ``gpt2``. So is a
bridge that is loaded already.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from circuitlib import hub
from circuitlib.paths import SUBJECTS, in_checkout

EMBEDDED = "gpt2-mini"
"""The subject that is part of the checkout."""

Convention = Literal["folded", "raw"]
"""What zeroing a head removes. ``folded``, the paper's: the layer norm's bias and the value bias are
folded into the output bias first, so that a head is only what varies with the input. ``raw``: the
checkpoint as it is, so that the head's constant part goes too (paper.md, point 8: the two differ)."""

SIZES = dict.fromkeys(("gpt2", "openai-community/gpt2"), "548 MB")
"""Size of ``model.safetensors``, where it is known without asking the hub."""

_PATH_MARKS = (".", "/", "~")
"""A name that starts with one of these is a path, and never a name on the hub or in ``data/subjects``."""

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",))
"""Any of these sets of files makes a tokenizer."""


@dataclass(frozen=True)
class Subject:
    """A loaded model. ``weights_hash`` identifies the weights that were loaded: of a subject from
    :func:`load_subject` the checkpoint, whatever the convention."""

    name: str
    bridge: TransformerBridge
    tokenizer: PreTrainedTokenizerBase
    convention: Convention
    weights_hash: str

    @cached_property
    def layers(self) -> int:
        """Number of blocks."""
        return int(self.bridge.cfg.n_layers)

    @cached_property
    def heads_per_layer(self) -> int:
        """Number of attention heads in a block."""
        return int(self.bridge.cfg.n_heads)

    @property
    def heads(self) -> int:
        """Number of heads in all, the size of the action space: action = heads_per_layer * layer + head."""
        return self.layers * self.heads_per_layer

    def head_name(self, head: int) -> str:
        """The field's name for an action, such as ``L9.H6``."""
        return f"L{head // self.heads_per_layer}.H{head % self.heads_per_layer}"


def _local_directory(name: str) -> Path | None:
    places = [Path(name).expanduser()]
    if not name.startswith(_PATH_MARKS):
        places.insert(0, SUBJECTS / name)
    return next((place.resolve() for place in places if (place / "config.json").is_file()), None)


def canonical_name(name: str) -> str:
    """One name for one subject: that of a directory in ``data/subjects``, the absolute path of any other
    local directory, or a name on the hub as it is."""
    directory = _local_directory(name)
    if directory is None:
        return name
    subjects = SUBJECTS.resolve()
    inside = subjects in directory.parents
    return directory.relative_to(subjects).as_posix() if inside else str(directory)


def _missing_files(directory: Path) -> list[str]:
    """What a checkpoint's directory lacks, in words."""
    missing = [] if (directory / "config.json").is_file() else ["config.json"]
    weights = []
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = directory / f"{stem}.index.json"
        if index.is_file():
            shards = set(json.loads(index.read_text())["weight_map"].values())
            absent = sorted(shard for shard in shards if not (directory / shard).is_file())
            weights.append(absent)
        elif (directory / stem).is_file():
            weights.append([])
    if [] not in weights:
        missing += weights[0] if weights else ["model.safetensors"]
    if not any(all((directory / file).is_file() for file in files) for files in TOKENIZER_FILES):
        missing.append("tokenizer.json (or vocab.json and merges.txt)")
    return missing


def _checkpoint_files(files: Sequence[str]) -> list[str]:
    """Of the files of a repository on the hub, those that make the checkpoint."""
    top = [file for file in files if "/" not in file]
    weights = [file for file in top if file.endswith(".safetensors")]
    weights = weights or [file for file in top if file.startswith("pytorch_model")]
    return weights + [
        file
        for file in top
        if file.endswith((".json", ".model")) or file in ("merges.txt", "vocab.txt")
    ]


def find_checkpoint(name: str) -> Path:
    """The directory of a subject's checkpoint: in ``data/subjects``, a local directory, the Hugging Face
    cache, or downloaded into that cache, whichever comes first.

    Raises ``FileNotFoundError``, at once when there is no network, saying what to download, how large
    it is, from where, and where to put it.
    """
    if directory := _local_directory(name):
        if missing := _missing_files(directory):
            raise FileNotFoundError(
                f"subject {name!r}: {directory} is no whole checkpoint, it lacks {', '.join(missing)}"
            )
        return directory
    if name.startswith(_PATH_MARKS) or name.count("/") > 1:
        raise FileNotFoundError(
            f"no subject {name!r}: there is no config.json in {Path(name).expanduser().resolve()}; a "
            "checkpoint's directory holds config.json, model.safetensors and tokenizer.json"
        )
    config = hub.cached(name, "config.json")
    if config is not None and not _missing_files(config.parent):
        return config.parent
    if name == EMBEDDED and not in_checkout():
        raise FileNotFoundError(
            f"subject {name!r} is in circuitlib's checkout, which is not here; pass the directory "
            "data/subjects/gpt2-mini of a clone, or another checkpoint"
        )
    try:
        directory = hub.download(name, _checkpoint_files)
        why = f"the hub's repository lacks {', '.join(_missing_files(directory))}"
        if not _missing_files(directory):
            return directory
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


def _weights_hash(bridge: TransformerBridge) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(bridge.original_model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def subject_of(bridge: TransformerBridge, name: str | None = None) -> Subject:
    """A subject of a bridge that is loaded already, on whatever device, in whatever precision.

    name: of the subject in results; the last part of the bridge's own by default.
    The convention is ``folded`` when compatibility mode has processed the bridge's weights, and ``raw``
    otherwise: compatibility mode with ``no_processing`` names hooks and folds nothing. ``weights_hash``
    is of the weights as they are now, so that of a folded bridge is not that of its checkpoint.

    The bridge is not changed. Raises ``ValueError`` when it has no tokenizer, or is in training mode,
    where dropout would be taken for damage.
    """
    if bridge.tokenizer is None:
        raise ValueError("the bridge has no tokenizer; the tasks' prompts are made with it")
    if bridge.training or bridge.original_model.training:
        raise ValueError("the bridge is in training mode; call its eval() first")
    # The public flag is set with and without folding; which of the two only the private one tells.
    folded = getattr(bridge, "_weights_processed", bridge.compatibility_mode)
    return Subject(
        name or PurePosixPath(bridge.cfg.model_name).name,
        bridge,
        bridge.tokenizer,
        "folded" if folded else "raw",
        _weights_hash(bridge),
    )


def load_subject(
    name: str = EMBEDDED, convention: Convention = "folded", device: str = "cpu"
) -> Subject:
    """Load a subject in float32: the embedded one, a local directory, or a name on the hub.

    name: see :func:`find_checkpoint`. device: ``cpu``, or ``cuda`` where there is CUDA.
    Raises ``ValueError`` for an unknown convention or a device that is not there, and
    ``FileNotFoundError``, saying what to download and where to put it, when the checkpoint can be found
    neither here nor on the hub.
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be one of {get_args(Convention)}, not {convention!r}")
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, not {device!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: this torch finds no CUDA device; use cpu")
    directory = find_checkpoint(name)
    disable_progress_bar()
    bridge = TransformerBridge.boot_transformers(str(directory), dtype=torch.float32, device=device)
    bridge.eval().requires_grad_(False)
    subject = subject_of(bridge, PurePosixPath(canonical_name(name)).name)
    if convention == "folded":
        bridge.enable_compatibility_mode()
        bridge.requires_grad_(False)
    return replace(subject, convention=convention)
