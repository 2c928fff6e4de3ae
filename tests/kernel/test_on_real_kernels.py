"""The contract of tests/contract/, unchanged, guest/ and the faults, as root on real kernels with emulated cards.

As many guests at once as there are processors, because each keeps one busy. Each file is a result of its own here, and
a test that was skipped is a failure.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from real_kernels import PATIENCE, PROVED, TESTED, Boot, Results, run_on

from virtfn_lab.node_image import node_image
from virtfn_lab.paths import run_dir
from virtfn_lab.prereqs import ensure
from virtfn_lab.qemu import has_kvm

WANTED = os.environ.get("VIRTFN_KERNEL")
BOOTS = [boot for boot in PROVED if boot.kernel == WANTED] if WANTED else TESTED


@pytest.fixture(scope="module")
def boots() -> Iterator[Mapping[Boot, Future[Results]]]:
    """What every boot says, or will say; what they are made of is made before, one after the other."""
    ensure()
    for kernel in dict.fromkeys(boot.kernel for boot in BOOTS):
        has_kvm(node_image(kernel).vmlinuz)
    with (
        tempfile.TemporaryDirectory(prefix="boots-", dir=run_dir()) as folder,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        # Not pytest's folders, whose names have commas in them: QEMU takes one for the end of a path.
        yield {boot: pool.submit(run_on, boot, Path(tempfile.mkdtemp(dir=folder))) for boot in BOOTS}


@pytest.mark.timeout(3 * PATIENCE)
@pytest.mark.parametrize(("boot", "file"), [(boot, file) for boot in BOOTS for file in boot.files], ids=str)
def test_every_test_of_the_file_passes_on_the_kernel(
    boots: Mapping[Boot, Future[Results]], boot: Boot, file: str
) -> None:
    said = boots[boot].result()
    print(f"Linux {boot}: {len(said[file])} tests of {file}")
    assert {name: what for name, what in said[file].items() if what != "passed"} == {}
    assert said[file], f"the guest ran nothing of {file}"
    # A machine that is one fault shows no other, and this one.
    assert boot.fault is None or f"test_the_fault_shows_and_clears[{boot.fault}]" in said[file]
