"""Behaviours that look a word up in the prompt: everything is drawn at random, and the answer was said before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy.random import Generator

from circuitlib.tasks.base import LOGIT_DIFFERENCE, Example, Task, Tokenizer, fill, pick, single_token_words
from circuitlib.tasks.behaviours.pairs import PROJECT


@dataclass(frozen=True)
class Recall:
    """Prompts whose answer is the word of one role, and the wrong answer that of another.

    words: what each role of the templates is drawn from, all different.
    cue: the role whose last mention decides, and the role whose word there would make the wrong answer right.
    """

    words: Mapping[str, Sequence[str]]
    templates: Sequence[str]
    answers: tuple[str, str]
    cue: tuple[str, str]

    def task(self, name: str, description: str, source: str = PROJECT) -> Task:
        return Task(name, description, source, LOGIT_DIFFERENCE, self.example, self.counterfactual)

    def example(self, tokenizer: Tokenizer, rng: Generator) -> Example:
        """One prompt; its roles are those of the cue and its rival, each at its last mention."""
        drawn: dict[str, str] = {}
        for role, words in self.words.items():
            free = [word for word in single_token_words(tokenizer, words) if word not in drawn.values()]
            drawn[role] = pick(rng, free)
        text, ends = fill(pick(rng, self.templates), drawn)
        candidates = [" " + drawn[role] for role in self.answers]
        return Example(text, candidates[0], candidates, [1.0, -1.0], {role: ends[role] for role in self.cue})

    def counterfactual(self, tokenizer: Tokenizer, example: Example, rng: Generator) -> str:
        """The cue replaced by its rival: the answer is the wrong one."""
        cue, rival = self.cue
        return example.with_words({cue: example.word(rival)})
