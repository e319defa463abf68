"""Threads of one core each, and nothing of the process changed once they are done."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from circuitlib.threads import SWITCH, threads_of_one_core, training_threads


def _settings() -> tuple[object, ...]:
    """What this thread uses, what a new one would, and what the process has."""
    with ThreadPoolExecutor(1) as pool:
        fresh = pool.submit(torch.get_num_threads).result()
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return torch.get_num_threads(), fresh, sys.getswitchinterval(), blas


@pytest.fixture(autouse=True)
def _three_cores() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def _inside(count: int = 5) -> list[int]:
    with threads_of_one_core(count) as pool:
        return list(pool.map(lambda _: torch.get_num_threads(), range(count)))


def test_each_uses_one_core_and_the_caller_keeps_its_own() -> None:
    before = _settings()
    with threads_of_one_core(5) as pool:
        assert set(pool.map(lambda _: torch.get_num_threads(), range(5))) == {1}
        assert _settings() == before
        names = set(pool.map(lambda _: threading.current_thread().name, range(50)))
        assert len(names) <= 3
    assert _settings() == before


def test_training_hands_over_sooner_and_gives_it_back() -> None:
    before = _settings()
    with training_threads(2):
        assert sys.getswitchinterval() == pytest.approx(SWITCH)
        assert set(_settings()[3]) <= {1}  # type: ignore[call-overload]
        with training_threads(2):
            pass
        assert sys.getswitchinterval() == pytest.approx(SWITCH)
    assert _settings() == before


@pytest.mark.parametrize("kind", [threads_of_one_core, training_threads])
def test_nested_and_at_once(kind: object) -> None:
    """Several threads enter and leave in any order, and their workers enter again."""
    before, results = _settings(), []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(5):
            with kind(int(rng.integers(1, 5))) as pool:  # type: ignore[operator]
                results.extend(pool.map(lambda _: _inside(2), range(2)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 * 5 * 2
    assert all(cores == 1 for each in results for cores in each)
    assert _settings() == before


def test_an_error_inside_gives_everything_back() -> None:
    before = _settings()
    with pytest.raises(ZeroDivisionError), training_threads(2) as pool:
        pool.submit(divmod, 1, 0).result()
    assert _settings() == before
