"""Subject-verb agreement: the verb agrees with its subject, not with the noun in between.

After Linzen et al. 2016, arXiv 1611.01368. The noun in between has the other number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, fill, is_held_out, pick, single_token_words
from circuitlib.tasks.words import PLURALS, SINGULARS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATES = ["I think the{NOUN} near the{BETWEEN}", "Today the{NOUN} behind the{BETWEEN}"]
VERBS = [(" is", " are"), (" was", " were")]


def example(
    tokenizer: PreTrainedTokenizerBase,
    rng: np.random.Generator,
    templates: Sequence[str] = TEMPLATES,
    held_out: bool = True,
) -> Example:
    """One prompt; the only role is NOUN, the subject. Both tenses are scored."""
    plurals = single_token_words(tokenizer, PLURALS)
    singulars = single_token_words(tokenizer, [plural[:-1] for plural in plurals])
    plurals = [singular + "s" for singular in singulars]
    is_singular = bool(rng.integers(2))
    own, others = (singulars, plurals) if is_singular else (plurals, singulars)
    while True:
        words = {"NOUN": pick(rng, own), "BETWEEN": pick(rng, others)}
        indices = own.index(words["NOUN"]), others.index(words["BETWEEN"])
        if is_held_out(*indices) == held_out and words["NOUN"][:4] != words["BETWEEN"][:4]:
            break
    text, roles = fill(pick(rng, templates), words)
    verb = VERBS[int(rng.integers(2))]
    right, wrong = verb if is_singular else verb[::-1]
    return Example(text, right, [right, wrong], [1.0, -1.0], {"NOUN": roles["NOUN"]})


def counterfactual(tokenizer: PreTrainedTokenizerBase, example: Example, rng: np.random.Generator) -> str:
    """The same noun in the other number, a minimal pair: the answer is the other verb."""
    noun = example.word("NOUN")
    return example.with_words({"NOUN": noun + "s" if noun in SINGULARS else noun[:-1]})


AGREEMENT = Task(
    "agreement",
    "The author near the pilots -> is",
    "Linzen et al. 2016, arXiv 1611.01368",
    LOGIT_DIFFERENCE,
    example,
    counterfactual,
)
