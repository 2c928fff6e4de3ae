"""The contract of tests/contract/, unchanged, and guest/, as root on a real kernel with emulated igb cards and IOMMU.

One guest runs all of it; each of its tests is a result of its own here, and one it skipped is a failure.
"""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from virtfn_lab.guest import run_in_guest
from virtfn_lab.paths import repository

SERIES = os.environ.get("VIRTFN_KERNEL", "6.1")
FOLDERS = ("tests/contract", "tests/kernel/guest")
FILES = sorted(path.name for folder in FOLDERS for path in (repository() / folder).glob("test_*.py"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """File to test to `passed` or what went wrong."""
    out: Path = tmp_path_factory.mktemp("guest")
    folders = " ".join(FOLDERS)
    command = f"python3 -m pytest -p no:cacheprovider --timeout=180 --junit-xml=/out/results.xml {folders}"
    run_in_guest(command, kernel=SERIES, out=out, timeout=900)
    found: dict[str, dict[str, str]] = {}
    # Written by our own guest.
    for case in ET.parse(out / "results.xml").iter("testcase"):
        wrong = [
            f"{child.tag}: {child.get('message')}" for child in case if child.tag in ("failure", "error", "skipped")
        ]
        file = case.get("classname", "").rsplit(".", 1)[-1] + ".py"
        found.setdefault(file, {})[case.get("name", "")] = "; ".join(wrong) or "passed"
    return found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", FILES)
def test_every_test_of_the_file_passes_on_the_kernel(results: dict[str, dict[str, str]], file: str) -> None:
    print(f"Linux {SERIES}: {len(results[file])} tests of {file}")
    assert {name: said for name, said in results[file].items() if said != "passed"} == {}
    assert results[file], f"the guest ran nothing of {file}"
