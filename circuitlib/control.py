"""Control text: spans of natural English on which ablating a head should do little.

General damage is the rise of the mean next-token cross-entropy (nats) on spans of 60 tokens, BOS first
(MechRL, arXiv 2605.26343). The paper's text is WikiText-2; here it is the held-out prose of
:mod:`circuitlib.corpus`, and results say so.
"""

from functools import cache
from itertools import chain
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from circuitlib.corpus import prose_paragraphs

SPAN = 60
CONTROL = "control"
Part = Literal["train", "evaluation"]


@cache
def _held_out() -> list[str]:
    return prose_paragraphs("held_out")


def control_spans(
    tokenizer: PreTrainedTokenizerBase, count: int, seed: int, part: Part
) -> Int[Tensor, "spans pos"]:
    """``count`` different spans of ``SPAN`` tokens, BOS first, in an order drawn with ``seed``.

    The text is cut into consecutive spans; even ones are for training, odd ones for evaluation, so
    that the two never share a token. Raises ``ValueError`` when the text has too few spans.
    """
    bos = tokenizer.bos_token_id
    encodings = tokenizer(_held_out(), add_special_tokens=False, verbose=False)["input_ids"]
    stream = np.fromiter(chain.from_iterable([bos, *ids] for ids in encodings), dtype=np.int64)
    spans = stream[: len(stream) // (SPAN - 1) * (SPAN - 1)].reshape(-1, SPAN - 1)
    spans = spans[(0 if part == "train" else 1) :: 2]
    if not 1 <= count <= len(spans):
        raise ValueError(
            f"count must be between 1 and {len(spans)}, the spans there are, not {count}"
        )
    picked = np.random.default_rng(seed).permutation(len(spans))[:count]
    rows = np.concatenate([np.full((count, 1), bos), spans[picked]], axis=1)
    return torch.from_numpy(rows)
