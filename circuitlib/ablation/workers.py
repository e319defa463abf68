"""Blocks of a table, measured by an executor's workers and verified when they arrive.

An executor is any of :mod:`concurrent.futures`' kind: processes of this machine, or Dask's ``client.get_executor()`` beyond it.
A worker loads the subject itself. What it sends is ``safetensors``, sealed with a hash of the bytes, of what was asked for and of
what it was made on. What does not arrive whole is asked for again, ``TRIES`` times in all.

A worker that dies is the executor's to replace. Dask gives its block to another worker, until a block has seen several die
(``distributed.scheduler.allowed-failures``); a ``ProcessPoolExecutor`` is broken by the first. What it raises in the end, and what
a measurement raises, is raised here as it is.
"""

import json
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from circuitlib.manifest import StaleResult, as_json, made_on, short_hash
from circuitlib.subjects.card import Convention, fingerprint
from circuitlib.subjects.checkpoints import canonical_name, local_checkpoint
from circuitlib.subjects.load import Subject

TRIES = 3
"""Times that a block is asked for, before the table is given up."""

Block = dict[str, Tensor]
"""Scores of consecutive rows: ``clean`` ``[rows]`` and ``ablated`` ``[rows, heads]``."""

Source = tuple[str, Convention, str, str]
"""What a worker loads a subject by: the arguments of :func:`circuitlib.subjects.load.load_subject`."""

_Sealed = tuple[bytes, str, str]


def source_of(subject: Subject) -> Source:
    """Where workers find a subject. Raises ``ValueError`` when it is not a checkpoint's, as a bridge in hand is not."""
    name = canonical_name(str(subject.bridge.cfg.model_name))
    directory = local_checkpoint(name)
    if directory is None or not fingerprint(directory).items() <= subject.card.record().items():
        raise ValueError(
            f"{subject.name} was made of a bridge in hand, and workers load a subject from a checkpoint's folder: save it in one and "
            "take load_subject, or measure without executor"
        )
    return name, subject.convention, subject.bridge.W_E.device.type, subject.card.bos


def by_workers(
    executor: Executor,
    measure: Callable[..., Block],
    jobs: Mapping[int, tuple[Any, ...]],
    shapes: Mapping[int, Mapping[str, tuple[int, ...]]],
    table: str,
) -> Generator[tuple[int, Block, dict[str, Any]]]:
    """``measure(*job)`` of each job as it arrives: its number, the block, and what it was made on. When this ends, however it does,
    what has not begun is cancelled.

    shapes: of the block of each job. table: a name that no other table has. Raises ``ValueError`` for a block that never arrives
    whole.
    """
    tries, waiting = Counter[int](), dict[Future[_Sealed], tuple[int, str]]()

    def ask(i: int) -> None:
        tries[i] += 1
        asked = f"{table}, block {i}, try {tries[i]}"  # Dask answers the same question once
        waiting[executor.submit(_sealed, measure, asked, jobs[i])] = i, asked

    try:
        for i in jobs:
            ask(i)
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                i, asked = waiting.pop(future)
                content, made, seal = future.result()
                try:
                    block = _opened(content, _seal(content, made, asked) == seal, shapes[i])
                except StaleResult as reason:
                    why = f"{reason} ({asked} of {TRIES})"
                    if tries[i] == TRIES:
                        raise ValueError(
                            f"{why}; look for what is wrong with the workers, or measure without"
                        ) from None
                    warnings.warn(f"{why}; it is measured again", stacklevel=3)
                    ask(i)
                else:
                    yield i, block, json.loads(made)
    finally:
        for future in waiting:
            future.cancel()


def _sealed(measure: Callable[..., Block], asked: str, job: tuple[Any, ...]) -> _Sealed:
    """In a worker: the block, what it was made on, and the seal."""
    content, made = save(measure(*job)), as_json(made_on())
    return content, made, _seal(content, made, asked)


def _seal(content: bytes, made: str, asked: str) -> str:
    return short_hash(f"{asked} {made}".encode() + content)


def _opened(content: bytes, intact: bool, shapes: Mapping[str, tuple[int, ...]]) -> Block:
    """Raises ``StaleResult`` for what is not what a worker sent, or not a block."""
    if not intact:
        raise StaleResult("a block arrived corrupt")
    block = load(content)
    if (found := {name: tuple(tensor.shape) for name, tensor in block.items()}) != shapes:
        raise StaleResult(f"a block has the shapes {found}, not {shapes}")
    if not all(tensor.isfinite().all() for tensor in block.values()):
        raise StaleResult("a block has scores that are not finite")
    return block
