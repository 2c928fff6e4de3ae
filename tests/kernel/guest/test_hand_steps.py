"""The walk that people do with modprobe, lspci and echo, with `virtfn` as root on a real kernel, and back again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DONE, BLOCKED = 0, 3
DEVICES = Path("/sys/bus/pci/devices")
IGB = ("0x8086", "0x10c9")


def virtfn(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "virtfn_host.cli.verbs", *words], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    print(f"$ virtfn {' '.join(words)}\n{done.stdout}{done.stderr}exit {done.returncode}")
    return done.returncode, done.stdout + done.stderr


def driver(address: str) -> str:
    link = DEVICES / address / "driver"
    return link.readlink().name if link.exists() else "none"


@pytest.fixture
def vf() -> Iterator[str]:
    """The first of two VFs on igbvf, as a machine comes up with them; its netdev is down."""
    subprocess.run(["modprobe", "-a", "igb", "igbvf"], check=True)
    pf = next(d for d in sorted(DEVICES.iterdir()) if ids(d) == IGB and (d / "sriov_totalvfs").exists())
    (pf / "sriov_numvfs").write_text("2")
    yield (pf / "virtfn0").readlink().name
    (pf / "sriov_numvfs").write_text("0")
    Path("/var/lib/virtfn/journal.json").unlink(missing_ok=True)


def ids(device: Path) -> tuple[str, str]:
    return (device / "vendor").read_text().strip(), (device / "device").read_text().strip()


def state(vf: str) -> dict[str, str]:
    pf = (DEVICES / vf / "physfn").resolve()
    names = [pf.name, *sorted(link.readlink().name for link in pf.glob("virtfn*"))]
    found = {f"{name} driver": driver(name) for name in names}
    found |= {f"{name} override": (DEVICES / name / "driver_override").read_text() for name in names}
    return found | {name: (pf / name).read_text() for name in ("sriov_numvfs", "sriov_drivers_autoprobe")}


@pytest.mark.timeout(900)  # a dozen commands, each a Python that starts on an emulated CPU
def test_find_it_see_its_driver_give_it_to_vfio_see_it_give_it_back(vf: str) -> None:
    before = state(vf)
    status, shown = virtfn("list")
    assert status == DONE
    assert any(vf in line and "igbvf" in line and "VF 0" in line for line in shown.splitlines())
    status, shown = virtfn("explain", vf)
    assert (status, "could drive it  igbvf, vfio-pci" in shown) == (DONE, True)
    assert f"works: virtfn bind {vf}" in shown

    assert virtfn("bind", vf)[0] == DONE
    assert driver(vf) == "vfio-pci"
    group = (DEVICES / vf / "iommu_group").readlink().name
    assert Path(f"/dev/vfio/{group}").is_char_device()
    assert "is set up: vfio-pci has it" in virtfn("explain", vf)[1]
    assert virtfn("bind", vf)[0] == DONE  # again: nothing to do

    assert virtfn("restore", vf)[0] == DONE
    assert driver(vf) == "igbvf"
    assert virtfn("restore", "--all")[0] == DONE
    assert state(vf) == before
    assert json.loads(Path("/var/lib/virtfn/journal.json").read_text())["value"]["originals"] == []


def test_a_vf_whose_netdev_is_up_is_left_alone(vf: str) -> None:
    (netdev,) = (DEVICES / vf / "net").iterdir()
    subprocess.run(["ip", "link", "set", netdev.name, "up"], check=True)
    assert virtfn("explain", vf)[0] == BLOCKED
    status, shown = virtfn("bind", vf)
    assert (status, driver(vf)) == (BLOCKED, "igbvf")
    assert f"its netdev {netdev.name} is up" in shown
    subprocess.run(["ip", "link", "set", netdev.name, "down"], check=True)
    assert virtfn("bind", vf)[0] == DONE
    assert virtfn("restore", "--all")[0] == DONE


def test_a_vf_that_a_program_holds_is_not_given_back(vf: str) -> None:
    assert virtfn("bind", vf)[0] == DONE
    group = (DEVICES / vf / "iommu_group").readlink().name
    holder = os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC)
    assert f"process {os.getpid()} (" in virtfn("list")[1]
    status, shown = virtfn("restore", vf)
    assert (status, driver(vf)) == (BLOCKED, "vfio-pci")
    assert f"process {os.getpid()} (" in shown
    os.close(holder)
    assert virtfn("restore", "--all")[0] == DONE
    assert driver(vf) == "igbvf"


def test_what_is_not_there_is_a_sentence(vf: str) -> None:
    for words in (("explain", "0000:7f:00.0"), ("bind", "0000:7f:00.0"), ("restore", "0000:7f:00.0")):
        assert virtfn(*words)[0] == 4
    assert virtfn("bind", "nonsense")[0] == 2
    assert virtfn("restore")[0] == 2
