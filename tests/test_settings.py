"""Settings are checked at once, field by field, and equal settings are equal."""

import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlib.companion.settings import KEPT, PUBLISHED, Settings, published
from circuitlib.paths import SUBJECTS
from circuitlib.subjects.load import load_subject


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("steps", "200000", TypeError, "steps must be int, not str"),
        ("steps", 10, ValueError, "steps must be at least 400"),
        ("convention", "centred", ValueError, "convention must be one of"),
        ("ablation", "noise", ValueError, "ablation must be one of"),
        ("penalty", -0.5, ValueError, "penalty must be at least 0.0"),
        ("penalty", float("nan"), ValueError, "penalty must be at least 0.0"),
        ("penalty", float("inf"), ValueError, "penalty must be at most 1000000.0, not inf"),
        ("train_prompts", 8, ValueError, "train_prompts must be at least 32"),
        ("train_prompts", 10**9, ValueError, "train_prompts must be at most 100000, not 1000000000"),
        ("evaluation_prompts", 10**9, ValueError, "evaluation_prompts must be at most"),
        ("seeds", 10**9, ValueError, "seeds must be at most 1000, not"),
        ("steps", 10**10, ValueError, "steps must be at most"),
        ("episodes", 10**9, ValueError, "episodes must be at most 10000, not"),
        ("seeds", 0, ValueError, "seeds must be at least 1"),
        ("episodes", True, TypeError, "episodes must be int, not bool"),
        ("control", "poems", ValueError, "control must be one of"),
        ("control", "", ValueError, "control must be one of"),
        ("control", None, TypeError, "control must be str, not NoneType"),
        ("held_out_task", "poetry", ValueError, "unknown tasks poetry; there are induction"),
        ("held_out_task", "ioi", ValueError, "tasks must be different"),
        ("training_tasks", (), ValueError, "one at least to train on"),
        ("check_tasks", "false", TypeError, "check_tasks must be bool, not str 'false'"),
    ],
)
def test_bad_settings(field: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(**{field: value})  # type: ignore[arg-type]


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.text(max_size=5))
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(field=st.sampled_from([f.name for f in fields(Settings)]), value=anything)
def test_any_value_is_accepted_or_refused_by_name(field: str, value: object) -> None:
    refusal, accepted = "", None
    try:
        accepted = Settings.of({field: value})
    except (TypeError, ValueError) as refused:
        refusal = str(refused)
    if accepted is None:
        assert field in refusal or (field.endswith(("_task", "_tasks")) and "tasks" in refusal)
    else:
        default = next(f.default for f in fields(Settings) if f.name == field)
        assert type(getattr(accepted, field)) is type(default)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(name=st.text(max_size=12))
def test_a_name_that_is_no_setting_is_refused(name: str) -> None:
    if name not in asdict(Settings()):
        with pytest.raises(ValueError, match="there are subject, bos, convention"):
            Settings.of({name: 1})


def test_the_control_text_is_the_subjects_own_unless_it_is_named(checkpoint: Path) -> None:
    assert Settings().text == "docstrings"
    assert Settings("gpt2").text == Settings(str(checkpoint)).text == "wikitext-2"
    assert Settings(control="wikitext-2").text == "wikitext-2"
    assert Settings("gpt2", control="docstrings").text == "docstrings"


def test_a_subject_and_its_settings_agree_on_the_control_text(checkpoint: Path, tmp_path: Path) -> None:
    """Also where a directory elsewhere ends in a published subject's name."""
    directory = str(shutil.copytree(checkpoint, tmp_path / "gpt2-mini"))
    for name in ("gpt2-mini", directory):
        card = load_subject(name).card
        assert card.name == "gpt2-mini"
        assert card.control_text == Settings(name).text


def test_equal_settings_are_equal(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(control="docstrings") == Settings() != Settings(control="wikitext-2")
    assert Settings("gpt2", control="wikitext-2") == Settings("gpt2")
    assert Settings(str(SUBJECTS / "gpt2-mini")) == Settings()
    assert Settings.of({"training_tasks": ["induction", "ioi"], "penalty": 1}) == Settings()
    monkeypatch.chdir(checkpoint.parent)
    assert Settings("odd").subject == str(checkpoint)


def test_published_runs_are_of_their_subjects() -> None:
    assert PUBLISHED
    for name, those in PUBLISHED.items():
        assert those.subject == name


def test_a_default_run_of_a_published_one_trains_the_seeds_that_are_kept() -> None:
    for those in PUBLISHED.values():
        assert published(those) == published(replace(those, seeds=KEPT)) == those
        for change in ({"seeds": KEPT - 1}, {"seeds": those.seeds + 1}, {"seeds": KEPT, "penalty": 0.5}):
            assert published(replace(those, **change)) is None
