"""What several threads bring at the same time is written together, and each one hears of its own write."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from virtfn_deviceplugin.together import Together
from virtfn_host.linux.poolfile import PoolFileError


class Disk:
    """Writes batches; the first one waits until it may end."""

    def __init__(self, error: Exception | None = None, fails: int = -1) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._error, self._fails = error, fails

    def write(self, items: Sequence[int]) -> None:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            self.begun.set()
            self.may_end.wait(30)
        if self._error is not None and len(self.batches) - 1 == self._fails:
            raise self._error


def bring(disk: Disk, number: int) -> list["Future[None]"]:
    """Bring one item, and many more while it is written."""
    together = Together(disk.write)
    with ThreadPoolExecutor(number + 1) as pool:
        first = pool.submit(together.bring, 0)
        assert disk.begun.wait(30)
        others = [pool.submit(together.bring, item) for item in range(1, number + 1)]
        while len(together._next.items) < number:
            threading.Event().wait(0.001)
        disk.may_end.set()
        return [first, *others]


@pytest.mark.parametrize("number", [1, 3, 14])
def test_those_that_wait_are_written_by_one_write(number: int) -> None:
    disk = Disk()
    assert [one.result() for one in bring(disk, number)] == [None] * (number + 1)
    assert [sorted(batch) for batch in disk.batches] == [[0], list(range(1, number + 1))]


@pytest.mark.parametrize("number", [1, 3, 14])
@pytest.mark.parametrize("fails", [0, 1])
def test_a_write_that_fails_is_told_to_its_own_batch_only(number: int, fails: int) -> None:
    first, *others = bring(Disk(PoolFileError("the disk is full"), fails), number)
    for one in [first] if fails == 0 else others:
        with pytest.raises(PoolFileError, match="the disk is full"):
            one.result()
    for one in others if fails == 0 else [first]:
        assert one.result() is None


@pytest.mark.parametrize("error", [MemoryError(), TypeError("a fault of ours"), RecursionError()])
def test_after_an_unexpected_error_nobody_takes_his_item_for_written(error: Exception) -> None:
    _, *others = bring(Disk(error, 1), 3)
    raised = [one.exception() for one in others]
    assert all(raised)
    assert sum(type(one) is type(error) for one in raised) == 1
    assert sum("did not come to an end" in str(one) for one in raised) == 2
