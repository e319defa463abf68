"""Work in processes: the same values in the same order, each process on one core, errors as they are."""

import os
from collections.abc import Iterator

import pytest
import torch

from circuitlib.processes import in_processes


@pytest.fixture
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_cores")
def test_values_come_back_in_order_from_processes_of_one_core() -> None:
    ones = torch.ones(3)
    sums = in_processes(torch.add, [(ones, i) for i in range(5)])
    assert [total.tolist() for total in sums] == [[1.0 + i] * 3 for i in range(5)]
    assert set(in_processes(torch.get_num_threads, [(), ()])) == {1}


@pytest.mark.usefixtures("two_cores")
def test_an_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        in_processes(divmod, [(1, 1), (1, 0), (2, 1)])


def test_a_single_job_and_a_single_core_need_no_process() -> None:
    assert in_processes(os.getpid, [()]) == [os.getpid()]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert in_processes(os.getpid, [(), ()]) == [os.getpid()] * 2
    finally:
        torch.set_num_threads(before)
