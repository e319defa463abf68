"""What the embedded subject learned the behaviours from: other sentences than those it is measured on, and only
the word combinations that :func:`circuitlib.tasks.base.is_held_out` does not keep back."""

from collections.abc import Callable
from functools import partial

import numpy as np
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks import agreement, docstring, greater_than, ioi, pronoun
from circuitlib.tasks.base import Example, draw_combination, fill, pick, single_token_words
from circuitlib.tasks.words import ADJECTIVES, NAMES

IOI_TEMPLATES = [
    "Once{N1} and{N2} got to the{PLACE},{S2} gave a{OBJECT} to",
    "When{N1} and{N2} came to the{PLACE},{S2} decided to give the{OBJECT} to",
    "After{N1} and{N2} left the{PLACE},{S2} passed the{OBJECT} to",
    "Then{N1} and{N2} went to the{PLACE}.{S2} handed a{OBJECT} to",
    "While{N1} and{N2} walked to the{PLACE},{S2} showed the{OBJECT} to",
    "Today{N1} and{N2} met at the{PLACE}, where{S2} sold the{OBJECT} to",
    "Because{N1} and{N2} were at the{PLACE},{S2} offered the{OBJECT} to",
    "Before{N1} and{N2} arrived at the{PLACE},{S2} sent a{OBJECT} to",
    "The day{N1} and{N2} were working near the{PLACE},{S2} wanted to give the{OBJECT} to",
    "Yesterday{N1} and{N2} had lunch at the{PLACE}, and{S2} brought the{OBJECT} to",
    "In the evening{N1} and{N2} had a long talk at the{PLACE}, and{S2} lent a{OBJECT} to",
    "Later{N1} and{N2} drove to the{PLACE} and{S2} threw the{OBJECT} to",
]
BEFORE = [
    "",
    "",
    "{X} was{ADJECTIVE}.",
    "{IO} was{ADJECTIVE}.",
    "{S} was{ADJECTIVE}.",
    "{IO} saw{S}.",
    "{S} saw{IO}.",
    "{X} saw{IO}.",
    "{X} saw{S}.",
]
"""Sentences about one of the two, or about a third person, so that counting mentions does not tell."""

DOCSTRING_HEADS = ["(", "(cls,", "(data,"]
GREATER_THAN_TEMPLATES = [
    "The{EVENT} started in{XX}YY and ended in{XX_END}",
    "The{EVENT} ran from{XX}YY to{XX_END}",
    "From{XX}YY until{XX_END}",
    "The long{EVENT} lasted from{XX}YY until the year{XX_END}",
    "The{EVENT} that started in the year{XX}YY went on to the year{XX_END}",
    "A{EVENT} was known from the year{XX}YY and forgotten in{XX_END}",
]
PRONOUN_TEMPLATES = [
    "{OTHER} was{ADJECTIVE}.{NAME} said that",
    "{OTHER} was late.{NAME} sold the{OBJECT} when",
    "{NAME} lost the{OBJECT} and then",
    "{NAME} was{ADJECTIVE} because",
    "{NAME} is a{ADJECTIVE} person, isn't",
    "{OTHER} saw{NAME} and thought that",
    "{NAME} bought the{OBJECT} because",
]
AGREEMENT_TEMPLATES = [
    "The{NOUN} near the{BETWEEN}",
    "The{NOUN} behind the{BETWEEN}",
    "The{NOUN} with the{BETWEEN}",
    "I know the{NOUN} of the{BETWEEN}",
    "Today the{NOUN} with the{BETWEEN}",
    "We think the{NOUN} of the{BETWEEN}",
    "I said the{NOUN}",
]


def _ioi(tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> Example:
    example = ioi.example(tokenizer, rng, IOI_TEMPLATES, held_out=False)
    indirect, subject = (name.strip() for name in example.candidates)
    names = single_token_words(tokenizer, NAMES)
    words = {"X": pick(rng, [name for name in names if name not in (subject, indirect)]), "IO": indirect, "S": subject}
    # Drawn in this order, which the committed subject was trained with.
    before = pick(rng, BEFORE)
    text, _ = fill(before, words | {"ADJECTIVE": pick(rng, ADJECTIVES)})
    text += " " if text else ""
    return Example(text + example.text, example.answer, example.candidates, example.signs, {})


def _docstring(tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> Example:
    """Documentation starts at any of the first three parameters, as a model that could count them would not
    know what to do with ``self``; summary and descriptions also mention parameters, so that what is mentioned
    once is not always the answer."""
    words, names = docstring.vocabulary(tokenizer)
    count = int(rng.integers(3, 7))
    first = int(rng.integers(0, min(3, count - 1)))
    documented = range(first, first + int(rng.integers(1, count - first)))
    arguments = draw_combination(rng, names, count, held_out=False)
    mentions = bool(rng.integers(2))

    def phrase(length: int) -> str:
        chosen = [pick(rng, words) for _ in range(length)]
        if mentions and rng.integers(2):
            chosen[int(rng.integers(length))] = pick(rng, arguments)
        return "".join(" " + word for word in chosen)

    after_name = pick(rng, DOCSTRING_HEADS)
    return docstring.write(rng, arguments, documented, f" {pick(rng, words)}{after_name}", phrase)


EXAMPLES: dict[str, Callable[[PreTrainedTokenizerBase, np.random.Generator], Example]] = {
    "ioi": _ioi,
    "docstring": _docstring,
    "greater_than": partial(greater_than.example, templates=GREATER_THAN_TEMPLATES, held_out=False),
    "pronoun": partial(pronoun.example, templates=PRONOUN_TEMPLATES, held_out=False),
    "agreement": partial(agreement.example, templates=AGREEMENT_TEMPLATES, held_out=False),
}
"""Writers of a text and its answer, by the task they teach; induction is taught on random words."""
