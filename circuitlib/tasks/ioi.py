"""Indirect object identification: the one who is given something is the other of the two.

Wang et al. 2022, arXiv 2211.00593. Both name orders, ABBA (the indirect object is named first) and
BABA, in equal shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, draw_combination, fill, pick, single_token_words
from circuitlib.tasks.words import NAMES, OBJECTS, PLACES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATES = [
    "When{N1} and{N2} went to the{PLACE},{S2} gave the{OBJECT} to",
    "After{N1} and{N2} arrived at the{PLACE},{S2} handed the{OBJECT} to",
    "Then{N1} and{N2} had a long day at the{PLACE}, and{S2} sent the{OBJECT} to",
    "While{N1} and{N2} were working at the{PLACE},{S2} offered a{OBJECT} to",
]


def example(
    tokenizer: PreTrainedTokenizerBase,
    rng: np.random.Generator,
    templates: Sequence[str] = TEMPLATES,
    held_out: bool = True,
) -> Example:
    """One prompt; roles N1, N2 (the two names in order), IO, S1, S2."""
    names = single_token_words(tokenizer, NAMES)
    subject, indirect = draw_combination(rng, names, 2, held_out)
    abba = bool(rng.integers(2))
    words = {
        "N1": indirect if abba else subject,
        "N2": subject if abba else indirect,
        "S2": subject,
        "PLACE": pick(rng, single_token_words(tokenizer, PLACES)),
        "OBJECT": pick(rng, single_token_words(tokenizer, OBJECTS)),
    }
    text, roles = fill(pick(rng, templates), words)
    roles |= {"IO": roles["N1" if abba else "N2"], "S1": roles["N2" if abba else "N1"]}
    return Example(text, " " + indirect, [" " + indirect, " " + subject], [1.0, -1.0], roles)


def counterfactual(tokenizer: PreTrainedTokenizerBase, example: Example, rng: np.random.Generator) -> str:
    """Three other names, all different: Wang et al.'s ABC distribution, in which nobody is named twice."""
    names = single_token_words(tokenizer, NAMES)
    others = [name for name in names if name not in (example.word("N1"), example.word("N2"))]
    chosen = rng.choice(len(others), size=3, replace=False)
    return example.with_words({role: others[i] for role, i in zip(("N1", "N2", "S2"), chosen, strict=True)})


IOI = Task(
    "ioi",
    "When Mary and John went to the store, John gave a drink to -> Mary",
    "Wang et al. 2022, arXiv 2211.00593",
    LOGIT_DIFFERENCE,
    example,
    counterfactual,
)
