"""Docstring completion: the next documented parameter is the next one of the signature.

Heimersheim and Janiak 2023, "A circuit for Python docstrings in a 4-layer attention-only
transformer". Two layouts are measured. *full*, that of MechRL: five parameters, the first four
documented, so that the right answer is also the only one mentioned once. *partial*, closer to the
original: six parameters, three documented, so that the answer must be found by its order. In
pretraining the summary and the descriptions also mention parameters, for the same reason, and the
documentation may start at any of the first three parameters: a model that could count them instead
of following them would not know what to do with ``self``.
"""

import numpy as np
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks.base import (
    LOGIT_DIFFERENCE,
    Example,
    Task,
    Templates,
    draw_combination,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import ARGUMENTS, DESCRIPTIONS

LAYOUTS = {"full": (5, 4), "partial": (6, 3)}
SIGNATURES: dict[Templates, list[str]] = {
    "evaluation": [" {name}(self,{arguments}):"],
    "pretraining": [
        " {name}({arguments}):",
        " {name}(cls,{arguments}):",
        " {name}(data,{arguments}):",
    ],
}


def example(
    tokenizer: PreTrainedTokenizerBase, templates: Templates, rng: np.random.Generator
) -> Example:
    """One prompt; roles D (the answer in the signature), C (the one documented last, in the
    signature) and C_DOC (the same in the docstring)."""
    words = single_token_words(tokenizer, DESCRIPTIONS)
    names = single_token_words(tokenizer, ARGUMENTS)
    if templates == "evaluation":
        count, documented = LAYOUTS[pick(rng, list(LAYOUTS))]
        skipped = 0
    else:
        count = int(rng.integers(3, 7))
        skipped = int(rng.integers(0, min(3, count - 1)))
        documented = int(rng.integers(1, count - skipped))
    arguments = draw_combination(rng, names, count, templates)
    first, last = skipped, skipped + documented
    mentions = templates == "pretraining" and bool(rng.integers(2))

    def phrase(length: int) -> str:
        chosen = [pick(rng, words) for _ in range(length)]
        if mentions and rng.integers(2):
            chosen[int(rng.integers(length))] = pick(rng, arguments)
        return "".join(" " + word for word in chosen)

    signature = pick(rng, SIGNATURES[templates])
    text = "def" + signature[: signature.index("{arguments}")].format(name=pick(rng, words))
    roles = {}
    for i, argument in enumerate(arguments):
        text += ("," if i else "") + " " + argument
        if i == last - 1:
            roles["C"] = len(text) - 1
        if i == last:
            roles["D"] = len(text) - 1
    text += '):\n    """' + phrase(2).strip() + "\n\n"
    for i in range(first, last):
        text += f"    :param {arguments[i]}"
        if i == last - 1:
            roles["C_DOC"] = len(text) - 1
        text += ":" + phrase(2) + "\n"
    text += "    :param"
    wrong = pick(rng, arguments[first:last])
    right = arguments[last]
    return Example(text, " " + right, [" " + right, " " + wrong], [1.0, -1.0], roles)


DOCSTRING = Task(
    "docstring",
    "def f(self, load, size): ... :param load: ... :param -> size",
    "Heimersheim and Janiak 2023",
    LOGIT_DIFFERENCE,
    example,
)
