"""Control text: spans of natural English on which ablating a head should do little.

General damage is the rise of the mean next-token cross-entropy (nats) on spans of 60 tokens, BOS first (MechRL,
arXiv:2605.26343v1). There are two texts. ``docstrings`` is the held-out prose of :mod:`circuitlib.tasks.prose`, which
everyone has; the embedded subject was trained on the rest of it. ``wikitext-2`` is the paper's: WikiText-2 raw v1
(Merity et al. 2016, arXiv 1609.07843), its training part, from the Hugging Face hub. Results say which.
"""

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from circuitlib.paths import CACHE, in_checkout
from circuitlib.subjects import hub
from circuitlib.subjects.beginning import beginning
from circuitlib.subjects.checkpoints import Text
from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks.base import refuse_count
from circuitlib.tasks.prose import SPAN, encode_prose, prose_paragraphs

Part = Literal["train", "evaluation"]

WIKITEXT_REPOSITORY = "Salesforce/wikitext"
WIKITEXT_FILE = "wikitext-2-raw-v1/train-00000-of-00001.parquet"


def _wikitext_path() -> Path:
    local = CACHE / WIKITEXT_FILE
    if local.is_file():
        return local
    if path := hub.cached(WIKITEXT_REPOSITORY, WIKITEXT_FILE, "dataset"):
        return path
    try:
        return hub.download(WIKITEXT_REPOSITORY, lambda files: [WIKITEXT_FILE], "dataset") / WIKITEXT_FILE
    except hub.HubUnavailable as error:
        place = f"put it at data/cache/{WIKITEXT_FILE} of the checkout, or " if in_checkout() else ""
        raise FileNotFoundError(
            f"no control text wikitext-2: it is neither at data/cache/{WIKITEXT_FILE} nor in the Hugging Face cache, "
            f"and the hub did not provide it ({error}). Download {WIKITEXT_FILE} (6.4 MB) from "
            f"https://huggingface.co/datasets/{WIKITEXT_REPOSITORY} and {place}have it in the Hugging Face cache; "
            "or choose the control text docstrings"
        ) from error


@cache
def control_paragraphs(text: Text) -> list[str]:
    """The paragraphs of a control text, in order. Of WikiText-2 that is every row that is neither empty nor a heading.

    Raises ``ValueError`` for an unknown text, or a file that is cut short, and ``FileNotFoundError``, saying what to download and where to put it,
    when the text is not here and cannot be had.
    """
    if text not in get_args(Text):
        raise ValueError(f"control text must be one of {get_args(Text)}, not {text!r}")
    if text == "docstrings":
        return prose_paragraphs("held_out")
    import pandas as pd  # slow to import, and needed here only

    path = _wikitext_path()
    try:
        rows = [row.strip() for row in pd.read_parquet(path, columns=["text"])["text"]]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); put the whole file there") from error
    return [row for row in rows if row and not re.fullmatch(r"= .* =", row)]


@lru_cache(maxsize=4)
def _cut_text(tokenizer: Tokenizer, text: Text) -> np.ndarray:
    """A text as consecutive spans ``[spans, SPAN - 1]``, each paragraph after a BOS."""
    stream = encode_prose(tokenizer, control_paragraphs(text))
    return stream[: len(stream) // (SPAN - 1) * (SPAN - 1)].reshape(-1, SPAN - 1)


def control_spans(
    tokenizer: Tokenizer, count: int, seed: int, part: Part, text: Text = "docstrings"
) -> Int[Tensor, "spans pos"]:
    """``count`` different spans of ``SPAN`` tokens, BOS among them and first, in an order drawn with ``seed``.

    The text is cut into consecutive spans; even ones are for training, odd ones for evaluation, so that the two never
    share a token. Raises ``ValueError`` for another part, or when the text has too few spans, and what :func:`control_paragraphs` raises: one
    text never stands in for another.
    """
    if part not in get_args(Part):
        raise ValueError(f"part must be one of {get_args(Part)}, not {part!r}")
    refuse_count(count, seed)
    spans = _cut_text(tokenizer, text)[(0 if part == "train" else 1) :: 2]
    if not 1 <= count <= len(spans):
        raise ValueError(f"count must be between 1 and {len(spans)}, the spans there are, not {count}")
    picked = np.random.default_rng(seed).permutation(len(spans))[:count]
    first = np.array([beginning(tokenizer)] * count, dtype=np.int64).reshape(count, -1)
    rows = np.concatenate([first, spans[picked]], axis=1)
    return torch.from_numpy(rows)


def other_spans(spans: Int[Tensor, "spans pos"]) -> Int[Tensor, "spans pos"]:
    """For each span another one of them: the counterfactuals of a ``resample`` ablation.

    Raises ``ValueError`` for a single span, whose only counterfactual would be itself.
    """
    if len(spans) < 2:
        raise ValueError(
            "a resample ablation takes another span of the control text, and there is only one: take two at least"
        )
    return spans.roll(1, 0)
