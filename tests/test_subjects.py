"""Loading: the embedded subject, local directories, and what cannot be found."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from conftest import SaveCheckpoint
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    GPTNeoConfig,
    GPTNeoXConfig,
    MixtralConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from circuitlib import __main__ as command
from circuitlib import head_damage
from circuitlib.manifest import StaleResult, as_json
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.card import Card, Convention, fingerprint
from circuitlib.subjects.checkpoints import canonical_name
from circuitlib.subjects.load import Subject, load_subject, subject_of
from circuitlib.tasks import TASKS


def test_embedded_subject_has_the_papers_action_space(embedded: Subject) -> None:
    subject = embedded
    assert (subject.layers, subject.heads_per_layer, subject.heads) == (12, 12, 144)
    assert subject.head_name(9 * 12 + 6) == "L9.H6"
    assert sum(f.stat().st_size for f in (SUBJECTS / "gpt2-mini").rglob("*")) < 20e6


@pytest.mark.parametrize("convention", ["folded", "raw"])
@pytest.mark.parametrize("family", ["checkpoint", "neox_checkpoint", "llama_checkpoint", "qwen2_checkpoint"])
def test_conventions_do_not_change_the_model(
    family: str, convention: Convention, request: pytest.FixtureRequest
) -> None:
    """The bridge's predictions are the Hugging Face model's; its logits only up to a shift a position."""
    directory = request.getfixturevalue(family)
    subject = load_subject(str(directory), convention)
    reference = AutoModelForCausalLM.from_pretrained(directory).eval()
    tokens = TASKS["docstring"].prompts(subject.tokenizer, 3, 0)[0].tokens
    with torch.inference_mode():
        ours, theirs = subject.bridge(tokens), reference(tokens).logits
    assert theirs.std() > 0.1
    assert_close(ours.log_softmax(-1), theirs.log_softmax(-1), atol=2e-5, rtol=1e-5)
    if convention == "raw":
        assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_a_card_names_the_checkpoint_and_the_convention(checkpoint: Path, odd: Subject, embedded: Subject) -> None:
    raw, folded = load_subject(str(checkpoint), "raw").card, odd.card
    assert raw == replace(folded, convention="raw")
    assert raw.bos == "<|endoftext|>"
    other = embedded.card
    assert other.weights != raw.weights
    assert (other.layers, other.heads_per_layer, other.heads) == (12, 12, 144)


def _edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "change", "differs"),
    [
        ("config.json", lambda c: c.update(n_head=4), {"config"}),
        ("config.json", lambda c: c.update(activation_function="relu"), {"config"}),
        ("config.json", lambda c: c.update(transformers_version="0"), set()),
        ("tokenizer.json", lambda c: c["model"]["vocab"].update({"Ġthe": 5}), {"tokenizer"}),
        ("tokenizer_config.json", lambda c: c.update(add_prefix_space=True), {"tokenizer"}),
        ("tokenizer_config.json", lambda c: c.update(tokenizer_class="GPT2Tokenizer"), {"tokenizer"}),
        ("tokenizer_config.json", lambda c: c.update(model_max_length=5, chat_template="{{ x }}"), set()),
    ],
)
def test_what_changes_a_subject_changes_its_card(
    file: str, change: Callable[[dict[str, Any]], object], differs: set[str], checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    before = fingerprint(tmp_path / "copy")
    assert before == fingerprint(checkpoint)
    _edited(tmp_path / "copy" / file, change)
    after = fingerprint(tmp_path / "copy")
    assert {name for name in before if before[name] != after[name]} == differs


def test_one_weight_changes_the_card_and_shards_do_not(checkpoint: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    for name, size in (("whole", "1GB"), ("shards", "60KB")):
        model.save_pretrained(tmp_path / name, max_shard_size=size)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    whole, shards = (fingerprint(tmp_path / name)["weights"] for name in ("whole", "shards"))
    assert whole == shards == fingerprint(checkpoint)["weights"]
    model.transformer.h[2].mlp.c_fc.weight.data[3, 4] += 1e-3
    for file in checkpoint.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "whole")
    before = fingerprint(tmp_path / "whole")
    model.save_pretrained(tmp_path / "whole")
    after = fingerprint(tmp_path / "whole")
    assert {name for name in before if before[name] != after[name]} == {"weights"}


def test_a_card_is_read_as_it_was_written_or_refused(checkpoint: Path, tmp_path: Path) -> None:
    card, path = load_subject(str(checkpoint)).card, tmp_path / "subject.json"
    path.write_text(as_json(card.record()))
    assert Card.read(path) == card
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        content = bytearray(whole)
        content[at] ^= 0x10
        path.write_bytes(content)
        found: Card | None = None
        with suppress(StaleResult):
            found = Card.read(path)
        assert found != card, "corrupt, or another card, which its results do not fit"


def test_checkpoints_are_found_without_torch() -> None:
    program = "import sys, circuitlib.subjects.checkpoints; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_bridge_that_is_loaded_already(checkpoint: Path) -> None:
    bridge = TransformerBridge.boot_transformers(str(checkpoint), dtype=torch.float32, device="cpu")
    raw = subject_of(bridge)
    assert (raw.name, raw.convention) == ("odd", "raw")
    bridge.enable_compatibility_mode(no_processing=True)
    assert subject_of(bridge).convention == "raw"
    bridge.process_weights()
    folded = subject_of(bridge, "mine")
    assert (folded.name, folded.convention) == ("mine", "folded")
    assert folded.card.weights != raw.card.weights


@pytest.mark.parametrize("convention", ["folded", "raw"])
def test_a_loaded_subjects_bridge_is_the_same_subject(checkpoint: Path, convention: Convention) -> None:
    subject = load_subject(str(checkpoint), convention)
    again = subject_of(subject.bridge)
    assert (again.name, again.convention) == (subject.name, convention)


def test_a_half_precision_bridge_is_a_subject(checkpoint: Path) -> None:
    bridge = TransformerBridge.boot_transformers(str(checkpoint), dtype=torch.bfloat16, device="cpu")
    assert subject_of(bridge).card.weights != load_subject(str(checkpoint)).card.weights


def test_a_bridge_in_training_mode_is_refused(checkpoint: Path) -> None:
    bridge = TransformerBridge.boot_transformers(str(checkpoint), dtype=torch.float32, device="cpu")
    bridge.train()
    with pytest.raises(ValueError, match=r"training mode; call its eval\(\)"):
        subject_of(bridge)


def test_loading_leaves_settings_of_the_process_as_they_were(checkpoint: Path) -> None:
    shown = is_progress_bar_enabled()
    for change, wanted in ((enable_progress_bar, True), (disable_progress_bar, False)):
        change()
        load_subject(checkpoint, device=torch.device("cpu"))
        assert is_progress_bar_enabled() == wanted
    if shown:
        enable_progress_bar()


def _assert_without_words(*arguments: Any, **named: Any) -> None:
    raise AssertionError


def test_what_transformer_lens_asserts_is_one_sentence(
    save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GPTNeoXConfig(
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        attention_bias=False,
        **vocabulary,
    )
    directory = save_checkpoint(config, tmp_path)
    with pytest.raises(ValueError, match="TransformerLens does not load"):
        load_subject(directory)
    monkeypatch.setattr(TransformerBridge, "boot_transformers", _assert_without_words)
    with pytest.raises(ValueError, match=r"TransformerLens does not load .*: an assertion of its own fails"):
        load_subject(directory)


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="convention must be one of"):
        load_subject("gpt2-mini", "centred")  # type: ignore[arg-type]


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="device must be cpu or cuda, not 'tpu'"):
        load_subject(device="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda:0': this torch finds no CUDA device"):
        load_subject(device="cuda:0")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_subject_on_cuda_is_the_same_subject(checkpoint: Path) -> None:
    here, there = load_subject(str(checkpoint)), load_subject(str(checkpoint), device="cuda")
    assert here.card.weights == there.card.weights
    tokens = TASKS["ioi"].prompts(here.tokenizer, 3, 0)[0].tokens
    with torch.inference_mode():
        assert_close(here.bridge(tokens), there.bridge(tokens.cuda()).cpu(), atol=1e-3, rtol=1e-3)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def _put_in_cache(checkpoint: Path, repository: Path) -> Path:
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(checkpoint, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_cached_name_on_the_hub_loads_offline(checkpoint: Path, hub_cache: Path) -> None:
    _put_in_cache(checkpoint, hub_cache / "models--somebody--odd-gpt2")
    subject = load_subject("somebody/odd-gpt2")
    assert subject.name == "odd-gpt2"
    assert subject.card.weights == load_subject(str(checkpoint)).card.weights


def test_half_a_cached_checkpoint_is_not_one(checkpoint: Path, hub_cache: Path) -> None:
    snapshot = _put_in_cache(checkpoint, hub_cache / "models--somebody--odd-gpt2")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="not whole in the Hugging Face cache"):
        load_subject("somebody/odd-gpt2")


@pytest.mark.parametrize(("name", "size"), [("gpt2", "548 MB"), ("no-such-model", "its size is on that page")])
@pytest.mark.usefixtures("hub_cache")
def test_unknown_subject_says_what_to_download_and_where_to_put_it(name: str, size: str) -> None:
    began = time.monotonic()
    with pytest.raises(FileNotFoundError) as refused:
        load_subject(name)
    assert time.monotonic() - began < 5
    for part in (
        f"no subject '{name}'",
        "config.json",
        f"model.safetensors ({size})",
        "tokenizer.json (or vocab.json and merges.txt)",
        f"https://huggingface.co/{name} ",
        f"data/subjects/{name}/",
        "any directory",
        "HF_HUB_OFFLINE",
    ):
        assert part in str(refused.value)


def test_a_directory_that_is_no_checkpoint_is_not_looked_for_on_the_hub(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no config\.json in"):
        load_subject(str(tmp_path))
    shutil.copytree(checkpoint, tmp_path / "half")
    (tmp_path / "half" / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no whole checkpoint, it lacks tokenizer\.json"):
        load_subject(str(tmp_path / "half"))


def test_shards_are_looked_for(checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "sharded"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    model.save_pretrained(directory, max_shard_size="60KB")
    for file in checkpoint.glob("tokenizer*"):
        shutil.copy(file, directory)
    assert load_subject(str(directory)).card.weights == load_subject(str(checkpoint)).card.weights
    next(iter(sorted(directory.glob("model-*.safetensors")))).unlink()
    with pytest.raises(FileNotFoundError, match=r"it lacks model-00001-of-000\d\d\.safetensors"):
        load_subject(str(directory))


def test_one_name_for_one_subject(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert canonical_name("gpt2") == "gpt2"
    assert canonical_name(str(SUBJECTS / "gpt2-mini")) == "gpt2-mini"
    monkeypatch.chdir(checkpoint.parent)
    assert canonical_name("odd") == canonical_name("./odd") == str(checkpoint)
    shutil.copytree(checkpoint, checkpoint.parent / "gpt2-mini")
    assert canonical_name("gpt2-mini") == "gpt2-mini"
    assert canonical_name("./gpt2-mini") == str(checkpoint.parent / "gpt2-mini")


@pytest.mark.parametrize(
    ("task", "bar"),
    [
        ("induction", 0.9),
        ("ioi", 0.9),
        ("docstring", 0.9),
        ("greater_than", 0.85),
        ("pronoun", 0.85),
        ("agreement", 0.85),
    ],
)
def test_embedded_subject_does_the_task(task: str, bar: float, embedded: Subject) -> None:
    """A quick look with few prompts; notebook 01 has the numbers."""
    right = total = 0
    for prompts in TASKS[task].prompts(embedded.tokenizer, 96, seed=5):
        with torch.inference_mode():
            logits = embedded.bridge(prompts.tokens)[:, -1]
        score = TASKS[task].metric.function(logits.gather(1, prompts.candidates), logits.logsumexp(-1), prompts.signs)
        right, total = right + int((score > 0).sum()), total + len(prompts)
    assert right / total >= bar


def test_loads_at_once_are_loads_in_turn(checkpoint: Path, llama_checkpoint: Path) -> None:
    places = [str(checkpoint), str(llama_checkpoint)]
    with ThreadPoolExecutor(4) as pool:
        cards = [subject.card for subject in pool.map(load_subject, places * 2)]
    after = [load_subject(place) for place in places]
    assert cards == [subject.card for subject in after] * 2
    assert {subject.bridge.W_E.device.type for subject in after} == {"cpu"}


def test_a_folding_that_changes_the_model_is_refused(
    save_checkpoint: SaveCheckpoint, vocabulary: dict[str, Any], tmp_path: Path
) -> None:
    """TransformerLens takes a square MLP weight for its transpose."""
    config = GPTNeoXConfig(
        hidden_size=40,
        num_hidden_layers=1,
        num_attention_heads=5,
        intermediate_size=40,
        rotary_pct=0.5,
        use_parallel_residual=False,
        **vocabulary,
    )
    save_checkpoint(config, tmp_path)
    with pytest.raises(ValueError, match="changes this model when it folds its weights"):
        load_subject(str(tmp_path))
    assert load_subject(str(tmp_path), "raw").convention == "raw"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value: float, checkpoint: Path, tmp_path: Path) -> None:
    """And no architecture is blamed for them; in a bridge in hand too."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    model.transformer.h[1].mlp.c_fc.weight.data[0, 0] = value
    directory = shutil.copytree(checkpoint, tmp_path / "odd")
    model.save_pretrained(directory)
    for convention in get_args(Convention):
        with pytest.raises(ValueError, match=r"the weights .*1\.mlp.* of .*odd hold values that are not finite"):
            load_subject(str(directory), convention)
    bridge = load_subject(str(checkpoint), "raw").bridge
    next(iter(bridge.original_model.parameters())).data.view(-1)[0] = value
    with pytest.raises(ValueError, match="hold values that are not finite"):
        subject_of(bridge)


def test_the_plain_model_is_the_judge_of_a_bridge(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge that computes another model than transformers is refused, whatever its configuration says."""
    usual = TransformerBridge.boot_transformers

    def other(*arguments: Any, **named: Any) -> TransformerBridge:
        bridge = usual(*arguments, **named)
        bridge.blocks[1].mlp.register_forward_hook(lambda module, inputs, output: 1.5 * output)
        return bridge

    monkeypatch.setattr(TransformerBridge, "boot_transformers", other)
    with pytest.raises(ValueError, match=r"does not compute what the model in .* does"):
        load_subject(str(checkpoint))


# Weights that are not those of config.json --------------------------------------------------------


def _with_weights(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    weights = load_file(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


NORMS = {
    "gpt2": ("transformer.ln_f.weight", "transformer.h.1.ln_1.bias"),
    "gpt_neox": ("gpt_neox.final_layer_norm.weight", "gpt_neox.layers.1.input_layernorm.bias"),
    "llama": ("model.norm.weight", "model.layers.1.input_layernorm.weight"),
    "qwen2": ("model.norm.weight", "model.layers.1.input_layernorm.weight"),
}
MORE = {
    "gpt2": ("transformer.h.1.attn.gate.weight",),
    "gpt_neox": ("gpt_neox.layers.1.attention.gate.weight",),
    "llama": ("model.layers.1.self_attn.q_proj.bias", "model.layers.1.mlp.up_proj.bias"),
    "qwen2": ("model.layers.1.self_attn.o_proj.bias",),
}


@pytest.mark.parametrize(("family", "key"), [(family, key) for family, keys in NORMS.items() for key in keys])
def test_a_weight_that_is_missing_is_named(family: str, key: str, small: dict[str, Path], tmp_path: Path) -> None:
    """transformers puts ones or zeros in its place, twice the same."""
    directory = shutil.copytree(small[family], tmp_path / "odd")
    _with_weights(directory, lambda weights: weights.pop(key))
    with pytest.raises(ValueError, match=rf"odd are not those that its config.json describes \(missing: {key}\), so"):
        load_subject(directory)


@pytest.mark.parametrize(("family", "key"), [(family, key) for family, keys in MORE.items() for key in keys])
def test_a_weight_that_is_not_expected_is_named(family: str, key: str, small: dict[str, Path], tmp_path: Path) -> None:
    directory = shutil.copytree(small[family], tmp_path / "odd")
    _with_weights(directory, lambda weights: weights.update({key: torch.ones(24)}))
    with pytest.raises(ValueError, match=rf"describes \(unexpected: {key}\), so"):
        load_subject(directory)


@pytest.mark.parametrize("family", NORMS)
@pytest.mark.parametrize(("layers", "said"), [(1, "unexpected: .*1"), (3, "missing: .*2")])
def test_another_number_of_layers_is_refused(
    family: str, layers: int, said: str, small: dict[str, Path], tmp_path: Path
) -> None:
    directory = shutil.copytree(small[family], tmp_path / "odd")
    name = "n_layer" if family == "gpt2" else "num_hidden_layers"
    _edited(directory / "config.json", lambda config: config.update({name: layers, "layer_types": None}))
    with pytest.raises(ValueError, match=rf"describes \({said}.* and \d+ more\), so"):
        load_subject(directory)


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("gpt2", {"n_positions": 64}, r"of another shape: transformer\.wpe\.weight \(96, 24\), not \(64, 24\)"),
        ("llama", {"num_key_value_heads": 4}, r"of another shape: .*k_proj\.weight \(12, 24\), not \(24, 24\)"),
        ("gpt2", {"activation_function": "no such"}, "transformers makes no model of .*KeyError: 'no such'"),
        ("gpt2", {"n_embd": "24"}, "transformers makes no model of .*n_embd"),
    ],
)
def test_another_configuration_is_refused_in_one_line(
    family: str,
    change: dict[str, Any],
    said: str,
    small: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = shutil.copytree(small[family], tmp_path / "odd")
    _edited(directory / "config.json", lambda config: config.update(change))
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("text,right,wrong\nThe, a, b\n")
    with pytest.raises(ValueError, match=said):
        load_subject(directory)
    capsys.readouterr()
    assert command.main(["head-damage", str(directory), str(prompts)]) == 2
    assert re.search(said, capsys.readouterr().err.splitlines()[-1])


def test_experts_that_are_not_all_there_are_refused(
    save_checkpoint: SaveCheckpoint, grouped: dict[str, Any], tmp_path: Path
) -> None:
    """transformers joins them when it loads them."""
    save_checkpoint(MixtralConfig(num_local_experts=2, **grouped), tmp_path)
    _with_weights(tmp_path, lambda weights: weights.pop(next(key for key in weights if "experts.0" in key)))
    with pytest.raises(ValueError, match="transformers makes no model of"):
        load_subject(tmp_path)


@pytest.mark.parametrize("family", ["gpt_neox", "llama"])
def test_a_model_without_a_head_for_logits_is_refused(
    family: str, small: dict[str, Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    model = AutoModel.from_pretrained(small[family])
    with pytest.raises(ValueError, match=r"missing: (lm_head|embed_out)\.weight\).*its head for logits"):
        head_damage((model, tokenizer), [("The", " a", " of")])


BUFFERS = {
    "gpt2": ("transformer.h.0.attn.bias", "transformer.h.0.attn.masked_bias"),
    "gpt_neox": ("gpt_neox.layers.0.attention.bias", "gpt_neox.layers.0.attention.rotary_emb.inv_freq"),
    "llama": ("model.layers.0.self_attn.rotary_emb.inv_freq",),
    "qwen2": ("model.layers.0.self_attn.rotary_emb.inv_freq",),
    "gpt_neo": ("transformer.h.0.attn.attention.bias", "transformer.h.0.attn.attention.masked_bias"),
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", BUFFERS)
def test_whole_checkpoints_are_taken_however_they_were_saved(
    family: str,
    tied: bool,
    small: dict[str, Path],
    save_checkpoint: SaveCheckpoint,
    vocabulary: dict[str, Any],
    tmp_path: Path,
) -> None:
    """With a head that is the embedding or is not, as safetensors or as torch saves, and with what older versions kept besides."""
    if family == "gpt_neo":
        shape: dict[str, Any] = {"hidden_size": 24, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 96}
        config = GPTNeoConfig(attention_types=[[["global", "local"], 1]], **shape, **vocabulary)
    else:
        config = AutoModelForCausalLM.from_pretrained(small[family]).config
    config.tie_word_embeddings = tied
    directory = save_checkpoint(config, tmp_path / "new")
    old = shutil.copytree(directory, tmp_path / "old")
    (old / "model.safetensors").unlink()
    weights = AutoModelForCausalLM.from_pretrained(directory).state_dict()
    torch.save(weights | {key: torch.ones(1) for key in BUFFERS[family]}, old / "pytorch_model.bin")
    new, same = load_subject(directory, "raw"), load_subject(old, "raw")
    tokens = torch.arange(1, 20)[None]
    with torch.inference_mode():
        assert_close(new.bridge(tokens), same.bridge(tokens))


def test_a_path_is_a_name_and_nothing_else_is(checkpoint: Path) -> None:
    assert load_subject(checkpoint).card == load_subject(str(checkpoint)).card
    for name in (None, 5, b"gpt2-mini"):
        with pytest.raises(TypeError, match="a subject is a name, a folder or a Path, not"):
            load_subject(name)  # type: ignore[arg-type]
