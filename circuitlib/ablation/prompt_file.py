"""Files of a user's own: prompts, as JSON lines or CSV, and passages of control text."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from circuitlib.ablation.head_damage import NO_PROMPTS, Triple, refuse_no_unicode
from circuitlib.subjects.load import Subject
from circuitlib.tasks.base import Example, encode_texts, tokenise

COLUMNS = ("text", "right", "wrong")


def read_prompts(path: Path) -> dict[str, Triple]:
    """The prompts of a file, by their places (``prompts.csv, line 2``): JSON lines (``.jsonl``, ``.ndjson``), one object a line, or CSV (``.csv``) with a
    line of names first; each with ``text``, ``right`` and ``wrong``, answers with their space. Empty lines are passed over.

    Raises ``ValueError``, naming the file and the line, for anything else.
    """
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv}
    if (suffix := path.suffix.lower()) not in readers:
        raise ValueError(f"{path}: a file of prompts must end in {', '.join(readers)}")
    prompts = {}
    with _in_utf8(path):
        for line, row in readers[suffix](path):
            place = _place(path, line)
            if not isinstance(row, dict) or not all(row.get(name) and isinstance(row[name], str) for name in COLUMNS):
                raise ValueError(f"{place}: not three strings that hold something, {', '.join(COLUMNS)}: {row!r}")
            refuse_no_unicode(place, *(row[name] for name in COLUMNS))
            prompts[place] = (row["text"], row["right"], row["wrong"])
    if not prompts:
        raise ValueError(f"{path}: {NO_PROMPTS}")
    return prompts


def read_passages(path: Path) -> dict[str, str]:
    """The passages of a text file, one per line, by their places; empty lines are passed over. Raises ``ValueError``, naming the file, where there are none, and
    for a file that is not in UTF-8."""
    with _in_utf8(path):
        passages = {_place(path, line): text for line, text in _lines(path)}
    if not passages:
        raise ValueError(f"{path} has no passage: control text is one passage per line")
    return passages


def refuse_lengths(subject: Subject, texts: Mapping[str, str], least: int) -> None:
    """Raise ``ValueError``, naming its place, for a text of fewer tokens than ``least`` or more than the subject's context, and for one that :func:`circuitlib.tasks.base.encode_texts` refuses."""
    context = int(subject.bridge.cfg.n_ctx)
    for place, text in texts.items():
        with _named(place):
            (ids,) = encode_texts(subject.tokenizer, [text])
        if not least <= len(ids) <= context:
            raise ValueError(
                f"{place} is {len(ids)} tokens, with what it begins with; {subject.name} takes {least} to {context}"
            )


def refuse_answers(subject: Subject, prompts: Mapping[str, Triple]) -> None:
    """Raise ``ValueError``, naming its place, for a prompt whose answers are not one token each, or are the same."""
    for place, (text, right, wrong) in prompts.items():
        with _named(place):
            tokenise("prompts", subject.tokenizer, [Example(text, right, [right, wrong], [1.0, -1.0], {})])


@contextmanager
def _named(place: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _place(path: Path, line: int) -> str:
    return f"{path}, line {line}"


@contextmanager
def _in_utf8(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that hold something. Only a line feed ends one, with or without a carriage return before: ``str.splitlines`` also splits where JSON and prose
    go on."""
    for line, text in enumerate(path.read_bytes().decode("utf-8-sig").split("\n"), start=1):
        if text.strip():
            yield line, text.removesuffix("\r")


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for line, text in _lines(path):
        try:
            yield line, json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            raise ValueError(f"{_place(path, line)}: not JSON: {error}") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{_place(path, line)}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := _twice([name for name, _ in pairs]):
        raise ValueError(f"there are several {', '.join(twice)}")
    return dict(pairs)


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        line = 1
        try:
            names = next(rows, [])
            if missing := [name for name in COLUMNS if name not in names]:
                raise ValueError(f"{path} has no column {', '.join(missing)}")
            if twice := _twice(names):
                raise ValueError(f"{path} has several columns {', '.join(twice)}")
            line = rows.line_num + 1
            for row in rows:
                if row and len(row) != len(names):
                    raise ValueError(
                        f"{_place(path, line)}: {len(row)} cells under {len(names)} names; a cell with a comma in it must be in quotes: {row!r}"
                    )
                if row:
                    yield line, dict(zip(names, row, strict=True))
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{_place(path, line)}: {error}") from error


def _twice(names: Sequence[str]) -> list[str]:
    return [repr(name) for name, count in Counter(names).items() if count > 1]
