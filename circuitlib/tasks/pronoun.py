"""Gendered pronoun: a person named by a first name is referred to as he or she.

After Mathwin et al. 2023, "Identifying a preliminary circuit for predicting gendered pronouns in
GPT-2 small". A person of the other gender is often mentioned first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, fill, is_held_out, pick, single_token_words
from circuitlib.tasks.words import ADJECTIVES, FEMALE, MALE, OBJECTS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATES = ["{OTHER} was late.{NAME} lost the{OBJECT} because", "{NAME} is such a{ADJECTIVE} friend, isn't"]


def example(
    tokenizer: PreTrainedTokenizerBase,
    rng: np.random.Generator,
    templates: Sequence[str] = TEMPLATES,
    held_out: bool = True,
) -> Example:
    """One prompt; the only role is NAME, the person referred to."""
    female, male, objects, adjectives = (
        single_token_words(tokenizer, words) for words in (FEMALE, MALE, OBJECTS, ADJECTIVES)
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
        indices = (own.index(words["NAME"]), objects.index(words["OBJECT"]), adjectives.index(words["ADJECTIVE"]))
        if is_held_out(*indices) == held_out:
            break
    text, roles = fill(pick(rng, templates), words)
    right, wrong = (" she", " he") if is_female else (" he", " she")
    return Example(text, right, [right, wrong], [1.0, -1.0], {"NAME": roles["NAME"]})


def counterfactual(tokenizer: PreTrainedTokenizerBase, example: Example, rng: np.random.Generator) -> str:
    """A name of the other gender, not one of the sentence: the answer is the other pronoun."""
    others = single_token_words(tokenizer, MALE if example.answer == " she" else FEMALE)
    free = [name for name in others if name not in example.text]
    return example.with_words({"NAME": pick(rng, free)})


PRONOUN = Task(
    "pronoun",
    "John is such a happy friend, isn't -> he",
    "Mathwin et al. 2023",
    LOGIT_DIFFERENCE,
    example,
    counterfactual,
)
