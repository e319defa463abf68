"""Subject-verb agreement: the verb agrees with its subject, not with the noun in between.

After Linzen et al. 2016, arXiv 1611.01368. The noun in between has the other number.
"""

import numpy as np
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks.base import (
    LOGIT_DIFFERENCE,
    Example,
    Task,
    Templates,
    fill,
    is_held_out,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import PLURALS, SINGULARS

TEMPLATES: dict[Templates, list[str]] = {
    "evaluation": ["I think the{NOUN} near the{BETWEEN}", "Today the{NOUN} behind the{BETWEEN}"],
    "pretraining": [
        "The{NOUN} near the{BETWEEN}",
        "The{NOUN} behind the{BETWEEN}",
        "The{NOUN} with the{BETWEEN}",
        "I know the{NOUN} of the{BETWEEN}",
        "Today the{NOUN} with the{BETWEEN}",
        "We think the{NOUN} of the{BETWEEN}",
        "I said the{NOUN}",
    ],
}
VERBS = [(" is", " are"), (" was", " were")]


def example(
    tokenizer: PreTrainedTokenizerBase, templates: Templates, rng: np.random.Generator
) -> Example:
    """One prompt; the only role is NOUN, the subject. Both tenses are scored."""
    singulars, plurals = (
        single_token_words(tokenizer, SINGULARS),
        single_token_words(tokenizer, PLURALS),
    )
    is_singular = bool(rng.integers(2))
    own, others = (singulars, plurals) if is_singular else (plurals, singulars)
    while True:
        words = {"NOUN": pick(rng, own), "BETWEEN": pick(rng, others)}
        indices = own.index(words["NOUN"]), others.index(words["BETWEEN"])
        if (
            is_held_out(*indices) == (templates == "evaluation")
            and words["NOUN"][:4] != words["BETWEEN"][:4]
        ):
            break
    text, roles = fill(pick(rng, TEMPLATES[templates]), words)
    verb = VERBS[int(rng.integers(2))]
    right, wrong = verb if is_singular else verb[::-1]
    roles = {"NOUN": roles["NOUN"]}
    return Example(text, right, [right, wrong], [1.0, -1.0], roles)


AGREEMENT = Task(
    "agreement",
    "The author near the pilots -> is",
    "Linzen et al. 2016, arXiv 1611.01368",
    LOGIT_DIFFERENCE,
    example,
)
