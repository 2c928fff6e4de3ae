"""Time making and binding VFs by `apply` and by bare writes, in turn; runs as root on a machine with an SR-IOV card.

`python binding.py --device 8086:10c9 --rounds 15 FILE` writes the seconds of every round to FILE, as JSON. Both ways
begin and end without VFs; a measurement ends when every VF is seen on vfio-pci.

`--quick-rounds` follow the others. They measure only making, and remove the VFs quickly, so that the two ways of a pair
are close in time. A machine with busy neighbours can be twice as slow from one second to the next (seen with an empty
loop beside the making of 127 VFs); many close pairs show a difference all the same.

Our way has two figures. `apply` carries out the plan, with journal, in-use lock and a check of each step. The whole
also reads the machine and its users and decides before, and reads the machine again after. It is warm, as in the
long-running host process: its children run already, and one uncounted round went before.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import Stuck
from virtfn_host.executor import Executor
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modprobe
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import Writer
from virtfn_host.linux.use.lock import evidence

Way = Callable[[], float | None]
"""Something to time; returns the seconds of a part of it, or None."""


class Trial:
    """One PF, and two ways to make its VFs and to remove them."""

    def __init__(self, vendor: str, device: str, folder: Path) -> None:
        self.machine = Machine(
            sysfs=Sysfs(),
            writer=Writer(),
            journal=Journal(folder / "journal.json"),
            modules=Modprobe(),
            netlink=Netlink(),
        )
        self.reader, self.executor = Reader(), Executor(self.machine)
        self.machine.modules.load("vfio-pci", 60)
        pfs = [pf for pf in read_inventory(self.machine.sysfs).pfs if (pf.vendor, pf.device) == (vendor, device)]
        if not pfs:
            sys.exit(f"no {vendor}:{device} here")
        self.pf, self.count = pfs[0].address, pfs[0].total_vfs
        pool = PoolRequest(resource_name="virtfn.dev/bench", indexes=None, driver="vfio-pci")
        matcher = DeviceMatcher(address=self.pf)
        policy = PolicyConfig(name="bench", uid="u", generation=1, devices=(matcher,), count=self.count, pools=(pool,))
        self.wanted = NodeConfig(policies=(policy,))

    def ours(self) -> float:
        """Make VFs as `virtfn apply` does."""
        return self._carry_out(self.wanted)

    def ours_back(self) -> float:
        """Give everything back, as after the policy's deletion."""
        return self._carry_out(NodeConfig(policies=()))

    def _carry_out(self, config: NodeConfig) -> float:
        """Look, plan, apply and verify; return the seconds of apply alone."""
        sysfs = self.machine.sysfs
        look = OneLook(sysfs)
        inventory = read_inventory(look, self.reader)
        desired = resolve(config, inventory, self.machine.journal.originals()).desired
        made = plan(inventory, desired, evidence(look, inventory, netlink=self.machine.netlink))
        began = time.monotonic()
        report = self.executor.carry_out(made, lambda _: None)
        seconds = time.monotonic() - began
        if isinstance(report, Stuck):
            sys.exit(report.text)
        wrong = [r.message for r in report.results if r.outcome != "done"]
        only = {pf.address for pf in desired.pfs}
        wrong += [m.message for m in verify(desired, read_inventory(sysfs, self.reader, only=only))]
        if wrong:
            sys.exit("\n".join(wrong))
        return seconds

    def bare(self) -> None:
        """Make and bind VFs with only the necessary writes."""
        self.bare_without_a_driver()
        for vf in self._vfs():
            _write(f"/sys/bus/pci/devices/{vf}/driver_override", "vfio-pci")
            _write("/sys/bus/pci/drivers/vfio-pci/bind", str(vf))
        if any(self.machine.sysfs.bound_driver(vf) != "vfio-pci" for vf in self._vfs()):
            sys.exit("the bare writes did not bind")

    def bare_without_a_driver(self) -> None:
        """Make VFs without a driver; removing those is the floor for every way of removing."""
        _write(self._attribute("sriov_drivers_autoprobe"), "0")
        _write(self._attribute("sriov_numvfs"), str(self.count))

    def bare_back(self) -> None:
        """Remove VFs the plain way: write 0, whatever is bound."""
        _write(self._attribute("sriov_numvfs"), "0")
        _write(self._attribute("sriov_drivers_autoprobe"), "1")

    def quick_back(self) -> None:
        """Remove VFs with parallel unbinds; not measured."""
        unbind = [(self.machine.sysfs.device(vf, "driver/unbind"), str(vf)) for vf in self._vfs()]
        self.machine.writer.write_all(unbind, 60)
        self.bare_back()

    def _attribute(self, name: str) -> str:
        return f"/sys/bus/pci/devices/{self.pf}/{name}"

    def _vfs(self) -> list[PciAddress]:
        return sorted(self.machine.sysfs.vf_addresses(self.pf).values())


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One way to make VFs and one to remove them, each with the name of its figure."""

    made: str
    make: Way
    away: str | None
    """Name of the figure for removing; None if it is not reported."""
    take: Way

    def timed(self) -> dict[str, float]:
        """Run both; return the seconds of each, and of the part that a way reports."""
        told: dict[str, float] = {}
        for name, way in ((self.made, self.make), (self.away, self.take)):
            began = time.monotonic()
            part = way()
            if name is not None:
                told[name] = time.monotonic() - began
                if part is not None:
                    told[f"{name} apply"] = part
        return told


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="8086:10c9")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick-rounds", type=int, default=0)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        vendor, _, device = options.device.partition(":")
        trial = Trial(vendor, device, Path(folder))
        # Not counted: the first round of each way starts children and fills caches.
        for first in (trial.ours, trial.ours_back, trial.bare, trial.bare_back):
            first()
        least = Turn(made="made", make=trial.bare_without_a_driver, away="made back", take=trial.bare_back)
        bare = Turn(made="bare", make=trial.bare, away="bare back", take=trial.bare_back)
        ours = Turn(made="ours", make=trial.ours, away="ours back", take=trial.ours_back)
        full = [(least, bare, ours)] * options.rounds
        quick = [(replace(bare, away=None, take=trial.quick_back), replace(ours, away=None))] * options.quick_rounds
        seen: dict[str, list[float]] = defaultdict(list)
        for number, turns in enumerate([*full, *quick]):
            told: dict[str, float] = {}
            for turn in reversed(turns) if number % 2 else turns:
                told |= turn.timed()
            for name, seconds in told.items():
                seen[name].append(seconds)
            print(f"round {number + 1}: " + ", ".join(f"{name} {s:.3f} s" for name, s in told.items()), flush=True)
        trial.machine.writer.close()
        trial.reader.close()
    options.file.write_text(json.dumps({"count": trial.count, "seconds": seen}))


if __name__ == "__main__":
    main()
