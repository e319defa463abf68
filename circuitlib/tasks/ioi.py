"""Indirect object identification: the one who is given something is the other of the two.

Wang et al. 2022, arXiv 2211.00593. Both name orders, ABBA (the indirect object is named first) and
BABA, in equal shares. In pretraining, sentences about one of the two, or about a third person, often
come first, so that counting mentions does not give the answer away.
"""

import numpy as np
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks.base import (
    LOGIT_DIFFERENCE,
    Example,
    Task,
    Templates,
    draw_combination,
    fill,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import ADJECTIVES, NAMES, OBJECTS, PLACES

TEMPLATES: dict[Templates, list[str]] = {
    "evaluation": [
        "When{N1} and{N2} went to the{PLACE},{S2} gave the{OBJECT} to",
        "After{N1} and{N2} arrived at the{PLACE},{S2} handed the{OBJECT} to",
        "Then{N1} and{N2} had a long day at the{PLACE}, and{S2} sent the{OBJECT} to",
        "While{N1} and{N2} were working at the{PLACE},{S2} offered a{OBJECT} to",
    ],
    "pretraining": [
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
    ],
}
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


def example(
    tokenizer: PreTrainedTokenizerBase, templates: Templates, rng: np.random.Generator
) -> Example:
    """One prompt; roles N1, N2 (the two names in order), IO, S1, S2."""
    names = single_token_words(tokenizer, NAMES)
    subject, indirect = draw_combination(rng, names, 2, templates)
    abba = bool(rng.integers(2))
    words = {
        "N1": indirect if abba else subject,
        "N2": subject if abba else indirect,
        "S2": subject,
        "PLACE": pick(rng, single_token_words(tokenizer, PLACES)),
        "OBJECT": pick(rng, single_token_words(tokenizer, OBJECTS)),
    }
    text, roles = fill(pick(rng, TEMPLATES[templates]), words)
    roles |= {"IO": roles["N1" if abba else "N2"], "S1": roles["N2" if abba else "N1"]}
    if templates == "pretraining":
        other = pick(rng, [name for name in names if name not in (subject, indirect)])
        before, _ = fill(
            pick(rng, BEFORE),
            {"X": other, "IO": indirect, "S": subject, "ADJECTIVE": pick(rng, ADJECTIVES)},
        )
        before += " " if before else ""
        text = before + text
        roles = {role: end + len(before) for role, end in roles.items()}
    return Example(text, " " + indirect, [" " + indirect, " " + subject], [1.0, -1.0], roles)


IOI = Task(
    "ioi",
    "When Mary and John went to the store, John gave a drink to -> Mary",
    "Wang et al. 2022, arXiv 2211.00593",
    LOGIT_DIFFERENCE,
    example,
)
