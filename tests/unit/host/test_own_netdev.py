"""The netdev of a PF is that of its own port: in the inventory, for link settings, and by its alternative names."""

import errno
import os
from pathlib import Path

import pytest
from inventories import a_link_policy
from kernel import FakeKernel

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.model import InUse, Pf
from virtfn_host.core.values.report import Outcome
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import NetlinkError, SysfsReadError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import own_netdevs
from virtfn_host.linux.touch.reader import Reader

PF = PciAddress(0, 1, 0, 0)
SWITCH = "1070fd0300b4f7c8"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    fake = FakeKernel(tmp_path, pfs=2)
    fake.register("vfio-pci")
    return fake


def net(kernel: FakeKernel) -> Path:
    return kernel.devices / str(PF) / "net"


def put(kernel: FakeKernel, name: str, port: str | None, **files: str) -> None:
    """A netdev in the PF's folder."""
    folder = net(kernel) / name
    folder.mkdir(exist_ok=True)
    shown = {
        "ifindex": str(next(kernel.ifindexes)),
        "flags": "0x1003",
        "address": "d2:00:00:00:00:01",
        "addr_assign_type": "1",
        **files,
    }
    if port is not None:
        shown |= {"phys_port_name": port, "phys_switch_id": SWITCH}
    for file, text in shown.items():
        if not (folder / file).exists() or file in files or file == "flags":
            (folder / file).write_text(f"{text}\n")


def uplink(kernel: FakeKernel, name: str = "eth2", port: str | None = "p0") -> None:
    """Rename the PF's netdev, and let it be the port of a switch."""
    (old,) = net(kernel).iterdir()
    old.rename(net(kernel) / name)
    put(kernel, name, port)


def pf_of(kernel: FakeKernel, *asked: str) -> Pf:
    machine = kernel.machine()
    pf = read_inventory(machine.sysfs, asked=asked_names(asked, machine.netlink)).pf(PF)
    assert pf is not None
    return pf


# --- representors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "others",
    [
        {"eth10": "pf0vf0", "eth11": "pf0vf1"},
        {"a0": "pf0vf0"},
        {"eth0": "c1pf0vf0", "eth1": "c1pf0"},
        {"eth1": "pf0sf88", "en1": "pf0vf127"},
    ],
)
def test_representors_are_not_the_pfs_netdev(kernel: FakeKernel, others: dict[str, str]) -> None:
    uplink(kernel)
    for name, port in others.items():
        put(kernel, name, port)
    assert pf_of(kernel).netdevs == ("eth2",)


def test_a_pf_whose_uplink_is_in_another_namespace_has_none(kernel: FakeKernel) -> None:
    uplink(kernel, "eth10", "pf0vf0")
    assert pf_of(kernel).netdevs == ()


def test_link_settings_go_through_the_uplink(kernel: FakeKernel) -> None:
    uplink(kernel, "eth9")
    put(kernel, "eth10", "pf0vf0")
    put(kernel, "a0", "pf0vf1")
    machine = kernel.machine()
    for _ in range(2):
        inventory = read_inventory(machine.sysfs, netlink=machine.netlink)
        config = NodeConfig(policies=(a_link_policy(count=2, vlan=100),))
        made = plan(inventory, resolve(config, inventory, ()).desired, InUse(holders=()))
        results = apply(made, machine).results
        assert [result.message for result in results if result.outcome is not Outcome.DONE] == []
    assert made.steps == ()
    asked = {what.split("/")[1] for what, _ in kernel.writes if what.startswith("rtnetlink/")}
    assert asked == {"eth9", "eth2v00"}, "of each of two PFs its own"


# --- several ports, drivers that do not say, readers that fail -------------------------------------------------------


@pytest.mark.parametrize("attribute", [("dev_port", "1", "0"), ("dev_id", "0x1", "0x0")])
def test_the_first_port_of_several_is_the_pfs_netdev(kernel: FakeKernel, attribute: tuple[str, str, str]) -> None:
    name, second, first = attribute
    uplink(kernel, "eth0", None)
    (net(kernel) / "eth0" / name).write_text(f"{second}\n")
    put(kernel, "eth1", None, **{name: first})
    assert pf_of(kernel).netdevs == ("eth1", "eth0")


class Silent(Sysfs):
    """Answers every `phys_port_name` with one errno."""

    errno = errno.EOPNOTSUPP

    def read(self, path: str | Path) -> str | None:
        if str(path).endswith("phys_port_name"):
            raise SysfsReadError(str(path), OSError(self.errno, os.strerror(self.errno)))
        return super().read(path)


def test_a_driver_that_knows_no_ports_has_its_netdev_all_the_same(kernel: FakeKernel) -> None:
    (name,) = [folder.name for folder in net(kernel).iterdir()]
    assert own_netdevs(Silent(kernel.root / "sys"), PF) == (name,)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_port_that_cannot_be_read_is_an_entry_and_nothing_is_guessed(kernel: FakeKernel, number: int) -> None:
    sysfs = Silent(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    sysfs.errno = number
    inventory = read_inventory(sysfs)
    assert [lost.device for lost in inventory.unreadable] == [pf.address for pf in inventory.pfs]
    assert {pf.netdevs for pf in inventory.pfs} == {()}


def test_a_reader_with_a_deadline_finds_the_same(kernel: FakeKernel) -> None:
    uplink(kernel)
    put(kernel, "a0", "pf0vf0")
    reader = Reader()
    try:
        assert own_netdevs(kernel.machine().sysfs, PF, reader) == ("eth2",)
        assert read_inventory(kernel.machine().sysfs, reader).pf(PF) == pf_of(kernel)
    finally:
        reader.close()


# --- alternative names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["enp1s0f0np0", "enx525400000100", "a-name-that-is-longer-than-fifteen-bytes"])
def test_an_alternative_name_is_read_where_somebody_asks_for_it(kernel: FakeKernel, other: str) -> None:
    uplink(kernel)
    kernel.other_names["eth2"] = (other,)
    assert pf_of(kernel).netdevs == ("eth2",)
    assert pf_of(kernel, other).netdevs == ("eth2", other)


def test_vfs_have_theirs_too(kernel: FakeKernel) -> None:
    (kernel.devices / str(PF) / "sriov_drivers_autoprobe").write_text("1\n")
    kernel._set_num_vfs(PF, 1)
    name = pf_of(kernel).vfs[0].netdevs[0]
    kernel.other_names[name] = ("enp1s0f0v0",)
    assert pf_of(kernel, "enp1s0f0v0").vfs[0].netdevs == (name, "enp1s0f0v0")


def test_nobody_asks_netlink_where_every_name_is_known(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    uplink(kernel)
    monkeypatch.setattr("netlink.FakeNetlink.other_names", lambda _: pytest.fail("it was asked"))
    assert pf_of(kernel, "eth2").netdevs == ("eth2",)
    assert pf_of(kernel).netdevs == ("eth2",)


def test_without_an_answer_every_card_that_may_be_meant_is_an_entry(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_: object) -> None:
        raise NetlinkError("netlink has not answered")

    monkeypatch.setattr("netlink.FakeNetlink.other_names", silent)
    machine = kernel.machine()
    found = read_inventory(machine.sysfs, asked=asked_names(["enp1s0f0np0"], machine.netlink))
    assert [lost.device for lost in found.unreadable] == [pf.address for pf in found.pfs]


def test_an_interface_alias_is_no_name(kernel: FakeKernel) -> None:
    uplink(kernel)
    (net(kernel) / "eth2" / "ifalias").write_text("uplink to rack 7\n")
    assert pf_of(kernel, "uplink to rack 7").netdevs == ("eth2",)


def test_a_whole_function_is_known_by_its_alternative_name_while_its_netdev_is_gone(kernel: FakeKernel) -> None:
    uplink(kernel, port=None)
    (net(kernel) / "eth2" / "flags").write_text("0x1002\n")
    kernel.other_names["eth2"] = ("enp1s0f0np0",)
    machine = kernel.machine()
    whole = WholeRequest(resource_name="virtfn.dev/nic", driver="vfio-pci")
    device = DeviceMatcher(netdev="enp1s0f0np0")
    policy = PolicyConfig(name="nic", uid="u", generation=1, devices=(device,), count=None, pools=(), whole=whole)
    for _ in range(2):
        inventory = read_inventory(machine.sysfs, asked=asked_names(["enp1s0f0np0"], machine.netlink))
        resolution = resolve(NodeConfig(policies=(policy,)), inventory, machine.journal.originals())
        assert resolution.rejected == ()
        made = plan(inventory, resolution.desired, InUse(holders=()))
        results = apply(made, machine).results
        assert [result.message for result in results if result.outcome is not Outcome.DONE] == []
        kernel.other_names.clear()  # they end with the netdev
    assert made.steps == ()
    assert kernel._driver(PF) == "vfio-pci"
