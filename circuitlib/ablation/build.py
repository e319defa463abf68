"""Damage tables, measured: block by block, here or by the workers of an executor, resumable, and checked again on a few rows
after an edit of the code."""

import json
import warnings
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.engine import Ablation, AblationKind, Engine, Scores
from circuitlib.ablation.estimates import Through
from circuitlib.ablation.sweep import engine
from circuitlib.ablation.tables import CONTROL, DamageTable
from circuitlib.ablation.workers import Block, Source, by_workers, source_of
from circuitlib.manifest import (
    RECORDED,
    StaleResult,
    as_json,
    code_hash,
    differences,
    is_stored,
    load_tensors,
    made_on,
    remove,
    save_tensors,
    short_hash,
)
from circuitlib.subjects.card import Card
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.subjects.types import Tokenizer
from circuitlib.tasks.base import Prompts, Task, some_prompts
from circuitlib.tasks.control_text import Part, Text, control_spans, other_spans

BLOCK = 64
"""Prompts a sweep takes at once; an interrupted table resumes after its last whole block."""

SEEDS: dict[Part, int] = {"train": 1, "evaluation": 2}
"""Training and evaluation prompts are drawn with different seeds."""

REFERENCE_SEED, REFERENCE_SPANS = 5, 32
"""The control spans that a ``mean`` ablation averages over: none of them is in a table of the evaluation part."""

ROWS_AGAIN = 8
"""Rows on which a table is measured again after an edit of the code."""

_ONE_BLOCK = Lock()
"""A worker's threads take turns: a block has all cores of its process, and the subject is loaded once."""


@cache
def code_of(module: str) -> str:
    """:func:`circuitlib.manifest.code_hash`, once per process and module: every table and frame that is read asks for it."""
    return code_hash(module)


@dataclass(frozen=True)
class Recipe:
    """What a table is a table of: prompts of a task, or spans of the control text where ``task`` is None.

    count: rows. part: of which prompts, ``train`` or ``evaluation``. text: the control text. through: where damages are estimated
    by :class:`circuitlib.ablation.attribution.Attribution` rather than measured, what it goes through.
    """

    task: Task | None
    count: int
    part: Part
    text: Text = "docstrings"
    ablation: AblationKind = "zero"
    through: Through | None = None

    @property
    def name(self) -> str:
        """The task's name, or ``control``."""
        return self.task.name if self.task else CONTROL

    def some_rows(self, count: int) -> Int[Tensor, " rows"]:
        """Indices of ``count`` of its rows, or of all where there are fewer: drawn with a seed, in order."""
        picked = np.random.default_rng(ROWS_AGAIN).permutation(self.count)[:count]
        return torch.from_numpy(np.sort(picked))

    def provenance(self, card: Card) -> dict[str, Any]:
        """Everything that determines the table; the text, and an estimate's ``through``, only where they do."""
        text = {"text": self.text} if self.task is None or self.ablation == "mean" else {}
        through = {"through": self.through} if self.through else {}
        return {
            **text,
            **through,
            "subject": card.record(),
            "ablation": self.ablation,
            "task": self.name,
            "count": self.count,
            "part": self.part,
            "seed": SEEDS[self.part],
            "code": code_of(__name__),
            **made_on(),
        }


def ablation_of(kind: AblationKind, tokenizer: Tokenizer, text: Text) -> Ablation:
    """An ablation by its kind; a ``mean`` is over spans of the control text."""
    spans = [control_spans(tokenizer, REFERENCE_SPANS, REFERENCE_SEED, "train", text)] if kind == "mean" else []
    return Ablation(kind, spans)


class Measurement:
    """A recipe on a subject: any rows of its table, measured or estimated."""

    def __init__(self, subject: Subject, recipe: Recipe) -> None:
        self.recipe = recipe
        tokenizer, seed = subject.tokenizer, SEEDS[recipe.part]
        ablation = ablation_of(recipe.ablation, tokenizer, recipe.text)
        self.engine: Engine = (
            Attribution(subject, ablation, recipe.through) if recipe.through else engine(subject, ablation)
        )
        if recipe.task is None:
            self.spans = control_spans(tokenizer, recipe.count, seed, recipe.part, recipe.text)
            self.other = other_spans(self.spans) if recipe.ablation == "resample" else None
            self.groups: list[Prompts] = []
        else:
            self.groups = recipe.task.prompts(tokenizer, recipe.count, seed)

    def blocks(self) -> list[Tensor]:
        """Indices of rows that are measured together: of one length, ``BLOCK`` at most, in order."""
        lengths = [len(group) for group in self.groups] or [len(self.spans)]
        return [some for rows in torch.arange(sum(lengths)).split(lengths) for some in rows.split(BLOCK)]

    def rows(self, rows: Int[Tensor, " rows"]) -> Scores:
        """The scores of these rows, in order."""
        if self.recipe.task is None:
            return self.engine.control(self.spans[rows], None if self.other is None else self.other[rows])
        groups = some_prompts(self.groups, rows)
        return Scores.of_all([self.engine.task(group, self.recipe.task.metric) for group in groups])


def build_table(
    subject: Subject,
    recipe: Recipe,
    cache: Path,
    progress: Callable[[int], object] = lambda rows: None,
    executor: Executor | None = None,
) -> DamageTable:
    """Measure a table. Finished blocks are kept in ``cache`` until the table is complete, so that an interrupted call
    resumes; ``progress`` is told of the rows that are done.

    executor: whose workers measure the blocks (:mod:`circuitlib.ablation.workers`). Each imports circuitlib, loads the subject
    once, from where it was loaded here and without whatever was changed since, and measures nothing where subject, code or recipe
    are not the same. Where versions or processors of workers are others than here, the provenance has theirs.

    Estimates, which are off by far more than a thousandth, are kept in half precision.

    Raises ``ValueError`` for a count that cannot be drawn, damages that are not finite, or, with an executor, a subject that was
    made of a bridge in hand or a block that never arrives whole, and ``FileNotFoundError`` when the control text is not here.
    """
    made_by = recipe.provenance(subject.card)
    key = short_hash(as_json(made_by).encode())
    source = source_of(subject) if executor else None
    measurement, parts = Measurement(subject, recipe), dict[int, tuple[Block, dict[str, Any]]]()
    blocks = dict(enumerate(measurement.blocks()))
    paths = [cache / "sweeps" / f"{key}-{i:05d}.safetensors" for i in blocks]
    for i, path in enumerate(paths):
        if kept := _kept(path):
            parts[i] = kept
            progress(len(blocks[i]))
    missing = {i: rows for i, rows in blocks.items() if i not in parts}
    if executor and source:
        jobs = {i: (source, recipe, as_json(made_by), rows.tolist()) for i, rows in missing.items()}
        shapes = {i: {"clean": (len(rows),), "ablated": (len(rows), subject.heads)} for i, rows in missing.items()}
        arriving = by_workers(executor, _measure_block, jobs, shapes, f"{recipe.name} table {key}")
    else:
        arriving = ((i, _block(measurement.rows(rows)), {}) for i, rows in missing.items())
    with closing(arriving):
        for i, block, made in arriving:
            save_tensors(paths[i], block, {"table": key, **made})
            parts[i] = block, made
            progress(len(blocks[i]))
    in_order = [parts[i] for i in blocks]
    scores = Scores.of_all([Scores(block["clean"], block["ablated"], recipe.task is None) for block, _ in in_order])
    damage = scores.damage.half() if recipe.through else scores.damage
    if not damage.isfinite().all():
        raise ValueError(f"the {recipe.name} table has damages that are not finite, or estimates beyond half precision")
    for path in paths:
        remove(path)
    return DamageTable(scores.clean, damage, made_by | _made_on([made_by | made for _, made in in_order]))


def _made_on(places: list[dict[str, Any]]) -> dict[str, Any]:
    """What is recorded of the blocks' places; lists of it where they are not the same."""
    different = [json.loads(place) for place in sorted({as_json({x: place[x] for x in RECORDED}) for place in places})]
    return different[0] if len(different) == 1 else {x: [place[x] for place in different] for x in RECORDED}


def _kept(path: Path) -> tuple[Block, dict[str, Any]] | None:
    """The block that is kept, if any, and what is recorded of it; one that is corrupt is named, and measured again."""
    if not is_stored(path):
        return None
    try:
        return load_tensors(path)
    except StaleResult as reason:
        warnings.warn(f"a block of a table is measured again: {reason}", stacklevel=3)
        return None


def _block(scores: Scores) -> Block:
    return {"clean": scores.clean, "ablated": scores.ablated}


def _measure_block(source: Source, recipe: Recipe, made_by: str, rows: list[int]) -> Block:
    """In a worker: some rows of the table of this provenance, as JSON. Raises ``StaleResult`` where the worker has
    another subject, code or recipe."""
    with _ONE_BLOCK:
        return _block(_measurement(source, recipe, made_by).rows(torch.tensor(rows)))


@lru_cache(maxsize=1)
def _loaded(source: Source) -> Subject:
    return load_subject(*source)


@lru_cache(maxsize=1)
def _measurement(source: Source, recipe: Recipe, made_by: str) -> Measurement:
    """What a worker keeps from block to block."""
    subject, wanted = _loaded(source), json.loads(made_by)
    # A snapshot of the hub's is loaded by its folder, and its name is another one.
    card = replace(subject.card, **{field: wanted["subject"][field] for field in ("name", "control_text")})
    if differs := differences(recipe.provenance(card), wanted):
        raise StaleResult(f"a worker would measure another {recipe.name} table: {'; '.join(differs)}")
    return Measurement(subject, recipe)


def differs_again(subject: Subject, recipe: Recipe, table: DamageTable) -> float:
    """The largest difference of a table from a new measurement of ``ROWS_AGAIN`` of its rows: what an edit of the code
    changed."""
    rows = recipe.some_rows(ROWS_AGAIN)
    scores = Measurement(subject, recipe).rows(rows)
    again = DamageTable(scores.clean, scores.damage, table.provenance)
    return apart(again, replace(table, clean=table.clean[rows], damage=table.damage[rows]))


def apart(one: DamageTable, other: DamageTable) -> float:
    """The largest difference of two tables, infinite where they have different shapes, NaN where either has one; of estimates,
    beyond the last bit of half precision."""
    if one.damage.shape != other.damage.shape:
        return float("inf")
    ours, theirs = one.damage.float(), other.damage.float()
    last_bit = torch.finfo(torch.float16).eps * theirs.abs() if "through" in other.provenance else 0.0
    beyond = ((ours - theirs).abs() - last_bit).clamp(min=0)
    # Not Python's max, of which NaN is none as its second argument.
    return torch.maximum(beyond.max(), (one.clean - other.clean).abs().max()).item()
