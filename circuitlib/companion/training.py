"""Policies that are missing, trained: a process for each k, with checkpoints, from which an interrupted training goes on."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from circuitlib.companion.aside import ASIDE, is_whole
from circuitlib.companion.locks import in_turn
from circuitlib.companion.settings import KEPT
from circuitlib.manifest import as_json, is_stored, remove, save_frame, short_hash
from circuitlib.processes import end_with_parent
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.policy import rounded, save_policy
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer


@dataclass(frozen=True)
class Training:
    """One k, all seeds.

    wanted: the provenance of what comes of it. paths: where policies go, of the seeds that are kept and, if there are others, of those.
    history: where what they found goes. partial: where checkpoints are. lock: of the run.
    """

    config: PPOConfig
    wanted: dict[str, Any]
    paths: Sequence[Path]
    history: Path
    partial: Path
    lock: Path


def train_policies(source: TableEpisodes, trainings: Sequence[Training], progress: Callable[[int], object]) -> None:
    """Train and store all of them side by side. Raises ``ChildProcessError`` when one of the processes is killed."""
    context = get_context("spawn")
    done = context.Value("q", 0)
    with ProcessPoolExecutor(len(trainings), context, _share, (done,)) as pool:
        waiting = {pool.submit(_train_in_turn, source, one) for one in trainings}
        told = 0
        while waiting:
            finished, waiting = wait(waiting, timeout=1.0)
            progress(done.value - told)
            told = done.value
            for future in finished:
                _result(future)


def _result(future: Future[None]) -> None:
    try:
        future.result()
    except BrokenProcessPool:
        lost = "a process that trained policies was killed, perhaps for want of memory"
        raise ChildProcessError(f"{lost}; what it had done is kept: give the same command again") from None


_DONE: Any = None


def _share(done: Any) -> None:
    """Where a process that trains counts its updates; it ends with the run that wants them."""
    end_with_parent()
    global _DONE
    _DONE = done


def _train_in_turn(source: TableEpisodes, one: Training) -> None:
    """Unless another process is just doing so: then wait for those."""
    with in_turn(one.lock.with_name(one.paths[0].name), one.paths[0].name):
        if not all(map(is_stored, one.paths)):
            _train(source, one)


def _train(source: TableEpisodes, one: Training) -> None:
    torch.set_num_threads(1)
    checkpoint = one.partial / "ppo" / f"{short_hash(as_json(one.wanted).encode())}.safetensors"
    is_whole(checkpoint, one.partial / ASIDE)

    def count(updates: int) -> None:
        with _DONE.get_lock():
            _DONE.value += updates

    trainer = Trainer(source, one.config, one.wanted["seeds"])
    networks = rounded(trainer.train(checkpoint, progress=count))
    found = pd.DataFrame(trainer.history)
    # Curves to be looked at: seven digits are half the size of sixteen.
    save_frame(one.history, found.astype(dict.fromkeys(found.select_dtypes("float64"), "float32")), one.wanted)
    for path, seeds in zip(one.paths, (one.wanted["seeds"][:KEPT], one.wanted["seeds"][KEPT:]), strict=False):
        save_policy({seed: networks[seed] for seed in seeds}, path, one.wanted)
    remove(checkpoint)
