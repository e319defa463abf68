"""Control text: held out, never shared between parts, never silently replaced."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from transformers import PreTrainedTokenizerBase

from circuitlib.paths import SUBJECTS
from circuitlib.subjects.checkpoints import default_text
from circuitlib.tasks import control_text as control
from circuitlib.tasks import prose as corpus
from circuitlib.tasks.control_text import SPAN, WIKITEXT_FILE, control_paragraphs, control_spans


def test_spans(tokenizer: PreTrainedTokenizerBase) -> None:
    train = control_spans(tokenizer, 200, 1, "train")
    evaluation = control_spans(tokenizer, 200, 2, "evaluation")
    assert train.shape == evaluation.shape == (200, SPAN)
    assert (train[:, 0] == tokenizer.bos_token_id).all()
    rows = {tuple(row) for row in train.tolist()}
    assert len(rows) == 200
    assert not rows & {tuple(row) for row in evaluation.tolist()}
    assert (train == control_spans(tokenizer, 200, 1, "train")).all()


def test_too_many_spans_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="count must be between 1 and"):
        control_spans(tokenizer, 10**6, 1, "train")


def test_training_and_held_out_files_share_nothing() -> None:
    train, held_out = (set(corpus._source_files(split)) for split in ("train", "held_out"))
    assert not train & held_out
    assert 0.03 < len(held_out) / len(train | held_out) < 0.07


def test_a_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "PACKAGES", ("no_such_package",))
    with pytest.raises(FileNotFoundError, match="no_such_package is not installed"):
        corpus.prose_paragraphs("held_out")


@pytest.fixture
def no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the project, an empty Hugging Face cache, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(control, "CACHE", tmp_path / "cache")
    control_paragraphs.cache_clear()
    control._cut_text.cache_clear()
    yield tmp_path
    control_paragraphs.cache_clear()
    control._cut_text.cache_clear()


def _write_wikitext(path: Path) -> list[str]:
    """A file in WikiText-2's form: paragraphs, headings and empty rows."""
    paragraphs = [
        f"The castle of {name} stood for {number} years on a hill = or rather two = by the river ."
        for number, name in enumerate(["Aldane", "Borlin", "Casimer", "Dorand"] * 40)
    ]
    rows = ["", " = A castle = \n", ""]
    for paragraph in paragraphs:
        rows += [f" {paragraph} \n", "", " = = History = = \n"]
    path.parent.mkdir(parents=True)
    pd.DataFrame({"text": rows}).to_parquet(path)
    return paragraphs


def test_wikitext_is_read_without_headings(no_text: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    paragraphs = _write_wikitext(no_text / "cache" / WIKITEXT_FILE)
    assert control_paragraphs("wikitext-2") == paragraphs
    train = control_spans(tokenizer, 20, 1, "train", "wikitext-2")
    evaluation = control_spans(tokenizer, 20, 1, "evaluation", "wikitext-2")
    assert train.shape == evaluation.shape == (20, SPAN)
    assert (train[:, 0] == tokenizer.bos_token_id).all()
    assert not {tuple(r) for r in train.tolist()} & {tuple(r) for r in evaluation.tolist()}
    text = "".join(tokenizer.batch_decode(train))
    assert "river" in text
    assert "History" not in text


def test_wikitext_in_the_hub_cache_works_offline(no_text: Path) -> None:
    repository = no_text / "hub" / "datasets--Salesforce--wikitext"
    paragraphs = _write_wikitext(repository / "snapshots" / ("0" * 40) / WIKITEXT_FILE)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    assert control_paragraphs("wikitext-2") == paragraphs


@pytest.mark.parametrize("share", [0, 2])
def test_half_of_wikitext_is_named(share: int, no_text: Path) -> None:
    path = no_text / "cache" / WIKITEXT_FILE
    _write_wikitext(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // share] if share else b"")
    with pytest.raises(ValueError, match=rf"{WIKITEXT_FILE} cannot be read \(.*put the whole file there"):
        control_paragraphs("wikitext-2")


def test_a_missing_text_is_an_error_not_another_text(no_text: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        control_spans(tokenizer, 20, 1, "train", "wikitext-2")
    url = "https://huggingface.co/datasets/Salesforce/wikitext"
    place = f"data/cache/{WIKITEXT_FILE}"
    for part in (WIKITEXT_FILE, "(6.4 MB)", url, place, "HF_HUB_OFFLINE"):
        assert part in str(refused.value)


def test_a_paragraph_that_starts_with_bos_is_refused(no_text: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    path = no_text / "cache" / WIKITEXT_FILE
    path.parent.mkdir(parents=True)
    pd.DataFrame({"text": [tokenizer.bos_token + "A castle by the river ."]}).to_parquet(path)
    with pytest.raises(ValueError, match="starts with the BOS token"):
        control_spans(tokenizer, 1, 1, "train", "wikitext-2")


def test_the_papers_text_is_the_default_but_for_the_embedded_subject(checkpoint: Path) -> None:
    assert default_text("gpt2-mini") == default_text(str(SUBJECTS / "gpt2-mini")) == "docstrings"
    for other in ("gpt2", "somebody/gpt2-mini", str(checkpoint)):
        assert default_text(other) == "wikitext-2"


def test_what_was_read_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, cache = tmp_path / "some_package", tmp_path / "cache"
    package.mkdir()
    told = "A paragraph of more than a dozen words, so that it is taken for prose, about %s and nothing else at all."
    source = package / "__init__.py"
    source.write_text(f'"""{told % "a module"}"""\n\nclass A:\n    def f(self):\n        """{told % "a method"}"""\n')
    (package / "deep.py").write_text(
        "match 1:\n    case 1:\n        try:\n            pass\n        except OSError:\n            def f():\n"
        f'                """{told % "a handler"}"""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(corpus, "PACKAGES", ("some_package",))
    monkeypatch.setattr(corpus, "CACHE", cache)
    monkeypatch.setattr(corpus, "HOLD_OUT_ONE_IN", 1)
    first = [told % what for what in ("a module", "a method", "a handler")]
    assert corpus.prose_paragraphs("held_out") == first
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "_read", lambda *files: pytest.fail("read again"))
        assert corpus.prose_paragraphs("held_out") == first
    kept = cache / "held_out_prose.csv"
    kept.write_bytes(kept.read_bytes().replace(b"a method", b"a methud"))
    assert corpus.prose_paragraphs("held_out") == first
    source.write_text(f'"""{told % "something else"}"""\n')
    assert corpus.prose_paragraphs("held_out") == [told % "something else", first[2]]
    monkeypatch.setattr(corpus, "CACHE", Path("/proc/no/such/place"))
    assert corpus.prose_paragraphs("held_out") == [told % "something else", first[2]]


def test_docstrings_come_in_the_order_of_ast_walk() -> None:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    path = Path(ast.__file__)
    every = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    plain = [text for node in every if isinstance(node, kinds) and (text := ast.get_docstring(node))]
    assert list(corpus._docstrings(path)) == plain
    assert len(plain) > 30
