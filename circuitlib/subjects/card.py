"""What is known of a subject without loading it: its shape, and what its results depend on.

A card lies beside a subject's results (``subject.json``), so that they can be read where the model is not.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from circuitlib.manifest import StaleResult, as_json
from circuitlib.subjects.checkpoints import Text

Convention = Literal["folded", "raw"]
"""What zeroing a head removes. ``folded``, the paper's: the layer norm's bias and the value bias are
folded into the output bias first, so that a head is only what varies with the input. ``raw``: the
checkpoint as it is, so that the head's constant part goes too (the two differ)."""

NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Fields of ``config.json`` that say where and with what it was written."""


@dataclass(frozen=True)
class Card:
    """A subject's name, its shape, and its identity.

    weights, config, tokenizer: hashes of the checkpoint (:func:`fingerprint`).
    bos: the token that every prompt and control span begins with, or ``none``.
    control_text: what its general damage is measured on, unless a run says otherwise.
    """

    name: str
    convention: Convention
    layers: int
    heads_per_layer: int
    weights: str
    config: str
    tokenizer: str
    bos: str
    control_text: Text

    @property
    def heads(self) -> int:
        """Number of heads in all, the size of the action space: action = heads_per_layer * layer + head."""
        return self.layers * self.heads_per_layer

    def head_name(self, head: int) -> str:
        """The field's name for an action, such as ``L9.H6``."""
        return f"L{head // self.heads_per_layer}.H{head % self.heads_per_layer}"

    def record(self) -> dict[str, Any]:
        """What a manifest says of the subject."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> "Card":
        """A card that was written from :meth:`record`. Raises ``StaleResult`` when it is corrupt."""
        try:
            text = path.read_text(encoding="utf-8")
            card = cls(**json.loads(text))
            whole = as_json(card.record()) == text
        except (ValueError, TypeError):
            whole = False
        if not whole:
            raise StaleResult(f"{path} is corrupt; restore it, or measure its results again")
        return card


def _digest(parts: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def config_hash(config: dict[str, Any]) -> str:
    """Of a Hugging Face configuration, without what is not of the model."""
    kept = {key: value for key, value in config.items() if key not in NOT_OF_THE_MODEL}
    return _digest(iter([json.dumps(kept, sort_keys=True, default=str).encode()]))


def fingerprint(directory: Path) -> dict[str, str]:
    """Hashes ``weights``, ``config`` and ``tokenizer`` of a checkpoint's directory, without loading it.

    The same tensors in other shards are the same weights.
    """
    tokenizer = [directory / name for name in ("tokenizer.json", "tokenizer.model")]
    tokenizer += [directory / name for name in ("vocab.json", "merges.txt")]
    present = [path for path in tokenizer if path.is_file()]
    # tokenizer.json says all; beside it the others are what it was made from.
    present = present[:1] if present and present[0].name == "tokenizer.json" else present
    return {
        "weights": _digest(_weights(directory)),
        "config": config_hash(json.loads((directory / "config.json").read_text())),
        "tokenizer": _digest(path.read_bytes() for path in present),
    }


def _weights(directory: Path) -> Iterator[bytes]:
    shards = sorted(directory.glob("*.safetensors"))
    if not shards:
        yield from (path.read_bytes() for path in sorted(directory.glob("pytorch_model*.bin")))
        return
    tensors: dict[str, tuple[Path, int, int, str]] = {}
    for shard in shards:
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                shape = f"{entry['dtype']} {entry['shape']}"
                tensors[name] = shard, 8 + length + start, end - start, shape
    for name, (shard, start, size, shape) in sorted(tensors.items()):
        yield f"{name} {shape}".encode()
        with shard.open("rb") as file:
            file.seek(start)
            yield file.read(size)
