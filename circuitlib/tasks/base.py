"""What a task is: a generator of prompts with right and wrong answers, and the metric that scores them.

A task writes text; a subject's tokenizer turns it into tokens. Prompts of one length are kept
together, so that nothing is ever padded and the scored position is always the last one.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

Templates = Literal["pretraining", "evaluation"]
"""Which templates and word combinations to draw from. The embedded subject was trained on the first
kind only; everything measured in this project uses the second."""

HOLD_OUT_ONE_IN = 5
MIN_WORDS = 8


@dataclass(frozen=True)
class Example:
    """One prompt as text. ``candidates`` are answer strings, ``signs`` their weights in the metric
    (+1 right, -1 wrong); ``roles`` maps a role to the index of its last character in ``text``."""

    text: str
    answer: str
    candidates: Sequence[str]
    signs: Sequence[float]
    roles: Mapping[str, int]


@dataclass(frozen=True)
class Prompts:
    """Prompts of one task and one length, tokenised for one subject.

    tokens: token ids, BOS first; the metric is read at the last position.
    candidates, signs: answer token ids and their weights; column 0 is a right answer.
    roles: for each role (``S1``, ``IO``, ...) the position of its token in every prompt.
    """

    task: str
    tokens: Int[Tensor, "batch pos"]
    candidates: Int[Tensor, "batch answers"]
    signs: Float[Tensor, "batch answers"]
    text: list[str]
    roles: dict[str, Int[Tensor, " batch"]]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def last(self) -> int:
        """The scored position."""
        return self.tokens.shape[1] - 1

    @property
    def right(self) -> Int[Tensor, " batch"]:
        """The right answer's token id (logit-difference tasks)."""
        return self.candidates[:, 0]

    @property
    def wrong(self) -> Int[Tensor, " batch"]:
        """The wrong answer's token id (logit-difference tasks)."""
        return self.candidates[:, 1]

    def __getitem__(self, rows: slice | Int[Tensor, " rows"]) -> "Prompts":
        picked = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        return Prompts(
            self.task,
            self.tokens[rows],
            self.candidates[rows],
            self.signs[rows],
            [self.text[i] for i in picked],
            {role: positions[rows] for role, positions in self.roles.items()},
        )


@dataclass(frozen=True)
class Metric:
    """A task metric, a function of the logits at the last position.

    ``function`` maps (candidate logits ``[..., answers]``, log of the summed exponentials of all
    logits ``[...]`` or None, signs ``[..., answers]``) to the metric ``[...]``.
    ``needs_normaliser`` says whether the second argument is wanted: it costs a full unembedding.
    """

    name: str
    unit: str
    needs_normaliser: bool
    function: Callable[[Tensor, Tensor | None, Tensor], Tensor]


def _logit_difference(logits: Tensor, normaliser: Tensor | None, signs: Tensor) -> Tensor:
    return (signs * logits).sum(-1)


def _probability_difference(logits: Tensor, normaliser: Tensor | None, signs: Tensor) -> Tensor:
    assert normaliser is not None
    return (signs * (logits - normaliser.unsqueeze(-1)).exp()).sum(-1)


LOGIT_DIFFERENCE = Metric("logit difference", "logits", False, _logit_difference)
PROBABILITY_DIFFERENCE = Metric(
    "probability difference", "probability", True, _probability_difference
)

Generator = Callable[[PreTrainedTokenizerBase, Templates, np.random.Generator], Example]


@dataclass(frozen=True)
class Task:
    """A behaviour of a language model, with the metric that measures it.

    ``example(tokenizer, templates, rng)`` writes one prompt; ``source`` cites where the task is from.
    """

    name: str
    description: str
    source: str
    metric: Metric
    example: Generator

    def prompts(
        self,
        tokenizer: PreTrainedTokenizerBase,
        count: int,
        seed: int,
        templates: Templates = "evaluation",
    ) -> list[Prompts]:
        """``count`` prompts drawn with ``seed``, grouped by length, shortest first.

        Raises ``ValueError`` when ``count`` is not positive, when the tokenizer has no BOS token, or
        when too few of the task's words are single tokens for it.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        rng = np.random.default_rng([seed, *self.name.encode()])
        return tokenise(
            self.name, tokenizer, [self.example(tokenizer, templates, rng) for _ in range(count)]
        )


def tokenise(
    task: str, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> list[Prompts]:
    """Examples as token tensors, grouped by length, shortest first; within a group in given order."""
    bos = beginning(tokenizer)
    groups: dict[tuple[int, int], list[tuple[Example, list[int], dict[str, int]]]] = defaultdict(
        list
    )
    encodings = tokenizer(
        [example.text for example in examples],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    for example, ids, offsets in zip(
        examples, encodings["input_ids"], encodings["offset_mapping"], strict=True
    ):
        roles = {
            role: 1 + next(i for i, (start, end) in enumerate(offsets) if start <= last < end)
            for role, last in example.roles.items()
        }
        tokens = [bos, *ids]
        groups[len(tokens), len(example.candidates)].append((example, tokens, roles))
    return [
        Prompts(
            task,
            torch.tensor([tokens for _, tokens, _ in group]),
            torch.tensor(
                [[token_id(tokenizer, word) for word in e.candidates] for e, _, _ in group]
            ),
            torch.tensor([list(e.signs) for e, _, _ in group], dtype=torch.float32),
            [e.text for e, _, _ in group],
            {role: torch.tensor([roles[role] for _, _, roles in group]) for role in group[0][2]},
        )
        for _, group in sorted(groups.items())
    ]


def beginning(tokenizer: PreTrainedTokenizerBase) -> int:
    """The BOS token, which every prompt starts with.

    A tokenizer without one (Qwen2's) has EOS in its place once TransformerLens has loaded the model, as
    its own prompts do. Raises ``ValueError`` for one that has not been through that.
    """
    if tokenizer.bos_token_id is None:
        raise ValueError(
            "the tokenizer has no BOS token, which every prompt starts with; take a subject's tokenizer, "
            "or set tokenizer.bos_token = tokenizer.eos_token as TransformerLens does"
        )
    return int(tokenizer.bos_token_id)


def token_id(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """The one token that ``text`` is encoded as; ``ValueError``, saying what to try, when it takes several
    or none."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        bare = text.strip(" ")
        other = bare if text.startswith(" ") else " " + bare
        fits = bool(bare) and len(tokenizer.encode(other, add_special_tokens=False)) == 1
        hint = f"{other!r} is one" if fits else "choose another word"
        raise ValueError(
            f"{text!r} is {len(ids)} tokens for this tokenizer; an answer must be one ({hint})"
        )
    return ids[0]


def single_token_words(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[str], at_least: int = MIN_WORDS
) -> list[str]:
    """Those of ``words`` that are one token with a leading space, in the given order.

    Raises ``ValueError``, naming the words that are not, when fewer than ``at_least`` remain.
    """
    kept = _single_token_words(tokenizer, tuple(words))
    if len(kept) < at_least:
        dropped = ", ".join(word for word in words if word not in kept)
        raise ValueError(
            f"only {len(kept)} of {len(words)} words are single tokens for this tokenizer and "
            f"{at_least} are needed; these are not: {dropped}"
        )
    return list(kept)


@cache
def _single_token_words(
    tokenizer: PreTrainedTokenizerBase, words: tuple[str, ...]
) -> tuple[str, ...]:
    """Kept, with the tokenizer itself as the key: asking it takes long, and an id is given again."""
    return tuple(
        word for word in words if len(tokenizer.encode(" " + word, add_special_tokens=False)) == 1
    )


def is_held_out(*indices: int) -> bool:
    """Whether a combination of words, given by their indices in their lists, is kept from training."""
    return sum(indices) % HOLD_OUT_ONE_IN == 0


def fill(template: str, words: Mapping[str, str]) -> tuple[str, dict[str, int]]:
    """Replace each ``{ROLE}`` by a space and its word; also return where each word ends.

    >>> fill("When{A} met{B}", {"A": "Mary", "B": "John"})
    ('When Mary met John', {'A': 8, 'B': 17})
    """
    text, ends, after = "", {}, 0
    for match in re.finditer(r"\{(\w+)\}", template):
        text += template[after : match.start()] + " " + words[match[1]]
        ends[match[1]] = len(text) - 1
        after = match.end()
    return text + template[after:], ends


def pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    """One word, drawn uniformly."""
    return words[int(rng.integers(len(words)))]


def draw_combination(
    rng: np.random.Generator, words: Sequence[str], count: int, templates: Templates
) -> list[str]:
    """``count`` distinct words whose combination belongs to the asked-for side of the hold-out."""
    while True:
        indices = rng.choice(len(words), size=count, replace=False)
        if is_held_out(*indices.tolist()) == (templates == "evaluation"):
            return [words[i] for i in indices]
