"""The lock opens the group of every VF, and a PF may have more VFs than the usual soft limit of open files."""

import itertools
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import doing as cli
from virtfn_host.cli.options import DONE
from virtfn_host.cli.verbs import run

PF, VFS = "0000:01:00.0", 7


@pytest.fixture
def few_files() -> Iterator[None]:
    """Set a limit of open files that is too low for a lock on every VF."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(fd.name) for fd in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, VFS, None)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_files")
def test_a_low_soft_limit_of_open_files_keeps_no_pf_from_being_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    monkeypatch.setattr(cli, "machine_of", lambda *_: kernel.machine())
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"""
        apiVersion: virtfn.dev/v1alpha1
        kind: SriovPolicy
        metadata: {{name: all}}
        spec:
          devices: [{{address: "{PF}"}}]
          virtualFunctions: {{count: {VFS}, pools: [{{resourceName: all}}]}}
        """
    )
    assert run(["apply", "--root", str(kernel.root), "-f", str(policy)]) == DONE
    assert run(["restore", "--root", str(kernel.root), "--all"]) == DONE
