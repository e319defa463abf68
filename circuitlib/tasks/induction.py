"""Induction: a random sequence starts with A B and ends with A; what comes next is B.

After Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv 2209.11895; the layout BOS A B, 57 random tokens, A is that of
MechRL (arXiv:2605.26343v1). The random tokens are whole words of the subject's vocabulary, all different, so that only
position and identity can give the answer away.
"""

import re
from functools import cache

from numpy.random import Generator

from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, pick, single_token_words

FILLER = 57
MIN_VOCABULARY, MAX_VOCABULARY = 256, 512


@cache
def whole_words(tokenizer: Tokenizer) -> list[str]:
    """The first ``MAX_VOCABULARY`` whole-word tokens in order of token id: a space and at least three lower-case letters.
    Raises ``ValueError`` when there are fewer than ``MIN_VOCABULARY``."""
    texts = (tokenizer.decode([i]) for i in range(len(tokenizer)))
    written = dict.fromkeys(text[1:] for text in texts if re.fullmatch(" [a-z]{3,}", text))
    words = single_token_words(tokenizer, list(written), at_least=0)
    if len(words) < MIN_VOCABULARY:
        raise ValueError(f"induction needs {MIN_VOCABULARY} whole-word tokens; this tokenizer has {len(words)}")
    return words[:MAX_VOCABULARY]


def example(tokenizer: Tokenizer, rng: Generator) -> Example:
    """One prompt; the wrong answer is one of the random words in between, not A or B."""
    words = whole_words(tokenizer)
    first, second, *filler = (words[i] for i in rng.choice(len(words), size=FILLER + 2, replace=False))
    text = " " + " ".join([first, second, *filler, first])
    wrong = pick(rng, filler)
    roles = {"A1": len(first), "B": len(first) + 1 + len(second), "A2": len(text) - 1}
    return Example(text, " " + second, [" " + second, " " + wrong], [1.0, -1.0], roles)


def counterfactual(tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
    """Another word in place of B, one that is not in the prompt: the repeat of A says nothing of B."""
    there = set(example.text.split())
    return example.with_words({"B": pick(rng, [word for word in whole_words(tokenizer) if word not in there])})


SOURCE = "Olsson et al. 2022; MechRL, arXiv 2605.26343v1"
INDUCTION = Task("induction", "A B ... A is followed by B", SOURCE, LOGIT_DIFFERENCE, example, counterfactual)
