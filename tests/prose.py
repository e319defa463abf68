"""Numbers in prose: where they stand, and which of them nobody has to compute.

A number that was measured belongs in a sentence that the notebook, or a test of README, makes of its table. What may be typed is what nobody measures:
names, years, and settings of the design and numbers of the paper, each in a phrase that says what it is, so that it can be compared with where the code has it.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
PARTS = ["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]

VALUES = (
    {word: float(i) for i, word in enumerate(UNITS)}
    | {word: 10.0 * i for i, word in enumerate(TENS, 2)}
    | {"dozen": 12.0, "hundred": 100.0, "thousand": 1e3, "million": 1e6}
    | {f"{word}{plural}": 1 / i for i, word in enumerate(PARTS, 2) for plural in ("", "s")}
    | {"twentieth": 0.05, "halves": 0.5}
)
"""Numbers that are written as words."""

PASSED_OVER = {"zero", "one", "two"}
"""Not looked for: they are nearly always a name (zero-ablation), a pronoun, or say that something is paired."""

_WORDS = "|".join(sorted(VALUES.keys() - PASSED_OVER, key=len, reverse=True))
NUMBER = rf"(?<![\w.])(?:\d+(?:,\d{{3}})*(?:\.\d+)?(?!\w)|(?:{_WORDS})(?!\w))"
"""What counts as a number: digits, but for those of names such as ``v1`` or ``L0.H3``, and words of :data:`VALUES`."""

NAMES = (
    r"[A-Za-z]\w*-\d+\w*",  # GPT-2, SmolLM2-135M, AVX-512
    r"arXiv \d{4}\.\d{5}|Python \d\.\d+",
    r"(?:et al\.|[A-Z]\w+) (?:19|20)\d\d\b",  # a source and its year
)
"""What is no number though it has digits."""

A_MINUTE = 238
"""Words that are read in one: the mean over studies of silent reading of non-fiction in English (Brysbaert 2019,
https://doi.org/10.1016/j.jml.2019.104047)."""

WITHIN, FIRST, LAST = r"((?:(?!\. ).){1,320}?)", r"((?:(?!\. |; |: |, ).){1,60}?)", r"((?:(?!\. |; |: ).){1,240})"
"""What an expression has made: anything within a sentence, or, where a template begins or ends with it, within a clause."""

LETTERS = 10
"""Fewer letters of its own tell no template from another sentence."""

Value = float | Collection[float]


class Number(NamedTuple):
    """One number of a text, and where it stands there."""

    text: str
    start: int
    end: int

    @property
    def value(self) -> float:
        """What it says: a part of one where it is a fraction."""
        said = self.text.lower()
        return VALUES[said] if said in VALUES else float(said.replace(",", ""))


def plain(markdown: str) -> str:
    """What a reader reads of Markdown, on one line: links by their text, but those to a notebook that are its number, without code, formulas, tables,
    pictures and the numbers of a title and of a list."""
    text = re.sub(r"```.*?```|<!--.*?-->|\$\$.*?\$\$|\$[^$]+\$|!\[[^]]*\]\([^)]*\)", " ", markdown, flags=re.DOTALL)
    text = re.sub(r"^\s*\|.*$|^# \d\d · |^\d\. ", " ", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]+`", "CODE", text)
    text = re.sub(r"\[(\d\d)\]\(\S*?\1_\w+\.ipynb\)", "NOTEBOOK", text)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(text.split())


def numbers(text: str) -> Iterator[Number]:
    """The numbers of a plain text, in order."""
    hidden = [match.span() for name in NAMES for match in re.finditer(name, text)]
    for match in re.finditer(NUMBER, text, re.IGNORECASE):
        if not any(start <= match.start() < end for start, end in hidden):
            yield Number(match[0], *match.span())


def explained(text: str, phrases: Mapping[str, Sequence[Value]]) -> set[int]:
    """Where numbers of a plain text stand that a phrase explains.

    phrases: patterns, without groups, in which ``#`` stands for a number, and the values that these must have: one for all of a phrase, or one for each,
    in their order; of several that a number may have, a collection. A phrase whose numbers are others explains none of them.
    """
    found = set[int]()
    for phrase, values in phrases.items():
        for match in re.finditer(phrase.replace("#", f"({NUMBER})"), text, re.IGNORECASE):
            spans = [span for span in match.regs[1:] if span != (-1, -1)]
            said = [Number(text[start:end], start, end).value for start, end in spans]
            wanted = [*values] * len(said) if len(values) == 1 else values
            if all(_is(one, value) for one, value in zip(said, wanted, strict=True)):
                found |= {start for start, _ in spans}
    return found


def _is(said: float, value: Value) -> bool:
    values = [value] if isinstance(value, float | int) else value
    return any(abs(said - one) < 1e-9 for one in values)


def computed(text: str, sources: Collection[str]) -> set[int]:
    """Where numbers of a plain text stand that an expression makes: in the fields of the templates, f-strings or ``str.format``'s, of Python sources that
    compare them with the text, or write it."""
    found = set[int]()
    for template in (one for source in sources for one in _templates(source)):
        for match in re.finditer(template, text):
            fields = [match.span(i) for i in range(1, (match.lastindex or 0) + 1)]
            found |= {one.start for one in numbers(text) if any(start <= one.start < end for start, end in fields)}
    return found


def _templates(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "{}" in node.value:
            parts = [part or None for part in node.value.replace("{}", "\0\0").split("\0")]
        else:
            continue
        own = [re.sub(r"`[^`]+`", "CODE", str(part)) if part else None for part in parts]
        if sum(map(str.isalpha, "".join(part or "" for part in own))) >= LETTERS:
            texts = [r"\s*".join(map(_literal, re.split(r"\s+", part))) if part else WITHIN for part in own]
            ends = [FIRST] if own[0] is None else [texts[0]], [LAST] if own[-1] is None else [texts[-1]]
            yield "".join([*ends[0], *texts[1:-1], *ends[1]])


def _literal(word: str) -> str:
    """A pattern of a word of a template; a point that begins it is none of a decimal number."""
    return re.sub(r"^\\\.", r"\\.(?!\\d)", re.escape(word))


def amid(text: str, start: int) -> str:
    """A number amid its words, for a message."""
    return f"...{text[max(0, start - 40) : start]}>>> {text[start : start + 40]}..."


def in_words(number: int) -> str:
    """A small number as prose writes it."""
    return next(word for word, value in VALUES.items() if value == number)
