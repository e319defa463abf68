"""A subject: a language model, its tokenizer, and the convention under which its heads are ablated.

Any Hugging Face decoder checkpoint that TransformerLens' ``TransformerBridge`` loads is a subject: the embedded
``gpt2-mini``, a local directory, or a name on the hub, such as the paper's ``gpt2``. So is a bridge that is loaded
already.
"""

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import torch

from circuitlib.manifest import short_hash
from circuitlib.subjects.beginning import DEFAULT, NO_TOKEN, beginning_with
from circuitlib.subjects.card import Card, Convention, config_hash, fingerprint, hash_of_parts
from circuitlib.subjects.checkpoints import EMBEDDED, canonical_name, default_text, find_checkpoint
from circuitlib.subjects.types import Bridge, Tokenizer

FOLDING_TOLERANCE = 1e-4
"""Largest difference of log-probabilities before and after, as a share of the largest, that rounding explains."""

JUDGED = 16
"""Tokens on which a bridge is compared with the plain model, and with itself before its weights were folded."""

MASK = re.compile(r"(attn|attention)\.(bias|masked_bias|causal_mask)$|rotary_emb\.inv_freq$")
"""What older checkpoints of GPT-2, GPT-Neo, GPT-J, Pythia and the like hold besides weights; transformers makes its own."""

LOADING = threading.Lock()
"""transformers builds a model within a setting of the whole process: two loads at once break both."""


@dataclass(frozen=True)
class Subject:
    """A loaded model, its tokenizer, and the card that says what it is: see :class:`circuitlib.subjects.card.Card`
    for its properties."""

    card: Card
    bridge: Bridge
    tokenizer: Tokenizer

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def convention(self) -> Convention:
        return self.card.convention

    @property
    def layers(self) -> int:
        return self.card.layers

    @property
    def heads_per_layer(self) -> int:
        return self.card.heads_per_layer

    @property
    def heads(self) -> int:
        return self.card.heads

    def head_name(self, head: int) -> str:
        return self.card.head_name(head)

    def with_bos(self, bos: str) -> "Subject":
        """The same model, whose prompts begin with another token: its name, ``none``, or ``default`` as they do.
        Raises ``ValueError`` when there is no such token."""
        if bos == DEFAULT:
            return self
        return replace(self, card=replace(self.card, bos=bos), tokenizer=beginning_with(self.tokenizer, bos))


def _hashes_of_loaded(bridge: Bridge) -> dict[str, str]:
    def weights() -> Iterator[bytes]:
        for key, tensor in sorted(bridge.original_model.state_dict().items()):
            yield key.encode()
            yield tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()

    tokenizer = getattr(bridge.tokenizer, "backend_tokenizer", None)
    described = tokenizer.to_str() if tokenizer else json.dumps(bridge.tokenizer.get_vocab(), sort_keys=True)
    return {
        "weights": hash_of_parts(weights()),
        "config": config_hash(bridge.original_model.config.to_dict()),
        "tokenizer": short_hash(described.encode()),
    }


def refuse_device(device: torch.device | str) -> None:
    """Raise ``ValueError`` for a device on which nothing here has been tried, or that is not here."""
    kind = str(device).partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, not {str(device)!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {str(device)!r}: this torch finds no CUDA device; use cpu")


def _refuse_not_finite(bridge: Bridge, name: str) -> None:
    for weight, tensor in bridge.original_model.named_parameters():
        if not tensor.isfinite().all():
            weight = weight.replace("_original_component.", "")
            raise ValueError(f"the weights {weight} of {name} hold values that are not finite")


def subject_of(bridge: Bridge, name: str | None = None, hashes: Mapping[str, str] | None = None) -> Subject:
    """A subject of a bridge that is loaded already, on whatever device, in whatever precision.

    name: of the subject, by default the bridge's own; results are of its last part. hashes: those of the card, where
    they are known already; otherwise of what is loaded, as it is now: a folded bridge has not those of its checkpoint.
    The convention is ``folded`` when compatibility mode has processed the bridge's weights, and ``raw`` otherwise:
    compatibility mode with ``no_processing`` names hooks and folds nothing.

    The bridge is not changed. Raises ``ValueError`` when it has no tokenizer, is neither on a processor nor on
    CUDA, is in training mode, where dropout would be taken for damage, has weights that are not finite, or does not compute what
    the model does.
    """
    refuse_device(bridge.W_E.device)
    _refuse_not_finite(bridge, name or bridge.cfg.model_name)
    if not getattr(bridge.original_model.config, "scale_attn_weights", True):
        raise ValueError(
            "TransformerLens scales attention weights although this model's scale_attn_weights is false, so "
            "what it computes is another model"
        )
    if bridge.tokenizer is None:
        raise ValueError("the bridge has no tokenizer; the tasks' prompts are made with it")
    if bridge.training or bridge.original_model.training:
        raise ValueError("the bridge is in training mode; call its eval() first")
    # The public flag is set with and without folding; which of the two only the private one tells.
    folded = getattr(bridge, "_weights_processed", bridge.compatibility_mode)
    name = name or bridge.cfg.model_name
    card = Card(
        name=PurePosixPath(name).name,
        convention="folded" if folded else "raw",
        layers=int(bridge.cfg.n_layers),
        heads_per_layer=int(bridge.cfg.n_heads),
        bos=bridge.tokenizer.bos_token or NO_TOKEN,
        control_text=default_text(name),
        **(hashes or _hashes_of_loaded(bridge)),
    )
    return Subject(card, bridge, bridge.tokenizer)


@torch.inference_mode()
def _predictions(model: Any, vocabulary: int, context: int) -> torch.Tensor:
    """Log-probabilities of a bridge, or of a plain model."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (1, min(JUDGED, context)), generator=generator)
    logits = model(tokens.to(next(model.parameters()).device))
    return getattr(logits, "logits", logits).log_softmax(-1)


def _refuse_difference(ours: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    difference = ((ours.cpu() - theirs.cpu()).abs().max() / theirs.abs().max()).item()
    if not difference <= FOLDING_TOLERANCE:
        raise ValueError(f"{what}: log-probabilities differ by {difference:.1e} of the largest")


def _plain_model(directory: Path) -> Any:
    """The Hugging Face model of a checkpoint whose weights are those that its ``config.json`` describes. Raises ``ValueError`` for any
    other: transformers puts values of its own in the place of weights that are missing, and ignores those that it does not expect."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    try:
        plain, keys = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (ArithmeticError, LookupError, RuntimeError, StrictDataclassError) as error:
        raise ValueError(
            f"transformers makes no model of {directory} ({type(error).__name__}: {error}); its config.json must be the one that "
            "its weights were saved with, and all of them must be there"
        ) from error
    shapes = [f"{key} {tuple(there)}, not {tuple(wanted)}" for key, there, wanted in keys["mismatched_keys"]]
    wrong = {
        "missing": keys["missing_keys"],
        "unexpected": [key for key in keys["unexpected_keys"] if not MASK.search(key)],
        "of another shape": shapes,
    }
    if said := [f"{what}: {_some(names)}" for what, names in wrong.items() if names]:
        raise ValueError(
            f"the weights in {directory} are not those that its config.json describes ({'; '.join(said)}), so what is measured would be "
            "another model; a subject needs all the weights of a causal language model, its head for logits too, and their config.json"
        )
    return plain.eval()


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _judged_bridge(name: str, directory: Path, device: str) -> Bridge:
    """A checkpoint's bridge. The plain Hugging Face model is the judge of what TransformerLens makes of it."""
    from transformer_lens.model_bridge import TransformerBridge

    plain = _plain_model(directory)
    try:
        bridge = TransformerBridge.boot_transformers(str(directory), dtype=torch.float32, device=device)
    except AssertionError as error:  # of a variant that it does not know, such as a GPT-NeoX without biases
        reason = str(error) or "an assertion of its own fails"
        raise ValueError(f"TransformerLens does not load {name}: {reason}") from error
    bridge.eval().requires_grad_(False)
    _refuse_not_finite(bridge, str(directory))
    sizes = len(bridge.W_E), int(bridge.cfg.n_ctx)
    what = f"TransformerLens does not compute what the model in {directory} does, so damages would be those of another model"
    _refuse_difference(_predictions(bridge, *sizes), _predictions(plain, *sizes), what)
    return bridge


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """A setting of the whole process, as it was before once the block ends."""
    from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _fold(bridge: Bridge) -> None:
    sizes = len(bridge.W_E), int(bridge.cfg.n_ctx)
    before = _predictions(bridge, *sizes)
    bridge.enable_compatibility_mode()
    bridge.requires_grad_(False)
    # TransformerLens 4.3.0 takes a square MLP weight for its transpose, for one.
    what = "TransformerLens changes this model when it folds its weights; take the convention raw"
    _refuse_difference(_predictions(bridge, *sizes), before, what)


def load_subject(
    name: str | Path = EMBEDDED,
    convention: Convention = "folded",
    device: torch.device | str = "cpu",
    bos: str = DEFAULT,
) -> Subject:
    """Load a subject in float32: the embedded one, a local directory, or a name on the hub.

    name: see :func:`find_checkpoint`; a path may be a ``Path``. device: ``cpu``, or ``cuda`` where there is CUDA.
    bos: what prompts begin with, see :meth:`Subject.with_bos`.
    Raises ``TypeError`` for a name that is neither a string nor a path, ``ValueError`` for an unknown convention, a device that is not
    there, weights that are not those that the configuration describes, or not finite, or a model that TransformerLens runs otherwise than
    transformers, or changes when it folds its weights, and what :func:`subject_of` and :func:`find_checkpoint` raise.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"a subject is a name, a folder or a Path, not {type(name).__name__} {name!r}")
    name = str(name)
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be one of {get_args(Convention)}, not {convention!r}")
    refuse_device(device)
    directory = find_checkpoint(name)
    with LOADING, _without_progress_bars():
        bridge = _judged_bridge(name, directory, str(device))
        if convention == "folded":
            _fold(bridge)
    subject = subject_of(bridge, canonical_name(name), fingerprint(directory))
    return subject.with_bos(bos)
