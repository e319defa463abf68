"""A subject: a language model, its tokenizer, and the convention under which its heads are ablated.

Any Hugging Face decoder checkpoint that TransformerLens' ``TransformerBridge`` loads is a subject: the
embedded ``gpt2-mini``, a local directory, or a name on the hub.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from circuitlib.paths import SUBJECTS

Convention = Literal["folded", "raw"]
"""What zeroing a head removes. ``folded``, the paper's: the layer norm's bias and the value bias are
folded into the output bias first, so that a head is only what varies with the input. ``raw``: the
checkpoint as it is, so that the head's constant part goes too (paper.md, point 8: the two differ)."""


@dataclass(frozen=True)
class Subject:
    """A loaded model. ``weights_hash`` identifies the checkpoint, whatever the convention."""

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


def load_subject(name: str = "gpt2-mini", convention: Convention = "folded") -> Subject:
    """Load a subject in float32 on the CPU.

    ``name`` is an embedded subject, a local Hugging Face directory, or a name on the hub.
    Raises ``ValueError`` for an unknown convention and ``FileNotFoundError``, saying what was tried,
    when the checkpoint can be found neither here nor on the hub.
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be one of {get_args(Convention)}, not {convention!r}")
    embedded, local = SUBJECTS / name, Path(name)
    directory = next((str(d) for d in (embedded, local) if (d / "config.json").exists()), None)
    disable_progress_bar()
    try:
        bridge = TransformerBridge.boot_transformers(
            directory or name, dtype=torch.float32, device="cpu"
        )
    except OSError as error:
        raise FileNotFoundError(
            f"no subject {name!r}: {embedded} and {local.resolve()} hold no config.json, and the "
            f"Hugging Face hub could not provide it. Download the checkpoint and pass its directory. ({error})"
        ) from error
    bridge.eval().requires_grad_(False)
    digest = hashlib.sha256()
    for key, tensor in sorted(bridge.original_model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    if convention == "folded":
        bridge.enable_compatibility_mode()
        bridge.requires_grad_(False)
    return Subject(Path(name).name, bridge, bridge.tokenizer, convention, digest.hexdigest()[:16])
