"""Gendered pronoun: a person named by a first name is referred to as he or she.

After Mathwin et al. 2023, "Identifying a preliminary circuit for predicting gendered pronouns in
GPT-2 small". A person of the other gender is often mentioned first.
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
from circuitlib.tasks.words import ADJECTIVES, FEMALE, MALE, OBJECTS

TEMPLATES: dict[Templates, list[str]] = {
    "evaluation": [
        "{OTHER} was late.{NAME} lost the{OBJECT} because",
        "{NAME} is such a{ADJECTIVE} friend, isn't",
    ],
    "pretraining": [
        "{OTHER} was{ADJECTIVE}.{NAME} said that",
        "{OTHER} was late.{NAME} sold the{OBJECT} when",
        "{NAME} lost the{OBJECT} and then",
        "{NAME} was{ADJECTIVE} because",
        "{NAME} is a{ADJECTIVE} person, isn't",
        "{OTHER} saw{NAME} and thought that",
        "{NAME} bought the{OBJECT} because",
    ],
}


def example(
    tokenizer: PreTrainedTokenizerBase, templates: Templates, rng: np.random.Generator
) -> Example:
    """One prompt; the only role is NAME, the person referred to."""
    female, male = single_token_words(tokenizer, FEMALE), single_token_words(tokenizer, MALE)
    objects, adjectives = (
        single_token_words(tokenizer, OBJECTS),
        single_token_words(tokenizer, ADJECTIVES),
    )
    is_female = bool(rng.integers(2))
    own, others = (female, male) if is_female else (male, female)
    while True:
        words = {
            "NAME": pick(rng, own),
            "OTHER": pick(rng, others),
            "OBJECT": pick(rng, objects),
            "ADJECTIVE": pick(rng, adjectives),
        }
        indices = (
            own.index(words["NAME"]),
            objects.index(words["OBJECT"]),
            adjectives.index(words["ADJECTIVE"]),
        )
        if is_held_out(*indices) == (templates == "evaluation"):
            break
    text, roles = fill(pick(rng, TEMPLATES[templates]), words)
    right, wrong = (" she", " he") if is_female else (" he", " she")
    return Example(text, right, [right, wrong], [1.0, -1.0], {"NAME": roles["NAME"]})


PRONOUN = Task(
    "pronoun",
    "John is such a happy friend, isn't -> he",
    "Mathwin et al. 2023",
    LOGIT_DIFFERENCE,
    example,
)
