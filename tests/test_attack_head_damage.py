"""``head_damage`` and its neighbours given anything: a right result, or an error that its docstring names; never another one."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from drawing import examples
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from circuitlib import Ablation, head_damage, plot_head_damage
from circuitlib.ablation.engine import AblationKind
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS

WORDS = st.sampled_from(
    ["The keys near the", " are", " is", "", " ", "The keys ", " unbelievable", "a\ud800", "\0", "é" * 120]
)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 99),
    st.floats(),
    WORDS,
    st.binary(max_size=3),
    st.lists(WORDS, max_size=3),
)
TRIPLES = st.lists(
    st.one_of(st.tuples(WORDS, WORDS, WORDS), st.just(("The keys near the", " are", " is")), ANYTHING), max_size=2
)


@pytest.fixture(scope="module")
def subject(small: dict[str, Path]) -> Subject:
    return load_subject(str(small["llama"]))


def _result(call: Callable[[], Any]) -> Any:
    """What a call returns, or the words of its error; an error that no docstring names is raised."""
    try:
        return call()
    except (TypeError, ValueError, FileNotFoundError) as error:
        return str(error)


@examples(250, 700)
@given(
    prompts=st.one_of(TRIPLES, ANYTHING),
    control=st.one_of(st.none(), st.none(), st.lists(WORDS, max_size=2), ANYTHING),
    ablation=st.one_of(st.sampled_from(["zero", "zero", "mean", "resample"]), ANYTHING),
    bos=st.one_of(st.sampled_from(["default", "default", "none"]), ANYTHING),
    top=st.one_of(st.none(), st.none(), st.integers(1, 8), ANYTHING),
    verify=st.one_of(st.none(), st.none(), st.integers(1, 8), ANYTHING),
    confidence=st.one_of(st.just(0.99), ANYTHING),
)
def test_any_prompts_and_options(subject: Subject, **given: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = _result(lambda: head_damage(subject, **given))
    if isinstance(frame, str):
        return
    wanted = ["damage", "general", "reward"] if given["control"] is not None else ["damage"]
    assert np.isfinite(frame[wanted].to_numpy()).all()
    assert len(frame) == next((given[how] for how in ("top", "verify") if given[how] is not None), subject.heads)


@examples(80, 300)
@given(data=st.data())
def test_any_token_ids(subject: Subject, data: st.DataObject) -> None:
    """Prompts that are tokenised already, a number of theirs replaced by any other."""
    group = TASKS["agreement"].prompts(subject.tokenizer, 2, 0)[0]
    name = data.draw(st.sampled_from(["tokens", "candidates", "signs", "counterfactual"]))
    changed = getattr(group, name).clone()
    number = data.draw(st.integers(-(2**40), 2**40) if name != "signs" else st.floats(width=32))
    changed.view(-1)[data.draw(st.integers(0, changed.numel() - 1))] = number
    ablation: AblationKind = "resample" if name == "counterfactual" else "zero"
    vocabulary = len(subject.bridge.W_E)
    frame = _result(lambda: head_damage(subject, replace(group, **{name: changed}), ablation=ablation))
    if isinstance(frame, str):
        assert name == "signs" or not 0 <= number < vocabulary or "same token" in frame
        return
    assert np.isfinite(frame["damage"]).all()
    assert name == "signs" or 0 <= number < vocabulary


@examples(60, 200)
@given(
    kind=st.one_of(st.just("mean"), ANYTHING),
    shape=st.lists(st.integers(0, 4), max_size=3),
    value=st.integers(-4, 4000),
    dtype=st.sampled_from([torch.int64, torch.int32, torch.float32, torch.bool]),
)
def test_any_reference_of_a_mean(subject: Subject, kind: Any, shape: list[int], value: int, dtype: torch.dtype) -> None:
    def measure() -> pd.DataFrame:
        ablation = Ablation(kind, [torch.full(shape, value).to(dtype)])
        return head_damage(subject, [("The keys near the", " are", " is")], ablation=ablation)

    frame = _result(measure)
    assert isinstance(frame, str) or np.isfinite(frame["damage"]).all()


@examples(25, 60)
@given(data=st.data())
def test_any_table_to_plot(data: st.DataObject) -> None:
    layers, heads = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    rows = [{"subject": "s", "layer": i, "head": j, "damage": 0.5} for i in range(layers) for j in range(heads)]
    frame: Any = pd.DataFrame(rows).drop(
        columns=data.draw(st.lists(st.sampled_from(["subject", "layer", "damage"]), max_size=1))
    )
    if "damage" in frame:
        frame.loc[0, "damage"] = data.draw(st.floats())
    if data.draw(st.booleans()):
        frame = pd.concat([frame, frame])
    frame = data.draw(st.sampled_from([frame, frame, None, [], "x"]))
    column = data.draw(st.one_of(st.just("damage"), st.just("damage"), ANYTHING))
    figure = _result(lambda: plot_head_damage(frame, column))
    if isinstance(figure, str):
        return
    assert math.isclose(float(figure.axes[0].collections[0].get_array().ravel()[0]), frame["damage"].iloc[0])
    plt.close(figure)


@pytest.mark.parametrize("model", [None, 5, b"x", [], object(), torch.nn.Linear(2, 2), ("gpt2-mini", None)])
def test_what_is_no_model_is_told_what_would_be(model: Any) -> None:
    with pytest.raises(TypeError, match=r"model must be a name or folder, .* \(model, tokenizer\), not "):
        head_damage(model, [("The keys near the", " are", " is")])


def test_a_folder_and_a_hugging_face_model_are_models(subject: Subject, small: dict[str, Path]) -> None:
    """Of the same weights, so of the same damages; the model is not changed."""
    prompts = [("The keys near the", " are", " is")]
    model = AutoModelForCausalLM.from_pretrained(small["llama"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = head_damage(subject, prompts)
    for other in (small["llama"], (model, subject.tokenizer)):
        pd.testing.assert_frame_equal(head_damage(other, prompts), whole)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(TypeError, match=r"\(model, tokenizer\), not LlamaForCausalLM"):
        head_damage(model, prompts)


def test_a_space_at_the_end_is_said(subject: Subject) -> None:
    with pytest.warns(UserWarning, match="1 of 2 prompts end in a space, the first 'The keys near the '"):
        head_damage(subject, [("The keys near the ", " are", " is"), ("The keys near the", " are", " is")])
