"""Where a result came from: hashes of code, versions of packages, files written whole or not at all."""

import hashlib
import io
import json
import os
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from circuitlib.paths import ROOT

PACKAGES = ("numpy", "torch", "transformer-lens", "transformers")


class StaleResult(ValueError):
    """A stored result does not come from what is asked for; the message says what differs."""


def versions() -> dict[str, str]:
    """The versions of the packages that numbers depend on. Recorded, not compared: on another version
    results may differ by rounding, which the reproduction's tolerances allow."""
    return {package: version(package) for package in PACKAGES}


def _code_only(source: str) -> str:
    """A source text without comments, docstrings and blank lines, whatever the Python version."""
    lines = source.splitlines()
    drop: set[int] = set()
    fresh = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row = token.start[0] - 1
            lines[row] = lines[row][: token.start[1]]
        elif token.type == tokenize.STRING and fresh:
            drop.update(range(token.start[0] - 1, token.end[0]))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            fresh = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return "\n".join(
        line.rstrip() for i, line in enumerate(lines) if i not in drop and line.strip()
    )


def code_hash(modules: Iterable[str]) -> str:
    """A hash of modules (or packages) of ``circuitlib``, by name, blind to comments and docstrings."""
    digest = hashlib.sha256()
    for module in sorted(modules):
        path = ROOT / "circuitlib" / module
        files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            digest.update(_code_only(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between two provenances, one phrase a field; versions are not compared."""
    fields = sorted((stored.keys() | wanted.keys()) - {"versions"})
    return [
        f"{field} is {stored.get(field)!r}, wanted {wanted.get(field)!r}"
        for field in fields
        if json.dumps(stored.get(field), sort_keys=True)
        != json.dumps(wanted.get(field), sort_keys=True)
    ]


def read_manifest(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    """The manifest in a safetensors file's metadata. Raises ``StaleResult`` where there is none."""
    if not metadata or "manifest" not in metadata:
        raise StaleResult(f"{path.name} has no manifest: it was not written by this version")
    return dict(json.loads(metadata["manifest"]))


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
