"""A good task passes; a task that is wrong in one way fails exactly the check that asks about it."""

from collections.abc import Callable
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
    check_task,
    least_share,
)
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS, Example, Metric, Task
from circuitlib.tasks.base import LOGIT_DIFFERENCE


@pytest.fixture(scope="module")
def subject() -> Subject:
    return load_subject()


Change = Callable[[Example, np.random.Generator], Example]


def _changed(name: str, change: Change, metric: Metric = LOGIT_DIFFERENCE) -> Task:
    """A built-in task whose every prompt is changed."""

    def example(tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> Example:
        return change(TASKS[name].example(tokenizer, rng), rng)

    return Task(name, "", "this test", metric, example)


def _with(
    example: Example, candidates: list[str], signs: tuple[float, ...] = (1.0, -1.0)
) -> Example:
    return Example(example.text, candidates[0], candidates, list(signs), example.roles)


def test_a_good_task_passes(subject: Subject) -> None:
    frame = check_task(subject, TASKS["agreement"], 32)
    assert list(frame) == ["check", "value", "bar", "passed", "message", "kind"]
    assert dict(zip(frame["check"], frame["kind"], strict=True)) == CHECKS
    assert verdict(frame) == (None, None)
    assert frame["passed"].all()
    assert not frame["passed"].isna().any()
    again = check_task(subject, TASKS["agreement"], 32)
    assert frame.equals(again)


def _one_of_twelve(example: Example, rng: np.random.Generator) -> Example:
    which = np.random.default_rng(int(rng.integers(12)))
    return TASKS["agreement"].example(load_subject().tokenizer, which)


def _in_any_order(example: Example, rng: np.random.Generator) -> Example:
    return _with(example, [str(answer) for answer in rng.permutation(np.array(example.candidates))])


def _often_turned(example: Example, rng: np.random.Generator) -> Example:
    side = 1.0 if rng.random() > 0.22 else -1.0
    return _with(example, list(example.candidates), (side, -side))


ACCURACY = Metric(
    "accuracy", "right or wrong", False, lambda x, _, signs: (signs * x).sum(-1).sign()
)

CASES: list[tuple[str, str, Task, int, str]] = [
    (
        "few prompts", DISTINCT, _changed("agreement", _one_of_twelve),
        32, r"1\d of 32 prompts drawn are different\. At least 16 must be; add words",
    ),
    (
        "answers of several tokens", ANSWERS,
        _changed("agreement", lambda e, rng: _with(e, [" unbelievable", e.candidates[1]])),
        32, r"1 of 5 answers are not one token, the first: ' unbelievable' is \d tokens",
    ),
    (
        "equal answers", SIDES, _changed("agreement", lambda e, rng: _with(e, [" is", " is"])),
        32, r"have the same token as both.*Draw the wrong answer",
    ),
    (
        "no wrong answer", SIDES, _changed("agreement", lambda e, rng: _with(e, [" is"], (1.0,))),
        32, "lack a right or a wrong answer",
    ),
    (
        "long prompts", CONTEXT,
        _changed("agreement", lambda e, rng: Example(
            e.text + " and" * 300, e.answer, e.candidates, e.signs, e.roles)),
        32, r"longest prompt is 3\d\d tokens with BOS; the model reads up to 256\. Shorten",
    ),
    ("random answers", ABILITY, _changed("agreement", _in_any_order), 64, "guessing reaches once in a hundred times"),
    ("too few to tell", ABILITY, TASKS["ioi"], 6, "too few to tell that from guessing; draw more"),
    (
        "noisy prompts", PRECISION, _changed("ioi", _often_turned),
        64, r"The error may be 10% of the mean: draw about \d{3} prompts",
    ),
    (
        "a metric that saturates", AGREEMENT, _changed("agreement", lambda e, rng: e, ACCURACY),
        32, "accept that no head stands out",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "task", "count", "message"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_what_is_wrong_fails_its_check_alone(
    check: str, task: Task, count: int, message: str, subject: Subject
) -> None:
    frame = check_task(subject, task, count).set_index("check")
    failed = frame[frame["passed"].eq(False).fillna(False)]
    assert list(failed.index) == [check]
    assert failed["message"].str.contains(message).all(), failed["message"].iloc[0]
    before, after = CHECKS[: CHECKS.index(check)], CHECKS[CHECKS.index(check) + 1 :]
    assert frame.loc[list(before), "passed"].all()
    if check in (DISTINCT, PRECISION, AGREEMENT):
        assert frame.loc[list(after), "passed"].notna().all()
    else:
        assert frame.loc[list(after), "passed"].isna().all()


def _no_prompts(example: Example, rng: np.random.Generator) -> Example:
    raise ValueError("only 3 of 40 words are single tokens")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_prompts, "writes no prompts that can be used: only 3 of 40 words"),
        (
            lambda e, rng: Example(e.text, e.answer, e.candidates, e.signs, {"S": 400}),
            "role S of .* ends at character 400",
        ),
        (
            lambda e, rng: Example(
                e.text, e.answer, e.candidates, e.signs, {f"S{rng.integers(9)}": 2}
            ),
            "give every prompt the same",
        ),
        (lambda e, rng: _with(e, [" is", " are"], (1.0,)), "2 candidates and 1 signs"),
    ],
)
def test_prompts_that_cannot_be_made_are_a_failed_row(
    change: Change, message: str, subject: Subject
) -> None:
    frame = check_task(subject, _changed("agreement", change), 8)
    assert frame["passed"].isna().tolist() == [False] + 6 * [True]
    assert not frame["passed"].iloc[0]
    assert frame["message"].str.contains(message).iloc[0], frame["message"].iloc[0]


def test_the_bar_is_the_binomial_test() -> None:
    for prompts in (7, 20, 64, 200):
        right = round(least_share(prompts) * prompts)
        tails = [
            sum(comb(prompts, k) for k in range(at, prompts + 1)) / 2**prompts
            for at in (right, right - 1)
        ]
        assert tails[0] <= CHANCE < tails[1]
    assert least_share(6) > 1
    assert least_share(64) == 42 / 64


def test_one_prompt_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="count must be at least 2"):
        check_task(subject, TASKS["ioi"], 1)
