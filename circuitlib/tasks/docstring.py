"""Docstring completion: the next documented parameter is the next one of the signature.

Heimersheim and Janiak 2023, "A circuit for Python docstrings in a 4-layer attention-only transformer"
(https://www.alignmentforum.org/posts/u6KXXmKFbXfWzoAXn/a-circuit-for-python-docstrings-in-a-4-layer-attention-only). Two layouts are
measured. *full*, that of MechRL: five parameters, the first four documented, so that the right answer is also the only
one mentioned once. *partial*, closer to the original: six parameters, three documented, so that the answer must be
found by its order.
"""

from collections.abc import Callable, Sequence

from numpy.random import Generator

from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, draw_combination, pick, single_token_words
from circuitlib.tasks.words import ARGUMENTS, DESCRIPTIONS

LAYOUTS = {"full": (5, 4), "partial": (6, 3)}
MIN_ARGUMENTS = 12  # a signature of six and a counterfactual of six others


def vocabulary(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """The words that descriptions and parameters are drawn from."""
    return single_token_words(tokenizer, DESCRIPTIONS), single_token_words(tokenizer, ARGUMENTS, MIN_ARGUMENTS)


def example(tokenizer: Tokenizer, rng: Generator) -> Example:
    """One prompt; see :func:`write`."""
    words, names = vocabulary(tokenizer)
    count, documented = LAYOUTS[pick(rng, list(LAYOUTS))]
    arguments = draw_combination(rng, names, count)

    def phrase(length: int) -> str:
        return "".join(" " + pick(rng, words) for _ in range(length))

    return write(rng, arguments, range(documented), f" {pick(rng, words)}(self,", phrase)


def write(
    rng: Generator, arguments: Sequence[str], documented: range, head: str, phrase: Callable[[int], str]
) -> Example:
    """A function from its name on (``head``) to the parameter after those documented. ``phrase(n)`` describes in n words.
    Roles D (the answer in the signature), C (the one documented last, in the signature) and C_DOC (the same in the
    docstring)."""
    text, asked = "def" + head, documented.stop
    ends: list[int] = []
    for argument in arguments:
        text += ("," if ends else "") + " " + argument
        ends.append(len(text) - 1)
    roles = {"C": ends[asked - 1], "D": ends[asked]}
    text += '):\n    """' + phrase(2).strip() + "\n\n"
    for i in documented:
        text += f"    :param {arguments[i]}"
        roles["C_DOC"] = len(text) - 1
        text += ":" + phrase(2) + "\n"
    wrong, right = " " + pick(rng, arguments[documented.start : asked]), " " + arguments[asked]
    return Example(text + "    :param", right, [right, wrong], [1.0, -1.0], roles)


def counterfactual(tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
    """Other parameters in the signature, none of them documented: Heimersheim and Janiak's random signature, which no
    longer says what comes next."""
    before, rest = example.text.split("(self, ", 1)
    signature, after = rest.split(")", 1)
    arguments = signature.split(", ")
    others = [name for name in vocabulary(tokenizer)[1] if name not in arguments]
    chosen = rng.choice(len(others), size=len(arguments), replace=False)
    return f"{before}(self, {', '.join(others[i] for i in chosen)}){after}"


DESCRIPTION = "def f(self, load, size): ... :param load: ... :param -> size"
DOCSTRING = Task("docstring", DESCRIPTION, "Heimersheim and Janiak 2023", LOGIT_DIFFERENCE, example, counterfactual)
