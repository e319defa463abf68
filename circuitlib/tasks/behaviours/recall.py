"""Behaviours that look a word up in the prompt: everything is drawn at random, and the answer was said before."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import Generator

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, Tokenizer, fill, pick
from circuitlib.tasks.behaviours.pairs import PROJECT, draw_different


@dataclass(frozen=True)
class Recall:
    """Prompts that mention two words, A and B, of which one is the answer and the other wrong: which, is told by the last mention of B.

    words: what both are drawn from. answers: the roles of the right answer and of the wrong one.
    """

    words: Sequence[str]
    templates: Sequence[str]
    answers: str

    def task(self, name: str, description: str, source: str = PROJECT) -> Task:
        return Task(name, description, source, LOGIT_DIFFERENCE, self.example, self.counterfactual)

    def example(self, tokenizer: Tokenizer, rng: Generator) -> Example:
        """One prompt; roles B and A, each at its last mention."""
        drawn = draw_different(tokenizer, rng, {"A": self.words, "B": self.words})
        text, ends = fill(pick(rng, self.templates), drawn)
        candidates = [" " + drawn[role] for role in self.answers]
        return Example(text, candidates[0], candidates, [1.0, -1.0], {role: ends[role] for role in "BA"})

    def counterfactual(self, tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
        """A in the place of the last B: the answer is the wrong one."""
        return example.with_words({"B": example.word("A")})
