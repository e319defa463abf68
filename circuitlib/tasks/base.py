"""What a task is: a generator of prompts with right and wrong answers, and the metric that scores them.

A task writes text; a subject's tokenizer turns it into tokens, after BOS. Prompts of one length are kept together, so
that nothing is ever padded and the scored position is always the last one. Text that does not become the tokens it is
meant to be is refused.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator, default_rng
from torch import Tensor

from circuitlib.subjects.beginning import beginning
from circuitlib.subjects.types import Tokenizer

HOLD_OUT_ONE_IN = 5
MIN_WORDS = 8

Picked = TypeVar("Picked")


@dataclass(frozen=True)
class Example:
    """One prompt as text. ``candidates`` are answer strings, ``signs`` their weights in the metric (+1 right, -1 wrong);
    ``roles`` maps a role to the index of its last character in ``text``; ``counterfactual`` is a text of as many tokens
    in which the answer is another one or unknowable."""

    text: str
    answer: str
    candidates: Sequence[str]
    signs: Sequence[float]
    roles: Mapping[str, int]
    counterfactual: str | None = None

    def word(self, role: str) -> str:
        """The word that ends at a role."""
        found = re.search(r"\w+$", self.text[: self.roles[role] + 1])
        assert found is not None, f"no word ends at {role} of {self.text!r}"
        return found[0]

    def with_words(self, words: Mapping[str, str]) -> str:
        """The text with the words at these roles replaced."""
        text = self.text
        for role in sorted(words, key=lambda role: self.roles[role], reverse=True):
            end = self.roles[role] + 1
            text = text[: end - len(self.word(role))] + words[role] + text[end:]
        return text


@dataclass(frozen=True)
class Prompts:
    """Prompts of one task and one length, tokenised for one subject.

    tokens: token ids, BOS first; the metric is read at the last position.
    candidates, signs: answer token ids and their weights; column 0 is a right answer of logit-difference tasks.
    roles: for each role (``S1``, ``IO``, ...) the position of its token in every prompt.
    counterfactual: of :class:`Example`, tokenised; None for prompts written by hand without one.
    """

    task: str
    tokens: Int[Tensor, "batch pos"]
    candidates: Int[Tensor, "batch answers"]
    signs: Float[Tensor, "batch answers"]
    text: list[str]
    roles: dict[str, Int[Tensor, " batch"]]
    counterfactual: Int[Tensor, "batch pos"] | None = None

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
        return replace(
            self,
            tokens=self.tokens[rows],
            candidates=self.candidates[rows],
            signs=self.signs[rows],
            text=[self.text[i] for i in torch.arange(len(self))[rows].tolist()],
            roles={role: positions[rows] for role, positions in self.roles.items()},
            counterfactual=None if self.counterfactual is None else self.counterfactual[rows],
        )


def some_prompts(groups: Sequence[Prompts], rows: Int[Tensor, " rows"]) -> list[Prompts]:
    """Some of the prompts of several groups, by their places counted through all of them, in order; still in groups."""
    parts, first = [], 0
    for group in groups:
        inside = rows[(rows >= first) & (rows < first + len(group))] - first
        parts += [group[inside]] if len(inside) else []
        first += len(group)
    return parts


@dataclass(frozen=True)
class Metric:
    """A task metric, a function of the logits at the last position.

    ``function`` maps (candidate logits ``[..., answers]``, log of the summed exponentials of all logits ``[...]`` or
    None, signs ``[..., answers]``) to the metric ``[...]``. ``needs_normaliser`` says whether the second argument is
    wanted: it costs a full unembedding.
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
PROBABILITY_DIFFERENCE = Metric("probability difference", "probability", True, _probability_difference)


@dataclass(frozen=True)
class Task:
    """A behaviour of a language model, with the metric that measures it. ``source`` says where it is from.

    ``example(tokenizer, rng)`` writes one prompt, ``counterfactual(tokenizer, example, rng)`` its counterfactual text.
    Where the latter is None, heads cannot be ablated by resampling.
    """

    name: str
    description: str
    source: str
    metric: Metric
    example: Callable[[Tokenizer, Generator], Example]
    counterfactual: Callable[[Tokenizer, Example, Generator], str] | None = None

    def examples(self, tokenizer: Tokenizer, count: int, seed: int) -> list[Example]:
        """``count`` prompts as text, drawn with ``seed``; see :meth:`prompts`."""
        refuse_count(count, seed)
        rng = default_rng([seed, *self.name.encode()])
        # A stream of their own: the prompts are the same with and without counterfactuals.
        (other,) = rng.spawn(1)
        examples = [self.example(tokenizer, rng) for _ in range(count)]
        if self.counterfactual is None:
            return examples
        return [replace(example, counterfactual=self.counterfactual(tokenizer, example, other)) for example in examples]

    def prompts(self, tokenizer: Tokenizer, count: int, seed: int) -> list[Prompts]:
        """``count`` prompts drawn with ``seed``, grouped by length, shortest first.

        Raises ``TypeError`` and ``ValueError`` as :func:`refuse_count` does, ``ValueError`` when too few of the task's words are single tokens for the
        tokenizer, and what :func:`tokenise` raises.
        """
        return tokenise(self.name, tokenizer, self.examples(tokenizer, count, seed))


def refuse_count(count: int, seed: int) -> None:
    """Raise ``TypeError`` for a count or seed that is no whole number, ``ValueError`` for no prompts or a negative seed."""
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be a whole number, not {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def tokenise(task: str, tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Prompts]:
    """Examples as token tensors, grouped by length, shortest first; within a group in given order.

    Raises ``ValueError`` for an answer that is not one token, a right answer that is also a wrong one, and what :func:`encode_examples` raises.
    """
    groups: dict[tuple[int, int], list[tuple[Example, Encoded]]] = defaultdict(list)
    words = dict.fromkeys(word for example in examples for word in example.candidates)
    answers = {word: token_id(tokenizer, word) for word in words}
    for example, encoded in zip(examples, encode_examples(tokenizer, examples), strict=True):
        right, wrong = ({answers[word] for word in with_sign(example, sign)} for sign in (1, -1))
        if right & wrong:
            raise ValueError(
                f"the right and the wrong answer of {example.text!r} are the same token, so that nothing is measured"
            )
        groups[len(encoded.tokens), len(example.candidates)].append((example, encoded))
    return [
        Prompts(
            task,
            torch.tensor([encoded.tokens for _, encoded in group]),
            torch.tensor([[answers[word] for word in e.candidates] for e, _ in group]),
            torch.tensor([list(e.signs) for e, _ in group], dtype=torch.float32),
            [e.text for e, _ in group],
            {role: torch.tensor([encoded.roles[role] for _, encoded in group]) for role in group[0][1].roles},
            torch.tensor([encoded.counterfactual for _, encoded in group]) if group[0][1].counterfactual else None,
        )
        for _, group in sorted(groups.items(), key=lambda item: item[0])
    ]


def with_sign(example: Example, sign: int) -> list[str]:
    """The right answers of an example, or, with -1, the wrong ones."""
    return [word for word, weight in zip(example.candidates, example.signs, strict=True) if weight * sign > 0]


class Encoded(NamedTuple):
    """An example's token ids, BOS first, the position of each role's token, and the ids of its counterfactual, if it has one."""

    tokens: list[int]
    roles: dict[str, int]
    counterfactual: list[int] | None


def encode_examples(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Encoded]:
    """Raises ``ValueError`` when candidates and signs are not as many, for signs that are not finite, when examples have different roles or only some
    have a counterfactual, for one of another length than its prompt, when the word at a role is not one token (a number may be several), and what
    :func:`encode_texts` raises."""
    for example in examples:
        if len(example.candidates) != len(example.signs):
            raise ValueError(
                f"{example.text!r} has {len(example.candidates)} candidates and {len(example.signs)} signs; "
                "give each candidate one sign"
            )
        if not all(map(isfinite, example.signs)):
            raise ValueError(f"the signs of {example.text!r} must be finite, not {list(example.signs)}")
        if example.roles.keys() != examples[0].roles.keys():
            raise ValueError(
                f"{example.text!r} has roles {sorted(example.roles)} and {examples[0].text!r} "
                f"{sorted(examples[0].roles)}; give every prompt the same"
            )
    texts = [example.text for example in examples]
    written = [example.counterfactual for example in examples if example.counterfactual is not None]
    if written and len(written) < len(texts):
        raise ValueError(
            f"{len(written)} of {len(texts)} prompts have a counterfactual; give every prompt one, or none"
        )
    encodings = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    rows, first = _after_bos(tokenizer, texts, encodings["input_ids"]), len(beginning(tokenizer))
    others = encode_texts(tokenizer, written) if written else [None] * len(texts)
    for example, row, other in zip(examples, rows, others, strict=True):
        if other and len(other) != len(row):
            raise ValueError(
                f"the counterfactual {example.counterfactual!r} is {len(other)} tokens and its prompt "
                f"{example.text!r} {len(row)}; exchange words that are as many tokens"
            )
    return [
        Encoded(row, {role: first + _token_at(example, role, offsets) for role in example.roles}, other)
        for example, row, offsets, other in zip(examples, rows, encodings["offset_mapping"], others, strict=True)
    ]


def _token_at(example: Example, role: str, offsets: Sequence[tuple[int, int]]) -> int:
    """The index of a role's token, given the characters ``[start, end)`` of each token."""
    text, last = example.text, example.roles[role]
    if not 0 <= last < len(text):
        raise ValueError(f"role {role} of {text!r} ends at character {last}, which is not in the text; count from 0")
    for i, (start, end) in enumerate(offsets):
        if start <= last < end:
            if end == last + 1 and not (start and text[start - 1 : start + 1].isalpha()):
                return i
            raise ValueError(
                f"role {role} of {text!r} is at the token {text[start:end]!r}, which is not the word that ends "
                f"at character {last}; draw words with single_token_words"
            )
    raise ValueError(f"role {role} of {text!r} is at no token for this tokenizer; name another")


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, BOS first.

    A special token further on in a text, BOS included, is that one token, as the tokenizer encodes it: models see
    documents separated so. Raises ``ValueError`` when a text starts with BOS, which would be there twice, or when the
    tokenizer has none.
    """
    return _after_bos(tokenizer, texts, tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"])


def _after_bos(tokenizer: Tokenizer, texts: Sequence[str], encodings: list[list[int]]) -> list[list[int]]:
    bos = beginning(tokenizer)
    for text, ids in zip(texts, encodings, strict=True):
        if bos and ids[:1] == bos:
            start = text if len(text) < 60 else text[:60] + "..."
            raise ValueError(
                f"{start!r} starts with the BOS token {tokenizer.bos_token!r}; it is put there anyway, leave it out"
            )
    return [[*bos, *ids] for ids in encodings]


def token_id(tokenizer: Tokenizer, text: str) -> int:
    """The one token that ``text`` is encoded as; ``ValueError``, saying what to try, when it takes several, none, or the
    one for all that is unknown."""
    bare = text.strip(" ")
    other = bare if text.startswith(" ") else " " + bare
    (ids, fits), (_, other_fits) = _encode_words(tokenizer, [text, other])
    if fits:
        return ids[0]
    hint = f"{other!r} is one" if bare and other_fits else "choose another word"
    what = "unknown to" if len(ids) == 1 else f"{len(ids)} tokens for"
    raise ValueError(f"{text!r} is {what} this tokenizer; an answer must be one token ({hint})")


def _encode_words(tokenizer: Tokenizer, words: Sequence[str]) -> list[tuple[list[int], bool]]:
    """The token ids of each word, and whether they are one, and not the one for all that is unknown."""
    if not words:  # which transformers cannot encode
        return []
    encodings = tokenizer(list(words), add_special_tokens=False)["input_ids"]
    return [
        (ids, len(ids) == 1 and (ids[0] != tokenizer.unk_token_id or word == tokenizer.unk_token))
        for word, ids in zip(words, encodings, strict=True)
    ]


def single_token_words(tokenizer: Tokenizer, words: Sequence[str], at_least: int = MIN_WORDS) -> list[str]:
    """Those of ``words`` that are one token with a leading space, in the given order.

    Raises ``ValueError``, naming the words that are not, when fewer than ``at_least`` remain.
    """
    kept = _single_token_words(tokenizer, tuple(words))
    refuse_few("words", words, kept, at_least)
    return list(kept)


def refuse_few(what: str, words: Sequence[str], kept: Sequence[str], at_least: int) -> None:
    """Raise ``ValueError``, naming those that are not kept, where fewer are than are needed."""
    if len(kept) < at_least:
        dropped = ", ".join(word for word in words if word not in kept)
        raise ValueError(
            f"only {len(kept)} of {len(words)} {what} are single tokens for this tokenizer and "
            f"{at_least} are needed; these are not: {dropped}"
        )


@cache
def _single_token_words(tokenizer: Tokenizer, words: tuple[str, ...]) -> tuple[str, ...]:
    """Kept, with the tokenizer itself as the key: asking it takes long, and an id is given again."""
    encoded = _encode_words(tokenizer, [" " + word for word in words])
    return tuple(word for word, (_, fits) in zip(words, encoded, strict=True) if fits)


def is_held_out(*indices: int) -> bool:
    """Whether a combination of words, given by their indices in their lists, is kept from pretraining."""
    return sum(indices) % HOLD_OUT_ONE_IN == 0


def fill(template: str, words: Mapping[str, str]) -> tuple[str, dict[str, int]]:
    """Replace each ``{ROLE}`` by a space and its word; also return where each word ends.

    >>> fill("When{A} met{B}", {"A": "Mary", "B": "John"})
    ('When Mary met John', {'A': 8, 'B': 17})
    """
    text, ends = "", {}
    *parts, rest = re.split(r"\{(\w+)\}", template)
    for before, role in zip(parts[::2], parts[1::2], strict=True):
        text += before + " " + words[role]
        ends[role] = len(text) - 1
    return text + rest, ends


def pick(rng: Generator, some: Sequence[Picked]) -> Picked:
    """One of them, drawn uniformly."""
    return some[int(rng.integers(len(some)))]


def draw_combination(rng: Generator, words: Sequence[str], count: int, held_out: bool = True) -> list[str]:
    """``count`` distinct words whose combination is held out from pretraining, or is not."""
    while True:
        indices = rng.choice(len(words), size=count, replace=False)
        if is_held_out(*indices.tolist()) == held_out:
            return [words[i] for i in indices]
