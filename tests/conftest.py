"""Subjects made in the test: random weights, odd shapes, the embedded subject's tokenizer."""

import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from drawing import MANY
from hypothesis import settings
from transformers import (
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from circuitlib.ablation.tables import DamageTable, load_table, save_table
from circuitlib.companion import run
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import is_stored, read_provenance, restamp
from circuitlib.paths import SUBJECTS
from circuitlib.search.episodes import TableEpisodes
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks.control_text import Part

LAYERS, HEADS = 3, 5
CONTEXT = 96

SaveCheckpoint = Callable[[PretrainedConfig, Path], Path]

settings.register_profile(MANY)

# As `make test` has it: on more threads some work is done in other processes, which what a test replaces does not reach.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take many minutes first, the longest before the others, so that no worker has one to do when the others have none."""
    items.sort(key=lambda item: -sum(mark.kwargs.get("minutes", 0) for mark in item.iter_markers("long")))


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast.from_pretrained(SUBJECTS / "gpt2-mini")


@pytest.fixture(scope="session")
def save_checkpoint(tokenizer: PreTrainedTokenizerBase) -> SaveCheckpoint:
    """Saves a model whose weights are far from their defaults, with gains of a norm around 1."""

    def save(config: PretrainedConfig, directory: Path) -> Path:
        model = AutoModelForCausalLM.from_config(config)
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            gain = config.model_type != "gpt2" and "norm" in name and name.endswith("weight")
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator) + gain
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        return directory

    return save


@pytest.fixture(scope="session")
def vocabulary(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What every configuration takes from the tokenizer."""
    bos = tokenizer.bos_token_id
    return {"vocab_size": len(tokenizer), "bos_token_id": bos, "eos_token_id": bos}


@pytest.fixture(scope="session")
def grouped(vocabulary: dict[str, Any]) -> dict[str, Any]:
    """3 layers x 6 heads that share 2 heads of keys and values."""
    return vocabulary | {
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 80,
        "max_position_embeddings": CONTEXT,
    }


@pytest.fixture(scope="session")
def small(
    tmp_path_factory: pytest.TempPathFactory, save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any]
) -> dict[str, Path]:
    """One checkpoint of 2 layers x 4 heads per swept family, by its Hugging Face type."""
    shape = vocabulary | {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "max_position_embeddings": CONTEXT,
    }
    configs = [
        GPT2Config(n_positions=CONTEXT, n_embd=24, n_layer=2, n_head=4, **vocabulary),
        GPTNeoXConfig(rotary_pct=2 / 3, **shape),
        LlamaConfig(num_key_value_heads=2, **shape),
        Qwen2Config(num_key_value_heads=2, **shape),
    ]
    root = tmp_path_factory.mktemp("small")
    return {config.model_type: save_checkpoint(config, root / config.model_type) for config in configs}


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any]
) -> Path:
    """A GPT-2 of 3 layers x 5 heads with biases and gains that are far from their defaults."""
    shape = {"n_positions": CONTEXT, "n_embd": 40, "n_layer": LAYERS, "n_head": HEADS}
    config = GPT2Config(**shape, **vocabulary)
    return save_checkpoint(config, tmp_path_factory.mktemp("subjects") / "odd")


@pytest.fixture(scope="session")
def odd(checkpoint: Path) -> Subject:
    """That GPT-2, loaded once: for tests that do not change it."""
    return load_subject(str(checkpoint))


@pytest.fixture(scope="session")
def embedded() -> Subject:
    """The embedded subject, loaded once: for tests that do not change it."""
    return load_subject()


@pytest.fixture(scope="session")
def neox_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any]
) -> Path:
    """A GPT-NeoX (Pythia's architecture) of 3 layers x 5 heads, rotary in half of each head."""
    config = GPTNeoXConfig(
        hidden_size=40,
        num_hidden_layers=3,
        num_attention_heads=5,
        intermediate_size=96,
        rotary_pct=0.5,
        max_position_embeddings=CONTEXT,
        **vocabulary,
    )
    return save_checkpoint(config, tmp_path_factory.mktemp("subjects") / "neox")


@pytest.fixture(scope="session")
def llama_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, save_checkpoint: SaveCheckpoint, grouped: dict[str, Any]
) -> Path:
    """A Llama of 3 layers x 6 heads that share 2 heads of keys and values."""
    return save_checkpoint(LlamaConfig(**grouped), tmp_path_factory.mktemp("subjects") / "llama")


@pytest.fixture(scope="session")
def qwen2_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, save_checkpoint: SaveCheckpoint, grouped: dict[str, Any]
) -> Path:
    """A Qwen2 of 3 layers x 6 heads that share 2 heads of keys and values, which have biases."""
    return save_checkpoint(Qwen2Config(**grouped), tmp_path_factory.mktemp("subjects") / "qwen2")


@pytest.fixture(scope="session")
def opt_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, save_checkpoint: SaveCheckpoint, tokenizer: PreTrainedTokenizerBase
) -> Path:
    """An OPT of 2 layers x 4 heads, which no decoder here describes."""
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=CONTEXT,
        word_embed_proj_dim=32,
    )
    return save_checkpoint(config, tmp_path_factory.mktemp("subjects") / "opt")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs are written to a folder of the test's own."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def make_run(elsewhere: Path) -> Callable[..., Run]:
    """A run of the embedded subject on its committed tables, cut to 32 rows: nothing is swept. (They are not the rows that 32
    prompts would have: those are drawn otherwise.)"""

    def make(**changes: object) -> Run:
        small = {"train_prompts": 32, "evaluation_prompts": 32, "episodes": 3, "seeds": 1, "steps": 400}
        mine, public = Run(Settings.of(small | changes), "runs/small"), Run()
        mine.folder.mkdir(parents=True)
        shutil.copy(public.folder / "subject.json", mine.folder)
        for suffix in (".csv", ".json"):
            shutil.copy(public.folder / f"tasks{suffix}", mine.folder)
        tasks = mine.folder / "tasks.csv"
        restamp(tasks, read_provenance(tasks) | {"ablation": mine.settings.ablation})
        parts: tuple[Part, ...] = get_args(Part)
        for name, part in product((*public.tasks, "control"), parts):
            if is_stored(public.table_path(name, part)):
                table, recipe = load_table(public.table_path(name, part)), mine.recipe(name, part)
                clean, damage = table.clean[: recipe.count], table.damage[: recipe.count]
                provenance = recipe.provenance(mine.card)
                save_table(DamageTable(clean, damage, provenance), mine.table_path(name, part))
        return mine

    return make


@pytest.fixture(scope="session")
def make_table() -> Callable[..., DamageTable]:
    """Tables of random damages, for tests of what only looks things up."""

    def make(name: str, prompts: int = 64, heads: int = 12, seed: int = 0, scale: float = 1.0) -> DamageTable:
        rng = np.random.default_rng([seed, *name.encode()])
        mean = scale * rng.exponential(size=heads)
        damage = torch.from_numpy(mean + 0.3 * rng.normal(size=(prompts, heads))).float()
        return DamageTable(torch.full((prompts,), 4.0), damage, {"task": name})

    return make


@pytest.fixture
def source(make_table: Callable[..., DamageTable]) -> TableEpisodes:
    return TableEpisodes([make_table("induction"), make_table("ioi")], make_table("control", scale=0.1))
