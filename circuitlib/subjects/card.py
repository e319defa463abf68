"""What is known of a subject without loading it: its shape, and what its results depend on.

A card lies beside a subject's results (``subject.json``), so that they can be read where the model is not.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from circuitlib.manifest import StaleResult, as_json, short_hash
from circuitlib.subjects.checkpoints import Text

Convention = Literal["folded", "raw"]
"""What zeroing a head removes. ``folded``, the paper's: the layer norm's bias and the value bias are folded into the
output bias first, so that a head is only what varies with the input. ``raw``: the checkpoint as it is, so that the
head's constant part goes too (the two differ)."""

NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Fields of ``config.json`` that say where and with what it was written."""

GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of tokenizers that do what ``tokenizer.json`` says, and nothing else."""

NOT_OF_THE_TOKENIZER = (
    *("backend", "is_local", "local_files_only", "name_or_path", "tokenizer_file", "special_tokens_map_file"),
    *("bos_token", "eos_token", "unk_token", "pad_token", "model_max_length", "padding_side", "truncation_side"),
    *("chat_template", "clean_up_tokenization_spaces", "errors", "model_input_names"),
)
"""Fields of ``tokenizer_config.json`` that are not counted: they change no ordinary text's tokens. (What prompts begin with is in the card by itself.)"""


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
            if as_json(card.record()) == text:
                return card
        except (ValueError, TypeError):
            pass
        raise StaleResult(f"{path} is corrupt; restore it, or measure its results again")


def hash_of_parts(parts: Iterable[bytes]) -> str:
    """What :func:`circuitlib.manifest.short_hash` would say of the parts joined, one in memory at a time."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def config_hash(config: dict[str, Any]) -> str:
    """Of a Hugging Face configuration, without what is not of the model."""
    kept = {key: value for key, value in config.items() if key not in NOT_OF_THE_MODEL}
    return short_hash(json.dumps(kept, sort_keys=True, default=str).encode())


def _tokenizer_settings(directory: Path) -> bytes:
    """What ``tokenizer_config.json`` adds to the tokenizer's own file, if anything."""
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    generic: tuple[object, ...] = (None, {}, [], *GENERIC)
    kept = {key: value for key, value in settings.items() if key not in NOT_OF_THE_TOKENIZER and value not in generic}
    return json.dumps(kept, sort_keys=True).encode() if kept else b""


def fingerprint(directory: Path) -> dict[str, str]:
    """Hashes ``weights``, ``config`` and ``tokenizer`` of a checkpoint's directory, without loading it.

    The same tensors in other shards are the same weights.
    """
    names = ["tokenizer.json"]
    if not (directory / "tokenizer.json").is_file():  # beside which the others are what it was made from
        names = ["tokenizer.model", "vocab.json", "merges.txt"]
    tokenizer = [directory / name for name in names]
    return {
        "weights": hash_of_parts(_weights(directory)),
        "config": config_hash(json.loads((directory / "config.json").read_text())),
        "tokenizer": hash_of_parts(
            (*(path.read_bytes() for path in tokenizer if path.is_file()), _tokenizer_settings(directory))
        ),
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
                tensors[name] = shard, 8 + length + start, end - start, f"{entry['dtype']} {entry['shape']}"
    for name, (shard, start, size, shape) in sorted(tensors.items()):
        yield f"{name} {shape}".encode()
        with shard.open("rb") as file:
            file.seek(start)
            yield file.read(size)
