"""Gendered pronoun: a person named by a first name is referred to as he or she.

After Mathwin et al. 2023, "Identifying a preliminary circuit for predicting gendered pronouns in GPT-2 small"
(https://itch.io/jam/mechint/rate/1889871). A person of the other gender is often mentioned first.
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
from circuitlib.tasks.words import ADJECTIVES, FEMALE, MALE, OBJECTS

TEMPLATES = ["{OTHER} was late.{NAME} lost the{OBJECT} because", "{NAME} is such a{ADJECTIVE} friend, isn't"]


def example(tokenizer: Tokenizer, rng: Generator, templates: list[str] = TEMPLATES, held_out: bool = True) -> Example:
    """One prompt; the only role is NAME, the person referred to."""
    kept = [single_token_words(tokenizer, words) for words in (FEMALE, MALE, OBJECTS, ADJECTIVES)]
    female, male, objects, adjectives = kept
    is_female = bool(rng.integers(2))
    own, others = (female, male) if is_female else (male, female)
    while True:
        name, other, thing, adjective = (pick(rng, words) for words in (own, others, objects, adjectives))
        if is_held_out(own.index(name), objects.index(thing), adjectives.index(adjective)) == held_out:
            break
    words = {"NAME": name, "OTHER": other, "OBJECT": thing, "ADJECTIVE": adjective}
    text, roles = fill(pick(rng, templates), words)
    right, wrong = (" she", " he") if is_female else (" he", " she")
    return Example(text, right, [right, wrong], [1.0, -1.0], {"NAME": roles["NAME"]})


def counterfactual(tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
    """A name of the other gender, not one of the sentence: the answer is the other pronoun."""
    others = single_token_words(tokenizer, MALE if example.answer == " she" else FEMALE)
    return example.with_words({"NAME": pick(rng, [name for name in others if name not in example.text])})


DESCRIPTION = "John is such a happy friend, isn't -> he"
PRONOUN = Task("pronoun", DESCRIPTION, "Mathwin et al. 2023", LOGIT_DIFFERENCE, example, counterfactual)
