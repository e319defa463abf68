"""Greater-than: a span of years ends after it begins.

Hanna et al. 2023, arXiv 2305.00586: "The war lasted from the year 1732 to the year 17" continues with a two-digit year
above 32. The metric is the probability of all years above minus that of the others. A tokenizer that merges some years
(GPT-2's has " 1870" as one token) is asked about the others, as there. Where digits are single tokens (SmolLM2, Qwen2),
what comes next is the decade's digit, and the metric is the probability of all larger digits minus that of all smaller
ones.
"""

from dataclasses import dataclass
from functools import cache

from numpy.random import Generator

from circuitlib.tasks.base import (
    PROBABILITY_DIFFERENCE,
    Example,
    Task,
    Tokenizer,
    fill,
    is_held_out,
    pick,
    single_token_words,
)
from circuitlib.tasks.words import CENTURIES, EVENTS, YEARS

TEMPLATES = [
    "The{EVENT} lasted from the year{XX}YY to the year{XX_END}",
    "The{EVENT} went on from the year{XX}YY until{XX_END}",
]
DIGITS = [str(digit) for digit in range(10)]
MIN_SPANS = 96  # of the 768 pairs of a century and a year from 02 to 97, those that a tokenizer must split


@dataclass(frozen=True)
class Spelling:
    """How a tokenizer writes years: the size of the piece that follows a century, two digits or one, and the centuries
    and years (from 2 to 97) that it writes so."""

    size: int
    spans: frozenset[tuple[str, int]]


@cache
def spelling(tokenizer: Tokenizer) -> Spelling:
    """Which of the two a tokenizer does for more years. A century is used only if its year 01, which counterfactuals
    start with, is written so too. Raises ``ValueError`` for a tokenizer that does neither."""
    best = max((_spelling(tokenizer, size) for size in (2, 1)), key=lambda found: len(found.spans))
    if len(best.spans) < MIN_SPANS:
        raise ValueError(
            f"this tokenizer does not write years as greater-than needs them, as a century and two digits or "
            f"digit by digit: of 768 years it so writes {len(best.spans)}, and {MIN_SPANS} are needed"
        )
    return best


def _spelling(tokenizer: Tokenizer, size: int) -> Spelling:
    def encode(texts: list[str]) -> list[list[int]]:
        return tokenizer(texts, add_special_tokens=False)["input_ids"]

    pieces = YEARS if size == 2 else DIGITS
    ids_of = dict(zip(pieces, encode(pieces), strict=True))
    if any(len(ids) != 1 for ids in ids_of.values()):
        return Spelling(size, frozenset())
    spans = set()
    for century, ids in zip(CENTURIES, encode([" " + c for c in CENTURIES]), strict=True):
        written = encode([f" {century}{year}" for year in YEARS])
        split = [
            whole == ids + [token for at in range(0, 2, size) for token in ids_of[year[at : at + size]]]
            for year, whole in zip(YEARS, written, strict=True)
        ]
        # Of a decade's digit there must be larger and smaller ones.
        asked = range(2, 98) if size == 2 else range(10, 90)
        spans |= {(century, year) for year in asked if split[1] and split[year]}
    return Spelling(size, frozenset(spans))


def example(tokenizer: Tokenizer, rng: Generator, templates: list[str] = TEMPLATES, held_out: bool = True) -> Example:
    """One prompt; roles EVENT, XX and XX_END (the two centuries) and YY (what the answer is compared with: the first
    year's last two digits, or its decade's digit)."""
    events, years = single_token_words(tokenizer, EVENTS), spelling(tokenizer)
    centuries = sorted({century for century, _ in years.spans})
    while True:
        event, year, century = pick(rng, events), int(rng.integers(2, 98)), pick(rng, centuries)
        if is_held_out(events.index(event), year) == held_out and (century, year) in years.spans:
            break
    text, roles = fill(pick(rng, templates), {"EVENT": event, "XX": century, "XX_END": century})
    roles["YY"] = roles["XX"] + years.size
    text = text.replace("YY", YEARS[year])
    pieces, start = (YEARS, year) if years.size == 2 else (DIGITS, year // 10)
    # The same year is wrong; the same decade is neither right nor wrong.
    asked = [piece for piece in range(len(pieces)) if years.size == 2 or piece != start]
    signs = [1.0 if piece > start else -1.0 for piece in asked]
    answer = pieces[int(rng.integers(start + 1, len(pieces)))]
    return Example(text, answer, [pieces[piece] for piece in asked], signs, roles)


def counterfactual(tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
    """A span that starts in the year 01, Hanna et al.'s corrupted prompt: every later year is as right."""
    year = example.roles["XX"] + 1
    return example.text[:year] + "01" + example.text[year + 2 :]


DESCRIPTION = "The war lasted from the year 1732 to the year 17 -> above 32"
SOURCE = "Hanna et al. 2023, arXiv 2305.00586"
GREATER_THAN = Task("greater_than", DESCRIPTION, SOURCE, PROBABILITY_DIFFERENCE, example, counterfactual)
