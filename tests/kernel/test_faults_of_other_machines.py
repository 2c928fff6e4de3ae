"""Faults that the machine itself is (tests/faults/): without an IOMMU, or with cards behind a switch without ACS."""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from real_kernels import ONE_TEST

from virtfn_lab.guest import run_in_guest
from virtfn_lab.qemu import Hardware

SERIES = os.environ.get("VIRTFN_KERNEL", "6.1")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("hardware", "fault"),
    [
        (Hardware(iommu=False), "the whole machine has no IOMMU"),
        (Hardware(topology="no-acs"), "the card is behind a switch without ACS"),
    ],
    ids=["no-iommu", "no-acs"],
)
def test_the_fault_shows_on_a_machine_that_has_it(tmp_path: Path, hardware: Hardware, fault: str) -> None:
    command = f"python3 -m pytest -s -p no:cacheprovider --timeout={ONE_TEST} --junit-xml=/out/results.xml tests/faults"
    status = run_in_guest(command, hardware=hardware, kernel=SERIES, out=tmp_path, timeout=1500)
    # Written by our own guest.
    names = [case.get("name", "") for case in ET.parse(tmp_path / "results.xml").iter("testcase")]
    assert status == 0
    assert f"test_the_fault_shows_and_clears[{fault}]" in names
