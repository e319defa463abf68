"""Subjects of any size, for time and memory, which do not depend on what the weights are."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from circuitlib.paths import SUBJECTS


@dataclass(frozen=True)
class Sizes:
    """Of a GPT-2, by default those of ``gpt2-mini``."""

    name: str
    layers: int = 12
    heads: int = 12
    width: int = 192
    vocabulary: int = 4096


GPT2_SHAPE = Sizes("gpt2-shape", width=768, vocabulary=50_257)
"""GPT-2 small's."""


def random_checkpoint(folder: Path, sizes: Sizes) -> Path:
    """Write a GPT-2 with random weights and the embedded subject's tokenizer into a folder in ``folder``."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(SUBJECTS / "gpt2-mini")
    config = GPT2Config(
        vocab_size=sizes.vocabulary,
        n_embd=sizes.width,
        n_layer=sizes.layers,
        n_head=sizes.heads,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.bos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder / sizes.name)
    tokenizer.save_pretrained(folder / sizes.name)
    return folder / sizes.name
