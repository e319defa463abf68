"""Subject-verb agreement: the verb agrees with its subject, not with the noun in between, which has the other number.

After Linzen et al. 2016, arXiv 1611.01368.
"""

from numpy.random import Generator

from circuitlib.tasks.base import (
    LOGIT_DIFFERENCE,
    Example,
    Task,
    Tokenizer,
    fill,
    is_held_out,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import PLURALS, SINGULARS

TEMPLATES = ["I think the{NOUN} near the{BETWEEN}", "Today the{NOUN} behind the{BETWEEN}"]
VERBS = [(" is", " are"), (" was", " were")]


def example(tokenizer: Tokenizer, rng: Generator, templates: list[str] = TEMPLATES, held_out: bool = True) -> Example:
    """One prompt; the only role is NOUN, the subject. Both tenses are scored."""
    plurals = single_token_words(tokenizer, PLURALS)
    singulars = single_token_words(tokenizer, [plural[:-1] for plural in plurals])
    plurals = [singular + "s" for singular in singulars]
    is_singular = bool(rng.integers(2))
    own, others = (singulars, plurals) if is_singular else (plurals, singulars)
    while True:
        noun, between = pick(rng, own), pick(rng, others)
        if is_held_out(own.index(noun), others.index(between)) == held_out and noun[:4] != between[:4]:
            break
    text, roles = fill(pick(rng, templates), {"NOUN": noun, "BETWEEN": between})
    verb = VERBS[int(rng.integers(2))]
    right, wrong = verb if is_singular else verb[::-1]
    return Example(text, right, [right, wrong], [1.0, -1.0], {"NOUN": roles["NOUN"]})


def counterfactual(tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
    """The same noun in the other number, a minimal pair: the answer is the other verb."""
    noun = example.word("NOUN")
    return example.with_words({"NOUN": noun + "s" if noun in SINGULARS else noun[:-1]})


SOURCE = "Linzen et al. 2016, arXiv 1611.01368"
AGREEMENT = Task("agreement", "The author near the pilots -> is", SOURCE, LOGIT_DIFFERENCE, example, counterfactual)
