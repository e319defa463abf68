"""Damage tables: what ablating each head does to each prompt, computed once and exactly.

Task damage is the clean metric minus the ablated metric; general damage is the ablated next-token loss
minus the clean one. Prompts do not interact, so an episode of the paper (a batch of 32 prompts and 32
control spans) is the mean of 32 + 32 rows of two such tables, exact to float rounding.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from circuitlib.ablation import engine
from circuitlib.control import CONTROL, Part, Text, control_spans
from circuitlib.provenance import (
    StaleResult,
    code_hash,
    differences,
    read_manifest,
    versions,
    written_whole,
)
from circuitlib.subjects import Subject
from circuitlib.tasks import TASKS

BLOCK = 64
"""Prompts a sweep takes at once; an interrupted table resumes after its last whole block."""

SEEDS: dict[Part, int] = {"train": 1, "evaluation": 2}
"""Training and evaluation prompts are drawn with different seeds."""

CODE = ("ablation", "control", "corpus", "damage", "decoder", "products", "subjects", "tasks")


@dataclass(frozen=True)
class DamageTable:
    """Damage of every head on every prompt of one task, or on every span of the control text.

    clean: the clean metric (task) or loss in nats (control).
    damage: positive where ablating the head does harm, in the metric's unit or nats.
    provenance: what made it; compared when the table is loaded.
    """

    clean: Float[Tensor, " prompts"]
    damage: Float[Tensor, "prompts heads"]
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def name(self) -> str:
        """The task's name, or ``control``."""
        return str(self.provenance["task"])


def provenance(
    subject: Subject, task: str, count: int, part: Part, text: Text = "docstrings"
) -> dict[str, Any]:
    """What determines a table. ``text``, the control text, is part of it for the control table alone."""
    made_of = {"text": text} if task == CONTROL else {}
    return made_of | {
        "subject": subject.name,
        "weights": subject.weights_hash,
        "convention": subject.convention,
        "intervention": "zero",
        "task": task,
        "count": count,
        "part": part,
        "seed": SEEDS[part],
        "code": code_hash(CODE),
        "versions": versions(),
    }


def build_table(
    subject: Subject,
    task: str,
    count: int,
    part: Part,
    cache: Path,
    text: Text = "docstrings",
) -> DamageTable:
    """Measure a table; ``task`` may be ``control``, of the control text ``text``. Finished blocks are kept
    in ``cache`` until the table is complete, so that an interrupted call resumes. Shows progress on a
    terminal.

    Raises ``ValueError`` for an unknown task or a count that cannot be drawn, and
    ``FileNotFoundError`` when the control text is not here.
    """
    if task not in TASKS and task != CONTROL:
        raise ValueError(f"unknown task {task!r}; there are {', '.join([*TASKS, CONTROL])}")
    made_by = provenance(subject, task, count, part, text)
    ablate = engine(subject)
    blocks: list[Callable[[], tuple[Tensor, Tensor]]]
    if task == CONTROL:
        spans = control_spans(subject.tokenizer, count, SEEDS[part], part, text)
        blocks = [partial(ablate.control, rows) for rows in spans.split(BLOCK)]
    else:
        blocks = [
            partial(ablate.task, group[at : at + BLOCK], TASKS[task].metric)
            for group in TASKS[task].prompts(subject.tokenizer, count, SEEDS[part])
            for at in range(0, len(group), BLOCK)
        ]
    key = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
    parts = []
    for i, block in enumerate(tqdm(blocks, desc=f"{task}, {part}", unit="block", disable=None)):
        path = cache / "sweeps" / f"{key}-{i:05d}.safetensors"
        if not path.exists():
            clean, ablated = block()
            with written_whole(path) as temporary:
                save_file({"clean": clean, "ablated": ablated}, temporary)
        parts.append(load_file(path))
    clean, ablated = (torch.cat([part[name] for part in parts]) for name in ("clean", "ablated"))
    damage = ablated - clean[:, None] if task == CONTROL else clean[:, None] - ablated
    for i in range(len(blocks)):
        (cache / "sweeps" / f"{key}-{i:05d}.safetensors").unlink()
    return DamageTable(clean, damage, made_by)


def _content_hash(clean: Tensor, damage: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in (clean, damage):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_table(table: DamageTable, path: Path) -> None:
    """Write a table, its provenance and the hash of its content; whole or not at all. The same table is the
    same bytes."""
    manifest = {
        "provenance": table.provenance,
        "content": _content_hash(table.clean, table.damage),
    }
    # One entry, because safetensors writes several in any order.
    metadata = {"manifest": json.dumps(manifest, sort_keys=True)}
    with written_whole(path) as temporary:
        save_file({"clean": table.clean, "damage": table.damage.contiguous()}, temporary, metadata)


def load_table(path: Path, wanted: Mapping[str, Any] | None = None) -> DamageTable:
    """Read a table and verify it.

    Raises ``StaleResult`` when it has no manifest, when its content does not match its hash, or when its
    provenance is not ``wanted`` (versions of packages apart); the message says which and why.
    """
    with safe_open(path, framework="pt") as file:
        manifest = read_manifest(file.metadata(), path)
        clean, damage = file.get_tensor("clean"), file.get_tensor("damage")
    content = _content_hash(clean, damage)
    if content != manifest["content"]:
        raise StaleResult(
            f"{path.name} is damaged: content hash {content}, recorded {manifest['content']}"
        )
    table = DamageTable(clean, damage, manifest["provenance"])
    if wanted is not None and (differs := differences(table.provenance, wanted)):
        raise StaleResult(f"{path.name} is of another run: {'; '.join(differs)}")
    return table
