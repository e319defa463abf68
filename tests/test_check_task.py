"""A good task passes; a task that is wrong in one way fails exactly the check that asks about it."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from circuitlib.ablation.check_task import (
    ABILITY,
    AGREEMENT,
    ANSWERS,
    CHANCE,
    CHECKS,
    CONTEXT,
    DISTINCT,
    PRECISION,
    SIDES,
    STANDOUT,
    check_task,
    least_share,
    verdict,
)
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS, Example, Metric, Task
from circuitlib.tasks.base import LOGIT_DIFFERENCE


@pytest.fixture
def subject(embedded: Subject) -> Subject:
    return embedded


Change = Callable[[Example, np.random.Generator], Example]


def _changed(name: str, change: Change, metric: Metric = LOGIT_DIFFERENCE) -> Task:
    """A built-in task whose every prompt is changed."""

    def example(tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> Example:
        return change(TASKS[name].example(tokenizer, rng), rng)

    return Task(name, "", "this test", metric, example)


def _with(example: Example, candidates: list[str], signs: tuple[float, ...] = (1.0, -1.0)) -> Example:
    return Example(example.text, candidates[0], candidates, list(signs), example.roles)


def test_a_good_task_passes(subject: Subject) -> None:
    frame, again = (check_task(subject, TASKS["agreement"], 12) for _ in range(2))
    assert list(frame) == ["check", "value", "bar", "passed", "message", "kind"]
    assert dict(zip(frame["check"], frame["kind"], strict=True)) == CHECKS
    assert verdict(frame) == (None, None)
    assert frame["passed"].all()
    assert not frame["passed"].isna().any()
    assert frame.equals(again)


def _one_of_twelve(tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> Example:
    return TASKS["agreement"].example(tokenizer, np.random.default_rng(int(rng.integers(12))))


def _in_any_order(example: Example, rng: np.random.Generator) -> Example:
    return _with(example, [str(answer) for answer in rng.permutation(np.array(example.candidates))])


def _often_turned(example: Example, rng: np.random.Generator) -> Example:
    side = 1.0 if rng.random() > 0.22 else -1.0
    return _with(example, list(example.candidates), (side, -side))


ACCURACY = Metric("accuracy", "right or wrong", False, lambda x, _, signs: (signs * x).sum(-1).sign())

Case = tuple[Task, int, list[str], str]
CASES: dict[str, Case] = {
    "few prompts": (
        Task("agreement", "", "this test", LOGIT_DIFFERENCE, _one_of_twelve),
        32,
        [DISTINCT],
        r"1\d of 32 prompts drawn are different\. At least 16 must be; add words",
    ),
    "answers of several tokens": (
        _changed("agreement", lambda e, rng: _with(e, [" unbelievable", e.candidates[1]])),
        32,
        [ANSWERS],
        r"1 of 5 answers are not one token\. The first: ' unbelievable' is \d tokens",
    ),
    "equal answers": (
        _changed("agreement", lambda e, rng: _with(e, [" is", " is"])),
        32,
        [SIDES],
        r"have the same token as both.*Draw the wrong answer",
    ),
    "no wrong answer": (
        _changed("agreement", lambda e, rng: _with(e, [" is"], (1.0,))),
        32,
        [SIDES],
        "lack a right or a wrong answer",
    ),
    "long prompts": (
        _changed("agreement", lambda e, rng: replace(e, text=e.text + " and" * 300)),
        32,
        [CONTEXT],
        r"longest prompt is 3\d\d tokens with BOS; the model reads up to 256\. Shorten",
    ),
    "random answers": (_changed("agreement", _in_any_order), 64, [ABILITY], "guessing reaches once in a hundred times"),
    "too few to tell": (TASKS["ioi"], 6, [ABILITY], "too few to tell that from guessing; draw more"),
    "noisy prompts": (
        _changed("ioi", _often_turned),
        64,
        [PRECISION],
        r"It may be 10% of the mean: draw about \d{3} prompts",
    ),
    "a metric that saturates": (
        _changed("agreement", lambda e, rng: e, ACCURACY),
        12,
        [AGREEMENT, STANDOUT],
        "accept that no head stands out",
    ),
    "every head matters little": (
        TASKS["greater_than"],
        64,
        [STANDOUT],
        r"is worth 1\.\d% of the metric\. Below 5%, fractions of it say nothing",
    ),
}


MANY_PROMPTS = {"noisy prompts", "every head matters little"}


@pytest.mark.parametrize(
    ("task", "count", "fails", "message"),
    [
        pytest.param(*case, marks=[pytest.mark.long] if name in MANY_PROMPTS else [], id=name)
        for name, case in CASES.items()
    ],
)
def test_what_is_wrong_fails_its_checks_alone(
    task: Task, count: int, fails: list[str], message: str, subject: Subject
) -> None:
    frame = check_task(subject, task, count)
    failed = frame[frame["passed"].eq(False).fillna(False)]
    assert failed["check"].tolist() == fails
    first = failed["message"].iloc[0]
    assert re.search(message, first), first
    measured, last = frame["passed"].notna(), fails[-1]
    before = frame["check"].tolist().index(last) + 1
    goes_on = last == DISTINCT or CHECKS[last] == "warns"
    assert measured.tolist() == [True] * before + [goes_on] * (len(CHECKS) - before)
    refused, warned = verdict(frame)
    assert (refused, warned) == ((first, None) if CHECKS[last] == "refuses" else (None, first))


def _no_prompts(example: Example, rng: np.random.Generator) -> Example:
    raise ValueError("only 3 of 40 words are single tokens")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_prompts, "writes no prompts that can be used: only 3 of 40 words"),
        (lambda e, rng: replace(e, roles={"S": 400}), "role S of .* ends at character 400"),
        (lambda e, rng: replace(e, roles={f"S{rng.integers(9)}": 2}), "give every prompt the same"),
        (lambda e, rng: _with(e, [" is", " are"], (1.0,)), "2 candidates and 1 signs"),
        (lambda e, rng: replace(e, text="<|endoftext|>" + e.text), "starts with the BOS token"),
        (lambda e, rng: replace(e, counterfactual=e.text + " and"), "exchange words that are as many tokens"),
    ],
)
def test_prompts_that_cannot_be_made_are_a_failed_row(change: Change, message: str, subject: Subject) -> None:
    frame = check_task(subject, _changed("agreement", change), 8)
    assert frame["passed"].isna().tolist() == [False] + 7 * [True]
    assert not frame["passed"].iloc[0]
    refused, warned = verdict(frame)
    assert refused is not None
    assert re.search(message, refused), refused
    assert warned is None


def test_the_bar_is_the_binomial_test() -> None:
    for prompts in (7, 20, 64, 200):
        right = round(least_share(prompts) * prompts)
        tails = [sum(comb(prompts, k) for k in range(at, prompts + 1)) / 2**prompts for at in (right, right - 1)]
        assert tails[0] <= CHANCE < tails[1]
    assert least_share(6) > 1
    assert least_share(64) == 42 / 64


def test_one_prompt_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="count must be at least 2"):
        check_task(subject, TASKS["ioi"], 1)
