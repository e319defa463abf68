"""The one store: a result and its manifest, written whole or not at all, verified whenever it is read.

A result is one file (``.safetensors``, ``.csv``, or ``.parquet`` where a table is long); beside it lies its manifest, a ``.json`` of the same name:

* ``provenance``: everything that determines the result, a hash of the code among it;
* ``sha256``: of the result's bytes; ``seal``: of the manifest. A flipped byte in either file is noticed.

The manifest is written last, so that a result without one was interrupted and counts as not there.
"""

import ast
import hashlib
import io
import json
import os
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_info
from torch import Tensor

from circuitlib.paths import ROOT

PACKAGES = ("matplotlib", "networkx", "numpy", "pandas", "sympy", "torch", "transformer-lens", "transformers")
"""What computes results, and what their control text is read from (:mod:`circuitlib.tasks.prose`)."""
RECORDED = ("versions", "processor")
"""Fields of a provenance that are written down and not compared: on other versions or another processor
results differ by rounding, which a comparison of results allows for."""


class StaleResult(ValueError):
    """A stored result is corrupt, or does not come from what is asked for; the message says what differs."""


@cache
def made_on() -> dict[str, Any]:
    """What rounding depends on: ``versions`` of packages, and ``processor``, the instructions that torch uses
    and the kernel of numpy's library of products (:mod:`circuitlib.ablation.onednn` follows the first). Read once per process."""
    blas = {lib["architecture"] for lib in threadpool_info() if lib["internal_api"] == "openblas"}
    return {
        "versions": {package: version(package) for package in PACKAGES},
        "processor": {
            "torch": torch.backends.cpu.get_cpu_capability(),
            "numpy": ", ".join(sorted(blas)) or "another library",
        },
    }


def short_hash(content: bytes) -> str:
    """Sixteen hexadecimal digits of SHA-256: enough to tell results apart."""
    return hashlib.sha256(content).hexdigest()[:16]


def as_json(value: object) -> str:
    """The one way in which manifests are written, so that equal ones are equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def code_hash(module: str) -> str:
    """A hash of a module of ``circuitlib``, such as ``circuitlib.ablation.build``, and of all modules of
    ``circuitlib`` that it imports, wherever in the file; blind to comments, docstrings and the annotations of functions."""
    digest = hashlib.sha256()
    for name in sorted(_imported(module)):
        path = _source(name)
        digest.update((name + _code_of(path, path.stat().st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _source(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imports(path: Path, package: str, _modified: int) -> frozenset[str]:
    """Modules of this package that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found.update((base, *(f"{base}.{alias.name}" for alias in node.names)))
    top = package.partition(".")[0]
    return frozenset(name for name in found if name.startswith(f"{top}.") and _source(name).is_file())


def _imported(module: str) -> set[str]:
    """A module and, transitively, those it imports and the packages that they are in. The front door imports names
    lazily, for users alone, and does not count."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and "." in name:
            seen.add(name)
            path, parent = _source(name), name.rpartition(".")[0]
            package = name if path.name == "__init__.py" else parent
            waiting += [parent, *_imports(path, package, path.stat().st_mtime_ns)]
    return seen


@cache
def _code_of(path: Path, _modified: int) -> str:
    """The code of a file, read once: nearly every hash is of most of them."""
    return _code_only(path.read_text(encoding="utf-8"))


def _code_only(source: str) -> str:
    """A source text without comments, docstrings, functions' annotations and blank lines, whatever the Python version."""
    source = _unannotated(source)
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
    return "\n".join(line.rstrip() for i, line in enumerate(lines) if i not in drop and line.strip())


def _unannotated(source: str) -> str:
    """A source text without the annotations of functions: they are checked, and compute nothing."""
    content = source.encode()
    begins = [0, *accumulate(map(len, content.splitlines(keepends=True)))]
    cuts = []
    for node in ast.walk(ast.parse(source)):
        annotation = node.annotation if isinstance(node, ast.arg) else getattr(node, "returns", None)
        if annotation:
            end = begins[(annotation.end_lineno or 0) - 1] + (annotation.end_col_offset or 0)
            mark = b":" if isinstance(node, ast.arg) else b"->"
            start = content.rindex(mark, 0, begins[annotation.lineno - 1] + annotation.col_offset)
            cuts.append((len(content[:start].rstrip()), end))
    for start, end in sorted(cuts, reverse=True):
        content = content[:start] + content[end:]
    return content.decode()


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


def manifest_path(path: Path) -> Path:
    """Where the manifest of a result is."""
    return path.with_suffix(".json")


def is_stored(path: Path) -> bool:
    """Whether a result is there with its manifest; one that was interrupted is not."""
    return path.is_file() and manifest_path(path).is_file()


def remove(path: Path) -> None:
    """Remove a result and its manifest."""
    manifest_path(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _sealed(provenance: Mapping[str, Any], sha256: str) -> str:
    """The text of a manifest."""
    manifest = {"provenance": provenance, "sha256": sha256}
    return as_json(manifest | {"seal": short_hash(as_json(manifest).encode())})


def _write_manifest(path: Path, provenance: Mapping[str, Any]) -> None:
    with written_whole(manifest_path(path)) as temporary:
        temporary.write_text(_sealed(provenance, content_hash(path)), encoding="utf-8")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
    """Write tensors and where they came from. The same tensors are the same bytes."""
    manifest_path(path).unlink(missing_ok=True)
    with written_whole(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    _write_manifest(path, provenance)


def save_frame(path: Path, frame: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write a tidy table, as CSV numbers with six digits, and where it came from."""
    manifest_path(path).unlink(missing_ok=True)
    with written_whole(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False, compression="zstd")
        else:
            frame.to_csv(temporary, index=False, float_format="%.6g")
    _write_manifest(path, provenance)


def restamp(path: Path, provenance: Mapping[str, Any]) -> None:
    """Give a stored result, whose content has been verified otherwise, another provenance."""
    read_provenance(path)
    _write_manifest(path, provenance)


def content_hash(path: Path) -> str:
    """A short hash of a file's bytes: how results name each other as inputs."""
    return short_hash(path.read_bytes())


def read_provenance(path: Path, wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The provenance of a stored result, whose bytes are verified.

    Raises ``StaleResult`` when there is no manifest, when the result or its manifest is corrupt, or when the
    provenance is not ``wanted`` (what is only recorded apart); the message names the file and says why.
    """
    place = manifest_path(path)
    if not is_stored(path):
        raise StaleResult(f"{path.name} has no manifest {place.name}, or is not there; measure it again")
    try:
        text = place.read_text(encoding="utf-8")
        manifest = json.loads(text)
        provenance, sha256 = manifest["provenance"], manifest["sha256"]
        whole = _sealed(provenance, sha256) == text
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise StaleResult(f"{place.name} is corrupt, so nothing is known of {path.name}; measure it again")
    if content_hash(path) != sha256:
        raise StaleResult(
            f"{path.name} is corrupt: its bytes are not those that {place.name} records; measure it again"
        )
    if wanted is not None and (differs := differences(provenance, wanted)):
        raise StaleResult(f"{path.name} is of another run: {'; '.join(differs)}")
    return dict(provenance)


def load_tensors(path: Path, wanted: Mapping[str, Any] | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and their provenance, verified; raises as :func:`read_provenance` does."""
    provenance = read_provenance(path, wanted)
    try:
        return load_file(path), provenance
    except SafetensorError as error:
        raise StaleResult(f"{path.name} is no safetensors file ({error})") from error


def load_frame(path: Path, wanted: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """A tidy table, verified; raises as :func:`read_provenance` does."""
    read_provenance(path, wanted)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any], within: str = "") -> list[str]:
    """What differs between two provenances, one phrase a field; recorded fields are not compared."""
    found: list[str] = []
    for field in sorted((stored.keys() | wanted.keys()) - set(RECORDED)):
        here, there = stored.get(field), wanted.get(field)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found += differences(here, there, f"{within}{field}.")
        elif as_json(here) != as_json(there):
            found.append(f"{within}{field} is {here!r}, wanted {there!r}")
    return found
