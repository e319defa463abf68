"""Files of a user's own: prompts, as JSON lines or CSV, and passages of control text."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from circuitlib.ablation.head_damage import NO_PROMPTS, Triple

COLUMNS = ("text", "right", "wrong")


def read_prompts(path: Path) -> list[Triple]:
    """The prompts of a file: with ``.jsonl`` one JSON object a line, otherwise CSV with a line of names first; each with ``text``, ``right`` and
    ``wrong``, answers with their space. Empty lines are passed over.

    Raises ``ValueError``, naming the file and the line, for anything else.
    """
    read = _json_lines if path.suffix == ".jsonl" else _csv
    prompts = []
    with _in_utf8(path):
        for line, row in read(path):
            if not isinstance(row, dict) or any(not isinstance(row.get(name), str) for name in COLUMNS):
                raise ValueError(f"{path}, line {line}: not three strings, {', '.join(COLUMNS)}: {row!r}")
            prompts.append((row["text"], row["right"], row["wrong"]))
    if not prompts:
        raise ValueError(f"{path}: {NO_PROMPTS}")
    return prompts


def read_passages(path: Path) -> list[str]:
    """The passages of a text file, one per line; empty lines are passed over. Raises ``ValueError``, naming the file, where there are none, and
    for a file that is not in UTF-8."""
    with _in_utf8(path):
        passages = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not passages:
        raise ValueError(f"{path} has no passage: control text is one passage per line")
    return passages


@contextmanager
def _in_utf8(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for line, written in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if written.strip():
            try:
                yield line, json.loads(written)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {line}: not JSON: {error}") from error


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{path} has no column {', '.join(missing)}")
        try:
            for row in rows:
                yield rows.line_num, row
        except csv.Error as error:
            raise ValueError(f"{path}, after line {rows.line_num}: {error}") from error
