"""`virtfn restore` that ends with 0 leaves nothing in the journal of what it gave back: a later command would undo with
it what the administrator has done since."""

from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import doing as cli
from virtfn_host.cli.options import DONE
from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Original
from virtfn_host.linux.act.journal import Journal

PF, VFS = "0000:01:00.0", ("0000:01:10.0", "0000:01:10.2")
POLICY = """
kind: SriovPolicy
metadata: {{name: fast}}
spec:
  devices: [{{vendor: "8086", device: "10c9"}}]
  virtualFunctions:
    mtu: {mtu}
    pools: [{{resourceName: fast, driver: {driver}}}]
"""
ELSEWHERE = POLICY.replace('vendor: "8086"', 'vendor: "15b3"').format(mtu=4000, driver="kernel")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """A PF with two VFs on their network driver, which virtfn did not make."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made.register("vfio-pci")
    monkeypatch.setattr(
        cli, "machine_of", lambda sysfs, path, _: replace(made.machine(), journal=Journal(path, sysfs.boot_id))
    )
    made.write(made.devices / PF / "sriov_numvfs", "2")
    return made


def virtfn(kernel: FakeKernel, *words: str) -> int:
    return run([*words, "--root", str(kernel.root)])


def applied(kernel: FakeKernel, text: str) -> int:
    file = kernel.root / "policy.yaml"
    file.write_text(text)
    return virtfn(kernel, "apply", "-f", str(file))


def driver(kernel: FakeKernel, address: str) -> str:
    return (kernel.devices / address / "driver").readlink().name


def mtu(kernel: FakeKernel, vf: str) -> Path:
    (netdev,) = (kernel.devices / vf / "net").iterdir()
    return netdev / "mtu"


def mtus(kernel: FakeKernel) -> list[str]:
    return [mtu(kernel, vf).read_text().strip() for vf in VFS]


def left(kernel: FakeKernel) -> tuple[Original, ...]:
    return Journal(kernel.root / "var/lib/virtfn/journal.json").originals()


def bind_by_hand(kernel: FakeKernel, vf: str) -> None:
    """Bind a VF to vfio-pci as an administrator does, without virtfn."""
    kernel.write(kernel.devices / vf / "driver_override", "vfio-pci")
    kernel.write(kernel.devices / vf / "driver/unbind", vf)
    kernel.write(kernel.drivers / "vfio-pci/bind", vf)


def with_an_mtu_then_on_vfio(kernel: FakeKernel, first: int, second: int) -> None:
    for vf, value in zip(VFS, (first, second), strict=True):
        mtu(kernel, vf).write_text(f"{value}\n")
    assert applied(kernel, POLICY.format(mtu=4000, driver="kernel")) == DONE
    assert applied(kernel, POLICY.format(mtu=4000, driver="vfio-pci")) == DONE


@pytest.mark.parametrize("words", [("restore", "--all"), ("restore", PF), ("apply",)])
@pytest.mark.parametrize(("first", "second"), [(1500, 1500), (2000, 3000)])
def test_vfs_that_come_back_from_vfio_get_their_mtu_at_once(
    kernel: FakeKernel, words: tuple[str, ...], first: int, second: int
) -> None:
    with_an_mtu_then_on_vfio(kernel, first, second)
    if words == ("apply",):
        applied(kernel, ELSEWHERE)  # matches nothing, but gives back what the former policy had
    else:
        assert virtfn(kernel, *words) == DONE
    assert mtus(kernel) == [str(first), str(second)]
    assert left(kernel) == ()


@pytest.mark.parametrize("usual", [1500, 2000])
def test_what_the_administrator_does_afterwards_stays(kernel: FakeKernel, usual: int) -> None:
    with_an_mtu_then_on_vfio(kernel, usual, usual)
    assert virtfn(kernel, "restore", "--all") == DONE
    bind_by_hand(kernel, VFS[0])
    applied(kernel, ELSEWHERE)
    assert virtfn(kernel, "restore", "--all") == DONE
    assert driver(kernel, VFS[0]) == "vfio-pci"


@pytest.mark.parametrize("order", [VFS[:1], VFS, VFS[::-1]])
def test_the_last_vf_that_is_restored_takes_the_entry_with_it(kernel: FakeKernel, order: tuple[str, ...]) -> None:
    for vf in order:
        assert virtfn(kernel, "bind", vf) == DONE
    for vf in order:
        assert len(left(kernel)) == 1
        assert virtfn(kernel, "restore", vf) == DONE
        assert driver(kernel, vf) == "igbvf"
    assert left(kernel) == ()
    bind_by_hand(kernel, order[0])
    assert virtfn(kernel, "restore", "--all") == DONE
    assert driver(kernel, order[0]) == "vfio-pci"


@pytest.mark.parametrize("value", [1500, 2000])
def test_one_restored_vf_has_its_mtu_and_the_rest_stays_as_it_is(kernel: FakeKernel, value: int) -> None:
    with_an_mtu_then_on_vfio(kernel, value, value)
    assert virtfn(kernel, "restore", VFS[0]) == DONE
    assert mtu(kernel, VFS[0]).read_text().strip() == str(value)
    assert driver(kernel, VFS[1]) == "vfio-pci"
    assert len(left(kernel)) == 1


def test_an_entry_that_is_left_of_a_former_restore_goes(kernel: FakeKernel) -> None:
    assert virtfn(kernel, "bind", VFS[0]) == DONE
    assert virtfn(kernel, "bind", VFS[0], "--driver", "kernel") == DONE
    assert len(left(kernel)) == 1
    assert virtfn(kernel, "restore", VFS[0]) == DONE
    assert left(kernel) == ()


def test_a_pf_that_differs_elsewhere_is_not_forgotten_with_its_vf(kernel: FakeKernel) -> None:
    """autoprobe is what nothing of this command gives back."""
    assert virtfn(kernel, "bind", VFS[0]) == DONE
    kernel.write(kernel.devices / PF / "sriov_drivers_autoprobe", "0")
    assert virtfn(kernel, "restore", VFS[0]) == DONE
    assert len(left(kernel)) == 1
    assert (kernel.devices / PF / "sriov_drivers_autoprobe").read_text().strip() == "0"


@pytest.mark.parametrize("restored", [PF, VFS[0], "--all"])
def test_link_settings_that_virtfn_never_set_are_not_restored(kernel: FakeKernel, restored: str) -> None:
    first = PciAddress.parse(VFS[0])
    assert applied(kernel, POLICY.format(mtu=1500, driver="vfio-pci")) == DONE
    theirs = replace(kernel.links[first], vlan=100, mac="52:54:00:aa:bb:cc", spoof_check=False)
    kernel.links[first] = theirs
    kernel.made_up.discard(first)
    assert virtfn(kernel, "restore", restored) == DONE
    assert driver(kernel, VFS[0]) == "igbvf"
    assert kernel.links[first] == theirs


@pytest.mark.parametrize("restored", [PF, VFS[0], "--all"])
def test_link_settings_that_virtfn_set_are_restored_and_no_others(kernel: FakeKernel, restored: str) -> None:
    first = PciAddress.parse(VFS[0])
    before = kernel.links[first]
    with_link = POLICY.replace("driver: {driver}", "driver: {driver}, link: {{vlan: 5}}")
    assert applied(kernel, with_link.format(mtu=1500, driver="vfio-pci")) == DONE
    kernel.links[first] = replace(kernel.links[first], spoof_check=False)
    assert kernel.links[first].vlan == 5
    assert virtfn(kernel, "restore", restored) == DONE
    now = kernel.links[first]
    assert (now.vlan, now.vlan_qos, now.spoof_check) == (before.vlan, before.vlan_qos, False)
