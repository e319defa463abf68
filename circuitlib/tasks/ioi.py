"""Indirect object identification: the one who is given something is the other of the two.

Wang et al. 2022, arXiv 2211.00593. Both name orders, ABBA (the indirect object is named first) and BABA, in equal shares.
"""

from numpy.random import Generator

from circuitlib.tasks.base import (
    LOGIT_DIFFERENCE,
    Example,
    Task,
    Tokenizer,
    draw_combination,
    fill,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import NAMES, OBJECTS, PLACES

TEMPLATES = [
    "When{N1} and{N2} went to the{PLACE},{S2} gave the{OBJECT} to",
    "After{N1} and{N2} arrived at the{PLACE},{S2} handed the{OBJECT} to",
    "Then{N1} and{N2} had a long day at the{PLACE}, and{S2} sent the{OBJECT} to",
    "While{N1} and{N2} were working at the{PLACE},{S2} offered a{OBJECT} to",
]


def example(tokenizer: Tokenizer, rng: Generator, templates: list[str] = TEMPLATES, held_out: bool = True) -> Example:
    """One prompt; roles N1, N2 (the two names in order), IO, S1, S2."""
    subject, indirect = draw_combination(rng, single_token_words(tokenizer, NAMES), 2, held_out)
    abba = bool(rng.integers(2))
    first, second = (indirect, subject) if abba else (subject, indirect)
    place, thing = (pick(rng, single_token_words(tokenizer, words)) for words in (PLACES, OBJECTS))
    words = {"N1": first, "N2": second, "S2": subject, "PLACE": place, "OBJECT": thing}
    text, roles = fill(pick(rng, templates), words)
    roles |= {"IO": roles["N1" if abba else "N2"], "S1": roles["N2" if abba else "N1"]}
    return Example(text, " " + indirect, [" " + indirect, " " + subject], [1.0, -1.0], roles)


def counterfactual(tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
    """Three other names, all different: Wang et al.'s ABC distribution, in which nobody is named twice."""
    named = example.word("N1"), example.word("N2")
    others = [name for name in single_token_words(tokenizer, NAMES) if name not in named]
    chosen = rng.choice(len(others), size=3, replace=False)
    return example.with_words({role: others[i] for role, i in zip(("N1", "N2", "S2"), chosen, strict=True)})


DESCRIPTION = "When Mary and John went to the store, John gave a drink to -> Mary"
SOURCE = "Wang et al. 2022, arXiv 2211.00593"
IOI = Task("ioi", DESCRIPTION, SOURCE, LOGIT_DIFFERENCE, example, counterfactual)
