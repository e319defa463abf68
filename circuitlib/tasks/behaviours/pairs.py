"""Behaviours that are a relation between words: cues, their answer, and a sentence that asks for it.

A row is one or more cues and their answer: ``("France", "Paris")``, or ``("one", "two", "three")``.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

from numpy.random import Generator

from circuitlib.tasks.base import (
    LOGIT_DIFFERENCE,
    MIN_WORDS,
    Example,
    Task,
    Tokenizer,
    fill,
    pick,
    refuse_few,
    single_token_words,
)
from circuitlib.tasks.words import NAMES, OBJECTS, PLACES

PROJECT = "this project"
FUNCTION_VECTORS = "Todd et al. 2024, arXiv 2310.15213"
SUCCESSORS = "Gould et al. 2023, arXiv 2312.09230"
ROLES = "ABC"
"""Of a row's cues, in order."""

FILLERS = {"N": NAMES, "M": NAMES, "P": PLACES, "X": OBJECTS}
"""Words for other roles of a template, which do not change the answer."""

Row = tuple[str, ...]


def rows(block: str) -> list[Row]:
    """A row per run of non-space, its words separated by colons.

    >>> rows("France:Paris Italy:Rome")
    [('France', 'Paris'), ('Italy', 'Rome')]
    """
    return [tuple(row.split(":")) for row in block.split()]


def kinds(block: str) -> list[Row]:
    """A row per word of each line, which begins with their answer.

    >>> kinds("Italy: Rome Milan")
    [('Rome', 'Italy'), ('Milan', 'Italy')]
    """
    lines = [line.split(":") for line in block.strip().splitlines()]
    return [(cue, answer.strip()) for answer, cues in lines for cue in cues.split()]


def windows(words: Sequence[str]) -> list[Row]:
    """Every run of an ordered list: three words and the next one, the answer."""
    return list(zip(words, words[1:], words[2:], words[3:], strict=False))


@dataclass(frozen=True)
class Pairs:
    """Prompts that ask for the answer of a row. The wrong answer is another row's; the roles are the cues'.

    rows: cues and their answer; the same cues may have several answers, and an answer several cues.
    templates: sentences with ``{A}``, ``{B}``, ... for the cues and ``{Y}`` for the answer, where the prompt ends.
    shots: so many other rows are written before it, each as the whole template.
    fillers: words for other roles of the templates.
    against_cue: the wrong answer is the last cue, such as the verb whose past is asked for.
    joined: the answer follows without a space.
    """

    rows: Sequence[Row]
    templates: Sequence[str]
    shots: int = 0
    fillers: Mapping[str, Sequence[str]] = field(default_factory=lambda: FILLERS)
    against_cue: bool = False
    joined: bool = False

    def task(self, name: str, description: str, source: str = PROJECT) -> Task:
        return Task(name, description, source, LOGIT_DIFFERENCE, self.example, self.counterfactual)

    def example(self, tokenizer: Tokenizer, rng: Generator) -> Example:
        """One prompt. Raises ``ValueError`` when too few words are single tokens."""
        kept = self.single_tokens(tokenizer)
        row = pick(rng, kept)
        right = {answer for *cues, answer in kept if cues == [*row[:-1]]}
        other = pick(rng, [some for some in kept if some[-1] not in right])
        template, said = pick(rng, self.templates), {*row, *other}
        others = [some for some in kept if said.isdisjoint(some[:-1])]
        shots = [others[at] for at in rng.choice(len(others), self.shots, replace=False)]
        before = "".join(fill(template, _roles(shot) | {"Y": shot[-1]})[0] for shot in shots)
        fillers = {role: words for role, words in self.fillers.items() if f"{{{role}}}" in template}
        words = _roles(row) | draw_different(tokenizer, rng, fillers, said)
        text, ends = fill(template.partition("{Y}")[0], words)
        space = "" if self.joined else " "
        answers = [space + row[-1], space + (row[-2] if self.against_cue else other[-1])]
        roles = {role: len(before) + ends[role] for role in _roles(row)}
        return Example(before + text, answers[0], answers, [1.0, -1.0], roles)

    def counterfactual(self, tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
        """The cues of another row, of which the text does not have all: the answer is the wrong one, or, where that is
        the cue itself, a third."""
        right, wrong = (answer.removeprefix(" ") for answer in example.candidates)
        seen = set(re.findall(r"\S+", re.sub(r"[,.:;]", " ", example.text)))
        others = [
            row
            for row in self.single_tokens(tokenizer)
            if (row[-1] != right if self.against_cue else row[-1] == wrong) and not set(row[:-1]) <= seen
        ]
        text = example.text
        for role, word in reversed(_roles(pick(rng, others)).items()):
            end = example.roles[role] + 1
            text = text[: text.rindex(" ", 0, end) + 1] + word + text[end:]
        return text

    def single_tokens(self, tokenizer: Tokenizer) -> list[Row]:
        """The rows of which every word is one token.

        Raises ``ValueError`` when fewer than eight of them remain, or than all where there are fewer.
        """
        single = set(single_token_words(tokenizer, list(dict.fromkeys(chain(*self.rows))), at_least=0))
        kept = [row for row in self.rows if single.issuperset(row)]
        written, left = ([":".join(row) for row in some] for some in (self.rows, kept))
        refuse_few("rows", written, left, min(MIN_WORDS, len(self.rows)))
        return kept


def draw_different(
    tokenizer: Tokenizer, rng: Generator, roles: Mapping[str, Sequence[str]], taken: Set[str] = frozenset()
) -> dict[str, str]:
    """A word for each role, from the words that it may have: all different, and none of those taken."""
    drawn: dict[str, str] = {}
    for role, words in roles.items():
        free = [word for word in single_token_words(tokenizer, words) if word not in taken | {*drawn.values()}]
        drawn[role] = pick(rng, free)
    return drawn


def _roles(row: Row) -> dict[str, str]:
    return dict(zip(ROLES, row[:-1], strict=False))
