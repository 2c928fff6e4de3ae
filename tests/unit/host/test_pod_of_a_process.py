"""The cgroup of a process tells the uid of its pod, as every cgroup driver and version writes it."""

from pathlib import Path

import pytest

from virtfn_host.linux.read.open_files import process
from virtfn_host.linux.read.sysfs import Sysfs

UID = "8d2c1e5a-0a1b-4c2d-8e3f-0123456789ab"
SLICE = UID.replace("-", "_")
OTHER = "11111111-2222-3333-4444-555555555555"


def uid(root: Path, cgroup: str | None) -> str | None:
    folder = root / "proc/7"
    folder.mkdir(parents=True)
    (folder / "comm").write_text("qemu\n")
    if cgroup is not None:
        (folder / "cgroup").write_text(cgroup)
    return process(Sysfs(root / "sys", root / "dev", root / "proc"), "7").pod_uid


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/cri-containerd-1f.scope\n",
        f"0::/kubepods.slice/kubepods-pod{SLICE}.slice/crio-1f.scope/container\n",
        f"0::/kubepods/besteffort/pod{UID}/1f\n",
        f"0::/../../kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/x\n",
        f"0::/kubepods/pod{UID}",
        f"12:devices:/kubepods/burstable/pod{UID}/1f\n11:cpu:/kubepods/burstable/pod{UID}/1f\n",
        f"0::/kubepods/pod{UID}/x/kubepods/pod{OTHER}/1f\n",  # a cluster inside of a pod
    ],
)
def test_a_process_of_a_pod(tmp_path: Path, cgroup: str) -> None:
    assert uid(tmp_path, cgroup) == UID


@pytest.mark.parametrize(
    "cgroup",
    [
        None,
        "",
        "0::/\n",
        "0::/system.slice/libvirtd.service\n",
        f"0::/machine.slice/{UID}\n",
        f"0::/kubepods/pod{UID[:-1]}/1f\n",
        f"0::/kubepods/pod{UID}0/1f\n",
        f"0::/tripod{UID}x\n",
    ],
)
def test_a_process_of_no_pod(tmp_path: Path, cgroup: str | None) -> None:
    assert uid(tmp_path, cgroup) is None
