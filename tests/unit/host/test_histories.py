"""The safety laws in random histories on the fake kernel; the counter-proof drops the lock and must be caught."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from histories import Histories
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from virtfn_host.core.address import PciAddress
from virtfn_host.linux import apply as applying
from virtfn_host.linux.sysfs import Sysfs

SAMPLE = settings(
    max_examples=60, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.mark.timeout(120)
def test_the_laws_hold_in_every_history() -> None:
    run_state_machine_as_test(Histories, settings=SAMPLE)


@contextmanager
def unlocked(sysfs: Sysfs, addresses: Iterable[PciAddress]) -> Iterator[None]:
    yield


@pytest.mark.timeout(120)
def test_without_the_lock_a_history_breaks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "held", unlocked)
    found = settings(SAMPLE, max_examples=3000, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Histories, settings=found)
