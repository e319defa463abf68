"""Natural English that every user of the project already has: the docstrings of installed packages.

The text is read from the installed sources at run time and is never copied into the repository; a checkout's cache keeps what was
held out, as long as the files are the same. All packages are pinned in ``constraints.txt``, so two machines read the same text. One file in ``HOLD_OUT_ONE_IN`` is held out by a hash of its
path: the embedded subject trains on the rest and is measured, and its heads are ablated, on the held-out part.
"""

import ast
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from circuitlib.manifest import StaleResult, load_frame, save_frame, short_hash
from circuitlib.paths import CACHE, in_checkout
from circuitlib.subjects.beginning import beginning
from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks.base import encode_texts

PACKAGES = ("matplotlib", "networkx", "numpy", "pandas", "sympy", "torch", "transformers")
HOLD_OUT_ONE_IN = 20
SPAN = 60
SPANS = 128
Split = Literal["train", "held_out"]


def _source_files(split: Split) -> Iterator[Path]:
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(
                f"the prose corpus reads the docstrings of {', '.join(PACKAGES)}, and {package} is not installed; "
                "run `make setup`"
            )
        folder = Path(spec.origin).parent
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder.parent).as_posix()
            held_out = zlib.crc32(name.encode()) % HOLD_OUT_ONE_IN == 0
            if held_out == (split == "held_out"):
                yield path


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:  # templates and fixtures of broken code ship inside some packages
        return
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text


def _is_prose(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return (
        len(paragraph.split()) >= 12
        and letters >= 0.85 * len(paragraph)
        and not paragraph.startswith((">>>", "...", "..", "|", "+-"))
    )


def prose_paragraphs(split: Split) -> list[str]:
    """Distinct paragraphs of English prose, in a fixed order, each on one line.

    A paragraph that stands in both a training file and a held-out file is held out.
    Raises ``FileNotFoundError`` when a package of ``PACKAGES`` is not installed.
    """
    files = list(_source_files(split))
    if split == "train":
        return _read(files, set(prose_paragraphs("held_out")))
    stats = [(path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    made_of = {"files": short_hash(repr(stats).encode()), "code": short_hash(Path(__file__).read_bytes())}
    kept = CACHE / "held_out_prose.csv"
    with suppress(StaleResult):  # nothing is there, or of other files: read them
        return list(load_frame(kept, made_of)["paragraph"])
    paragraphs = _read(files)
    if in_checkout():
        with suppress(OSError):  # reading again takes seconds, and needs no disk
            save_frame(kept, pd.DataFrame({"paragraph": paragraphs}), made_of)
    return paragraphs


def _read(files: Iterable[Path], held_out: Set[str] = frozenset()) -> list[str]:
    seen: dict[str, None] = {}
    for path in files:
        for docstring in _docstrings(path):
            for block in re.split(r"\n\s*\n", docstring):
                paragraph = " ".join(block.split())
                if _is_prose(paragraph) and paragraph not in held_out:
                    seen[paragraph] = None
    return list(seen)


def encode_prose(tokenizer: Tokenizer, paragraphs: Sequence[str]) -> Int[np.ndarray, " tokens"]:
    """Paragraphs as one stream of token ids, each after BOS."""
    return np.fromiter(chain.from_iterable(encode_texts(tokenizer, paragraphs)), dtype=np.int64)


def held_out_spans(tokenizer: Tokenizer) -> Int[Tensor, "spans pos"]:
    """``SPANS`` evenly spaced spans of ``SPAN`` tokens of the held-out prose, BOS first: what a subject's loss on prose is reported on."""
    tokens = encode_prose(tokenizer, prose_paragraphs("held_out"))
    starts = np.linspace(0, len(tokens) - SPAN, SPANS).astype(int)
    rows = torch.from_numpy(tokens[starts[:, None] + np.arange(SPAN)])
    bos = torch.tensor(beginning(tokenizer))
    rows[:, : len(bos)] = bos
    return rows
