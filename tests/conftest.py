"""Subjects made in the test: random weights, odd shapes, the embedded subject's tokenizer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from circuitlib.damage import DamageTable
from circuitlib.paths import SUBJECTS
from circuitlib.rewards import TableRewards

LAYERS, HEADS = 7, 5


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast.from_pretrained(SUBJECTS / "gpt2-mini")


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase
) -> Path:
    """A GPT-2 of 7 layers x 5 heads with biases and gains that are far from their defaults."""
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=96, n_embd=40, n_layer=LAYERS, n_head=HEADS,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    directory = tmp_path_factory.mktemp("subjects") / "odd"
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def make_table() -> Callable[..., DamageTable]:
    """Tables of random damages, for whatever only looks things up."""

    def make(
        name: str, prompts: int = 64, heads: int = 12, seed: int = 0, scale: float = 1.0
    ) -> DamageTable:
        rng = np.random.default_rng([seed, *name.encode()])
        mean = scale * rng.exponential(size=heads)
        damage = torch.from_numpy(mean + 0.3 * rng.normal(size=(prompts, heads))).float()
        return DamageTable(torch.full((prompts,), 4.0), damage, {"task": name})

    return make


@pytest.fixture
def source(make_table: Callable[..., DamageTable]) -> TableRewards:
    return TableRewards(
        [make_table("induction"), make_table("ioi")], make_table("control", scale=0.1)
    )
