"""Induction: a random sequence starts with A B and ends with A; what comes next is B.

After Olsson et al. 2022, "In-context Learning and Induction Heads"; the layout BOS A B, 57 random
tokens, A is that of MechRL (arXiv 2605.26343). The random tokens are whole words of the subject's
vocabulary, all different, so that only position and identity can give the answer away.
"""

from functools import cache

import numpy as np
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, Templates

FILLER = 57
MAX_WORDS = 512


@cache
def whole_words(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The first ``MAX_WORDS`` whole-word tokens of a vocabulary in order of token id: a space and at
    least three lower-case letters. Raises ``ValueError`` when there are too few for a prompt."""
    words = []
    for i in range(len(tokenizer)):
        text = tokenizer.decode([i])
        if (
            len(text) >= 4
            and text[0] == " "
            and text[1:].isascii()
            and text[1:].islower()
            and text[1:].isalpha()
        ):
            words.append(text[1:])
    if len(words) < 256:
        raise ValueError(f"induction needs 256 whole-word tokens; this tokenizer has {len(words)}")
    return words[:MAX_WORDS]


def example(
    tokenizer: PreTrainedTokenizerBase, templates: Templates, rng: np.random.Generator
) -> Example:
    """One prompt; the wrong answer is one of the random words in between, not A or B."""
    words = whole_words(tokenizer)
    drawn = [words[i] for i in rng.choice(len(words), size=FILLER + 2, replace=False)]
    first, second, *filler = drawn
    text = " " + " ".join([first, second, *filler, first])
    wrong = filler[int(rng.integers(len(filler)))]
    roles = {"A1": len(first), "B": len(first) + 1 + len(second), "A2": len(text) - 1}
    return Example(text, " " + second, [" " + second, " " + wrong], [1.0, -1.0], roles)


INDUCTION = Task(
    "induction",
    "A B ... A is followed by B",
    "Olsson et al. 2022; MechRL, arXiv 2605.26343",
    LOGIT_DIFFERENCE,
    example,
)
