"""Greater-than: a span of years ends after it begins.

Hanna et al. 2023, arXiv 2305.00586: "The war lasted from the year 1732 to the year 17" continues with
a two-digit year above 32. The metric is the probability of all years above minus that of the others.
"""

import numpy as np
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks.base import (
    PROBABILITY_DIFFERENCE,
    Example,
    Task,
    Templates,
    fill,
    is_held_out,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import CENTURIES, EVENTS, YEARS

TEMPLATES: dict[Templates, list[str]] = {
    "evaluation": [
        "The{EVENT} lasted from the year{XX}YY to the year{XX_END}",
        "The{EVENT} went on from the year{XX}YY until{XX_END}",
    ],
    "pretraining": [
        "The{EVENT} started in{XX}YY and ended in{XX_END}",
        "The{EVENT} ran from{XX}YY to{XX_END}",
        "From{XX}YY until{XX_END}",
        "The long{EVENT} lasted from{XX}YY until the year{XX_END}",
        "The{EVENT} that started in the year{XX}YY went on to the year{XX_END}",
        "A{EVENT} was known from the year{XX}YY and forgotten in{XX_END}",
    ],
}


def example(
    tokenizer: PreTrainedTokenizerBase, templates: Templates, rng: np.random.Generator
) -> Example:
    """One prompt; roles YY (the first year's last two digits) and XX_END (the second century).

    Raises ``ValueError`` when the tokenizer does not split a year into century and two digits.
    """
    events = single_token_words(tokenizer, EVENTS)
    centuries = single_token_words(tokenizer, CENTURIES, at_least=1)
    while True:
        event, year, century = pick(rng, events), int(rng.integers(2, 98)), pick(rng, centuries)
        if is_held_out(events.index(event), year) == (templates == "evaluation"):
            break
    template = pick(rng, TEMPLATES[templates])
    text, roles = fill(template, {"EVENT": event, "XX": century, "XX_END": century})
    roles["YY"] = roles["XX"] + 2
    text = text.replace("YY", YEARS[year])
    span = f" {century}{YEARS[year]}"
    if len(tokenizer.encode(span, add_special_tokens=False)) != 2:
        raise ValueError(
            f"this tokenizer does not encode{span} as{span[:3]} and {span[3:]}, which greater-than needs"
        )
    signs = [1.0 if other > year else -1.0 for other in range(100)]
    answer = YEARS[int(rng.integers(year + 1, 100))]
    return Example(text, answer, YEARS, signs, roles)


GREATER_THAN = Task(
    "greater_than",
    "The war lasted from the year 1732 to the year 17 -> above 32",
    "Hanna et al. 2023, arXiv 2305.00586",
    PROBABILITY_DIFFERENCE,
    example,
)
