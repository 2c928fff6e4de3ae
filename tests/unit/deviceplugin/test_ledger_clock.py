"""The ledger's times are of a clock that nobody sets: an hour's jump neither frees a function nor holds it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Allocation, Ledger
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot

VF, OTHER = PciAddress(0, 1, 16, 0), PciAddress(0, 1, 16, 2)


def noted(path: Path) -> dict[PciAddress, float]:
    ledger = poolfile.read_ledger(path)
    assert ledger is not None
    return {entry.address: entry.at for entry in ledger.allocations}


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, 10**9])
def test_a_jump_of_the_time_of_day_moves_no_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jump: float) -> None:
    file, now = LedgerFile(tmp_path / "ledger.json"), time.time()
    file.note("b", "virtfn.dev/fast", [VF])
    monkeypatch.setattr(time, "time", lambda: now + jump)
    file.note("b", "virtfn.dev/fast", [OTHER])
    at = noted(tmp_path / "ledger.json")
    assert set(at) == {VF, OTHER}
    assert since_boot() - 10 < at[VF] <= at[OTHER] <= since_boot()


def test_an_entry_from_the_future_counts_from_when_it_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    entries = [Allocation(address=a, resource_name="x/y", at=at) for a, at in ((VF, 1.7e9), (OTHER, 90.0))]
    poolfile.write_ledger(path, Ledger(boot_id="b", allocations=tuple(entries)))
    ledger = LedgerFile(path, lambda: 100.0)
    ledger.load("b")
    ledger.look_after("b")
    assert noted(path) == {VF: 100.0, OTHER: 90.0}
