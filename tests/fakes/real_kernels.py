"""Which test files run on which real kernel and machine, and the results of one boot.

A file of tests/contract that is not named here runs on every kernel; `group_lock` runs on every kernel whose vfio has
groups. Each boot gets its files by name, so no guest has to skip any, and a skip is a failure.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virtfn_lab.guest import GuestFailedError, run_in_guest
from virtfn_lab.paths import repository
from virtfn_lab.qemu import Hardware

CDEV, CDEV_ONLY, NOIOMMU, GROUP_LOCK = (
    f"tests/contract/test_{name}.py" for name in ("cdev", "cdev_only", "noiommu", "group_lock")
)


def _files(folder: str) -> tuple[str, ...]:
    return tuple(sorted(f"{folder}/{path.name}" for path in (repository() / folder).glob("test_*.py")))


EVERYWHERE = tuple(file for file in _files("tests/contract") if file not in (CDEV, CDEV_ONLY, NOIOMMU))
WITHOUT_GROUPS = tuple(file for file in EVERYWHERE if file != GROUP_LOCK)
ON_BOTH = tuple(
    f"tests/contract/test_{name}.py" for name in ("group_lock", "in_use_lock", "shared_group", "whole", "writes")
)
"""A sample of the contract, of what depends most on the kernel."""

SAMPLES, FAULTS = _files("tests/kernel/guest"), _files("tests/faults")


@dataclass(frozen=True, kw_only=True)
class Boot:
    """A machine, and the test files that run on it."""

    kernel: str
    files: tuple[str, ...]
    iommu: bool = True
    topology: str = "contract"
    fault: str | None = None
    """Name of the fault of tests/faults/ that the machine itself has."""

    def __str__(self) -> str:
        card = "" if self.topology == "contract" else f", {self.topology}"
        return f"{self.kernel}{'' if self.iommu else ', no IOMMU'}{card}"


TESTED = (
    Boot(kernel="6.1", files=SAMPLES),
    Boot(kernel="6.1", files=FAULTS),
    Boot(kernel="6.1", files=EVERYWHERE),
    Boot(kernel="6.12", files=ON_BOTH),
    Boot(kernel="6.1", files=FAULTS, iommu=False, topology="igb2", fault="the whole machine has no IOMMU"),
    Boot(kernel="6.1", files=FAULTS, topology="no-acs", fault="the card is behind a switch without ACS"),
)
"""Boots of `make test`, longest first."""

PROVED = (
    Boot(kernel="6.12", files=EVERYWHERE),
    Boot(kernel="cdev", files=(*EVERYWHERE, CDEV)),
    Boot(kernel="cdev", files=(NOIOMMU,), iommu=False),
    Boot(kernel="cdev-only", files=(*WITHOUT_GROUPS, CDEV_ONLY)),
)
"""Boots of `make prove`, on Debian's newer kernel and on kernels that the lab compiles first."""

PATIENCE = 5000
"""Time-out of one boot in seconds, ten times what it takes on an idle machine: only a hang should reach it."""

ONE_TEST = 900
"""Time-out of one test in seconds, chosen likewise."""

Results = Mapping[str, Mapping[str, str]]
"""Results by file and test: `passed`, or what went wrong."""


def run_on(boot: Boot, out: Path) -> Results:
    """Boot the machine and run its files; the guest writes to the folder `out`.

    Raises:
        GuestFailedError: the guest did not come to its end, or pytest failed without a failed test.
    """
    words = f"python3 -m pytest -p no:cacheprovider --timeout={ONE_TEST} --junit-xml=/out/results.xml"
    hardware = Hardware(topology=boot.topology, iommu=boot.iommu)
    log = out / "log"
    command = f"{words} {' '.join(boot.files)}"
    status = run_in_guest(command, hardware=hardware, kernel=boot.kernel, out=out, timeout=PATIENCE, log=log)
    if status:
        print(log.read_text())
    found: dict[str, dict[str, str]] = {file: {} for file in boot.files}
    # safe to parse: our own guest wrote it
    for case in ET.parse(out / "results.xml").iter("testcase"):
        wrong = [
            f"{child.tag}: {child.get('message')}" for child in case if child.tag in ("failure", "error", "skipped")
        ]
        file = case.get("classname", "").replace(".", "/") + ".py"
        found.setdefault(file, {})[case.get("name", "")] = "; ".join(wrong) or "passed"
    if status and all(what == "passed" for tests in found.values() for what in tests.values()):
        raise GuestFailedError(f"Linux {boot}: pytest ended with {status}, and no test failed; its output is above")
    return found
