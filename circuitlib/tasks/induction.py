"""Induction: a random sequence starts with A B and ends with A; what comes next is B.

After Olsson et al. 2022, "In-context Learning and Induction Heads"; the layout BOS A B, 57 random
tokens, A is that of MechRL (arXiv 2605.26343). The random tokens are whole words of the subject's
vocabulary, all different, so that only position and identity can give the answer away.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, pick, single_token_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILLER = 57
MIN_VOCABULARY, MAX_VOCABULARY = 256, 512


@cache
def whole_words(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The first ``MAX_VOCABULARY`` whole-word tokens in order of token id: a space and at least three
    lower-case letters. Raises ``ValueError`` when there are fewer than ``MIN_VOCABULARY``."""
    texts = (tokenizer.decode([i]) for i in range(len(tokenizer)))
    written = [
        text[1:]
        for text in texts
        if len(text) >= 4 and text[0] == " " and text[1:].isascii() and text[1:].islower() and text[1:].isalpha()
    ]
    words = single_token_words(tokenizer, list(dict.fromkeys(written)), at_least=0)
    if len(words) < MIN_VOCABULARY:
        raise ValueError(f"induction needs {MIN_VOCABULARY} whole-word tokens; this tokenizer has {len(words)}")
    return words[:MAX_VOCABULARY]


def example(tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> Example:
    """One prompt; the wrong answer is one of the random words in between, not A or B."""
    words = whole_words(tokenizer)
    drawn = [words[i] for i in rng.choice(len(words), size=FILLER + 2, replace=False)]
    first, second, *filler = drawn
    text = " " + " ".join([first, second, *filler, first])
    wrong = pick(rng, filler)
    roles = {"A1": len(first), "B": len(first) + 1 + len(second), "A2": len(text) - 1}
    return Example(text, " " + second, [" " + second, " " + wrong], [1.0, -1.0], roles)


def counterfactual(tokenizer: PreTrainedTokenizerBase, example: Example, rng: np.random.Generator) -> str:
    """Another word in place of B, one that is not in the prompt: the repeat of A says nothing of B."""
    there = set(example.text.split())
    return example.with_words({"B": pick(rng, [word for word in whole_words(tokenizer) if word not in there])})


INDUCTION = Task(
    "induction",
    "A B ... A is followed by B",
    "Olsson et al. 2022; MechRL, arXiv 2605.26343",
    LOGIT_DIFFERENCE,
    example,
    counterfactual,
)
