"""Prompts made of anything: well-formed ones, or an error that a docstring names; never another one."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from circuitlib.tasks import TASKS
from circuitlib.tasks.base import Example, tokenise
from circuitlib.tasks.control_text import SPAN, control_spans

SOME = settings(deadline=None, derandomize=True, database=None)
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.floats(), st.text(max_size=3), st.just(10**9))
WORDS = st.sampled_from([" are", " is", " Mary", "Mary", "", " unbelievable"])


def _result(call: Callable[[], Any]) -> Any:
    """What a call returns, or the words of its error; an error that no docstring names is raised."""
    try:
        return call()
    except (TypeError, ValueError) as error:
        return str(error)


@settings(SOME, max_examples=400)
@given(
    candidates=st.lists(WORDS, min_size=1, max_size=3),
    signs=st.lists(st.one_of(st.sampled_from([1.0, -1.0]), st.floats()), max_size=3),
    role=st.integers(-3, 30),
)
def test_any_example(tokenizer: PreTrainedTokenizerBase, candidates: list[str], signs: list[float], role: int) -> None:
    example = Example("The keys near the cabinet", " are", candidates, signs, {"S": role})
    groups = _result(lambda: tokenise("mine", tokenizer, [example]))
    if isinstance(groups, str):
        return
    (group,) = groups
    assert group.signs.shape == group.candidates.shape == (1, len(candidates))
    assert group.signs.isfinite().all()
    right, wrong = (group.candidates[group.signs * sign > 0].tolist() for sign in (1, -1))
    assert not set(right) & set(wrong)
    word = tokenizer.decode(group.tokens[0, group.roles["S"]]).strip()
    assert word
    assert example.text[: role + 1].endswith(word)


@pytest.mark.parametrize(
    ("signs", "role", "message"),
    [
        ([1.0], 7, "has 2 candidates and 1 signs; give each candidate one sign"),
        ([1.0, -1.0, -1.0], 7, "has 2 candidates and 3 signs"),
        ([1.0, float("nan")], 7, "signs of 'The keys' must be finite"),
        ([float("inf"), -1.0], 7, "signs of 'The keys' must be finite"),
        ([1.0, -1.0], 8, "role S of 'The keys' ends at character 8, which is not in the text"),
        ([1.0, -1.0], -1, "role S of 'The keys' ends at character -1, which is not in the text"),
    ],
)
def test_what_is_no_example_is_named(
    signs: list[float], role: int, message: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(ValueError, match=message):
        tokenise("mine", tokenizer, [Example("The keys", " are", [" are", " is"], signs, {"S": role})])


@settings(SOME, max_examples=200)
@given(
    count=ANYTHING,
    seed=ANYTHING,
    part=st.one_of(st.sampled_from(["train", "evaluation", "Train"]), ANYTHING),
    text=ANYTHING,
)
def test_any_spans(tokenizer: PreTrainedTokenizerBase, count: Any, seed: Any, part: Any, text: Any) -> None:
    text = text if isinstance(text, str) else "docstrings"
    spans = _result(lambda: control_spans(tokenizer, count, seed, part, text))
    if not isinstance(spans, str):
        assert spans.shape == (count, SPAN)
        assert part in ("train", "evaluation")


@settings(SOME, max_examples=100)
@given(name=st.sampled_from(sorted(TASKS)), count=ANYTHING, seed=ANYTHING)
def test_any_count_of_prompts(tokenizer: PreTrainedTokenizerBase, name: str, count: Any, seed: Any) -> None:
    if count == 10**9:
        return
    groups = _result(lambda: TASKS[name].prompts(tokenizer, count, seed))
    if not isinstance(groups, str):
        assert sum(map(len, groups)) == count


def test_parts_are_spelled_as_they_are(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises((TypeError, ValueError), match=r"'Train'|part"):
        control_spans(tokenizer, 4, 1, "Train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same token, so that nothing is measured"):
        tokenise("mine", tokenizer, [Example("The keys", " are", [" are", " are"], [1.0, -1.0], {})])
