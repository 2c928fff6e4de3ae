"""The contract of tests/contract/, unchanged, and guest/, as root on real kernels with emulated cards and an IOMMU.

One guest a kernel runs all of its files; each file is a result of its own here, and a test it skipped is a failure.
"""

import os
import tempfile
from functools import cache
from pathlib import Path

import pytest
from real_kernels import DEBIANS, OWN, Boot, Results, run_on

WANTED = os.environ.get("VIRTFN_KERNEL")
BOOTS = [boot for boot in (*DEBIANS, *OWN) if boot.kernel == WANTED] if WANTED else DEBIANS


@cache
def results(boot: Boot, out: Path) -> Results | Exception:
    """What a boot said, or why it said nothing: each boots once."""
    try:
        return run_on(boot, Path(tempfile.mkdtemp(dir=out)))
    except Exception as error:
        return error


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guests")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("boot", "file"), [(boot, file) for boot in BOOTS for file in boot.files], ids=str)
def test_every_test_of_the_file_passes_on_the_kernel(boot: Boot, file: str, out: Path) -> None:
    said = results(boot, out)
    if isinstance(said, Exception):
        raise said
    print(f"Linux {boot}: {len(said[file])} tests of {file}")
    assert {name: what for name, what in said[file].items() if what != "passed"} == {}
    assert said[file], f"the guest ran nothing of {file}"
