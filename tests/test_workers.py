"""Blocks by workers: the bytes of one process, whatever dies or is garbled on the way."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed import Client, LocalCluster
from transformers import AutoModelForCausalLM

from circuitlib.ablation import build
from circuitlib.ablation.build import Recipe, build_table
from circuitlib.ablation.tables import DamageTable, save_table
from circuitlib.ablation.workers import by_workers
from circuitlib.manifest import RECORDED, StaleResult, load_tensors
from circuitlib.subjects.load import Subject, load_subject, subject_of
from circuitlib.tasks import TASKS

RECIPE = Recipe(TASKS["induction"], 40, "train")


@pytest.fixture(scope="module")
def subject(checkpoint: Path) -> Subject:
    return load_subject(str(checkpoint))


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BLOCK", 8)


def content(table: DamageTable, path: Path) -> tuple[bytes, bytes]:
    """Of the table and its manifest."""
    save_table(table, path)
    return path.read_bytes(), path.with_suffix(".json").read_bytes()


@pytest.fixture
def alone(subject: Subject, tmp_path: Path) -> tuple[bytes, bytes]:
    """What one process writes."""
    return content(build_table(subject, RECIPE, tmp_path / "alone"), tmp_path / "alone.safetensors")


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield pool


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.long
def test_processes_give_the_same_bytes_and_resume(
    subject: Subject, alone: tuple[bytes, bytes], processes: ProcessPoolExecutor, tmp_path: Path
) -> None:
    """One of them is killed in the middle, which breaks such a pool: what was finished is kept for the next one."""
    done: list[int] = []

    def kill(rows: int) -> None:
        done.append(rows)
        if len(done) == 2:
            killed(next(iter(processes._processes)))

    with pytest.raises(BrokenProcessPool):
        build_table(subject, RECIPE, tmp_path, kill, processes)
    kept = len(list((tmp_path / "sweeps").glob("*.safetensors")))
    assert kept == len(done) >= 2
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        table = build_table(subject, RECIPE, tmp_path, done.append, pool)
    assert content(table, tmp_path / "t.safetensors") == alone
    assert sum(done) == 40 + 8 * kept
    assert not list((tmp_path / "sweeps").iterdir())


@pytest.mark.long
def test_dask_gives_the_same_bytes_though_a_worker_is_killed(
    subject: Subject, alone: tuple[bytes, bytes], tmp_path: Path
) -> None:
    done: list[int] = []
    with (
        LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)

        def kill(rows: int) -> None:
            done.append(rows)
            if len(done) == 1:
                busy = [worker for worker, blocks in client.processing().items() if blocks]
                killed(pids[busy[0]])

        table = build_table(subject, RECIPE, tmp_path, kill, client.get_executor())
    assert content(table, tmp_path / "t.safetensors") == alone
    assert done == [8] * 5


class Garbling(ThreadPoolExecutor):
    """Flips a bit of what it returns, the first ``times``."""

    def __init__(self, times: int) -> None:
        super().__init__(1)
        self.times = times

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        return super().submit(self._garbled, call, *arguments, **named)

    def _garbled(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        content, *others = call(*arguments, **named)
        if self.times:
            self.times -= 1
            content = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        return content, *others


def test_what_arrives_corrupt_is_measured_again(subject: Subject, alone: tuple[bytes, bytes], tmp_path: Path) -> None:
    with Garbling(2) as executor, pytest.warns(UserWarning, match="arrived corrupt") as warned:
        table = build_table(subject, RECIPE, tmp_path, executor=executor)
    messages = [str(warning.message) for warning in warned]
    assert len(messages) == 2
    assert all(
        re.match(r"a block arrived corrupt \(induction table \w+, block \d, try 1 of 3\); it is measured", message)
        for message in messages
    )
    assert content(table, tmp_path / "t.safetensors") == alone


@pytest.mark.filterwarnings("ignore:a block arrived corrupt")
def test_what_never_arrives_whole_is_given_up(subject: Subject, tmp_path: Path) -> None:
    with (
        Garbling(1000) as executor,
        pytest.raises(ValueError, match=r"arrived corrupt \(induction table \w+, block \d, try 3 of 3\); look"),
    ):
        build_table(subject, RECIPE, tmp_path, executor=executor)
    assert not list((tmp_path).rglob("*.safetensors"))


@pytest.mark.filterwarnings("ignore:a block has scores")
def test_scores_that_are_not_finite_are_never_whole() -> None:
    def measure(count: int) -> dict[str, torch.Tensor]:
        return {"clean": torch.full((count,), torch.nan)}

    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(ValueError, match=r"scores that are not finite \(some, block 0, try 3 of 3\); look"),
    ):
        list(by_workers(executor, measure, {0: (2,)}, {0: {"clean": (2,)}}, "some"))


def test_what_is_kept_by_workers_is_whole_and_goes_on_here(
    subject: Subject, alone: tuple[bytes, bytes], tmp_path: Path
) -> None:
    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as executor, pytest.raises(KeyboardInterrupt):
        build_table(subject, RECIPE, tmp_path, interrupt, executor)
    (block,) = (tmp_path / "sweeps").glob("*.safetensors")
    assert set(RECORDED) < load_tensors(block)[1].keys()
    assert content(build_table(subject, RECIPE, tmp_path), tmp_path / "t.safetensors") == alone


class Refusing(Executor):
    """Is asked nothing."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        raise AssertionError("work has started")


def test_a_bridge_in_hand_is_refused_before_work_starts(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="made of a bridge in hand"):
        build_table(subject_of(subject.bridge), RECIPE, tmp_path, executor=Refusing())


def test_a_worker_that_finds_another_checkpoint_measures_nothing(
    checkpoint: Path, tmp_path: Path, processes: ProcessPoolExecutor
) -> None:
    """Saved over the one that was loaded, after the look at it and before the work."""
    folder = shutil.copytree(checkpoint, tmp_path / "mine")
    subject = load_subject(str(folder))

    class Late(Refusing):
        def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
            model = AutoModelForCausalLM.from_pretrained(checkpoint)
            model.transformer.wte.weight.data += 1
            model.save_pretrained(folder)
            return processes.submit(call, *arguments, **named)

    recipe = Recipe(RECIPE.task, 4, "train")
    with pytest.raises(StaleResult, match=r"a worker would measure another induction table: subject.weights is"):
        build_table(subject, recipe, tmp_path, executor=Late())


def test_tables_say_on_what_their_blocks_were_made() -> None:
    here, there = ({"versions": {"torch": "2"}, "processor": {"torch": one}, "count": 1} for one in ("AVX2", "AVX512"))
    assert build._made_on([here, here]) == {name: here[name] for name in RECORDED}
    assert build._made_on([there, here, there])["processor"] == [here["processor"], there["processor"]]
