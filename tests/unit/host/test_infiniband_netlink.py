"""GUIDs of VFs as rtnetlink has them, and a whole node on an IPoIB that takes no MAC."""

import errno
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inventories import a_link_policy
from kernel import FakeKernel
from netlink import FakeNetlink

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.mac import ZERO_GUID, stable_guid
from virtfn_host.core.values.model import InUse, Lasting, VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import NetlinkRefusedError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.netlink.child import guid_of, vf_link, wire

PF = PciAddress(0, 1, 0, 0)
PORT = "00:00:10:87:fe:80:00:00:00:00:00:00:50:6b:4b:03:00:28:50:28"
GUID = "02:11:22:33:44:55:66:77"


# --- the wire --------------------------------------------------------------------------------------------------------


def attribute(kind: int, data: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(data), kind) + data).ljust((7 + len(data)) & ~3, b"\0")


def shown(*more: bytes) -> Any:
    """One IFLA_VF_INFO as the kernel sends it, read by pyroute2."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    info = attribute(1, struct.pack("=I32s", 3, bytes(32))) + b"".join(more)
    body = struct.pack("=BxHiII", 0, 32, 1, 0, 0) + attribute(22 | 0x8000, attribute(1 | 0x8000, info))
    message = ifinfmsg(struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body)
    message.decode()
    return message.get_attr("IFLA_VFINFO_LIST").get_attrs("IFLA_VF_INFO")[0]


def a_guid(kind: int) -> bytes:
    """struct ifla_vf_guid of <linux/if_link.h>: index, padding, GUID."""
    return attribute(kind, struct.pack("=IxxxxQ", 3, int(GUID.replace(":", ""), 16)))


@pytest.mark.parametrize("behind", [b"", attribute(9, bytes(64))])
def test_guids_are_read_wherever_the_message_ends(behind: bytes) -> None:
    link = vf_link(shown(a_guid(10), a_guid(11), behind))
    assert (link["nodeGuid"], link["portGuid"]) == (GUID, GUID)


def test_a_driver_that_shows_no_guids_has_none() -> None:
    link = vf_link(shown())
    assert (link["nodeGuid"], link["portGuid"]) == (None, None)
    assert guid_of(shown(a_guid(10)), "ib_port_guid") is None


@pytest.mark.parametrize(("field", "kind"), [("nodeGuid", 10), ("portGuid", 11)])
def test_a_guid_goes_to_the_kernel_as_it_is_read(field: str, kind: int) -> None:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.requests.link import LinkIPRouteFilter

    message = ifinfmsg()
    message["index"] = 1
    asked = {"vf": 3, **wire({field: GUID})}
    message["attrs"] = [("IFLA_VFINFO_LIST", LinkIPRouteFilter("set").get_vf(asked))]
    message.encode()
    sent = struct.pack("=HIxxxxQ", kind, 3, int(GUID.replace(":", ""), 16))
    assert sent in bytes(message.data)


# --- a node ----------------------------------------------------------------------------------------------------------


class Ipoib(FakeNetlink):
    """An IPoIB netdev: GUIDs can be set, a MAC cannot (ipoib_main.c has no ndo_set_vf_mac)."""

    def set_vf(self, ifindex: int, index: int, setting: VfLink) -> None:
        """See Netlink."""
        if setting.mac is not None:
            raise NetlinkRefusedError(errno.EOPNOTSUPP)
        vf = self._vfs(self._of(ifindex))[index]
        before = self._kernel.links.get(vf, VfLink(node_guid=ZERO_GUID, port_guid=ZERO_GUID))
        if setting.node_guid is None and setting.port_guid is None:
            super().set_vf(ifindex, index, setting)
            before = self._kernel.links[vf]
        node, port = setting.node_guid or before.node_guid, setting.port_guid or before.port_guid
        self._kernel.links[vf] = replace(before, node_guid=node, port_guid=port)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    fake = FakeKernel(tmp_path, pfs=1)
    fake.register("vfio-pci")
    (fake.devices / str(PF) / "class").write_text("0x020700\n")
    (netdev,) = (fake.devices / str(PF) / "net").iterdir()
    (netdev / "address").write_text(f"{PORT}\n")
    (netdev / "flags").write_text("0x1003\n")
    return fake


def converge(kernel: FakeKernel, **link: Any) -> tuple[Report, list[Reason]]:
    machine = replace(kernel.machine(), netlink=Ipoib(kernel))
    config = NodeConfig(policies=(a_link_policy(count=2, **link),))
    inventory = read_inventory(machine.sysfs, netlink=machine.netlink)
    desired = resolve(config, inventory, ()).desired
    report = apply(plan(inventory, desired, InUse(holders=())), machine)
    after = read_inventory(machine.sysfs, netlink=machine.netlink)
    return report, [mismatch.reason for mismatch in verify(resolve(config, after, ()).desired, after)]


@pytest.mark.parametrize("link", [{"trust": True}, {"vlan": 0}, {}, {"spoof_check": True}])
def test_what_is_asked_is_set_and_no_mac_is_in_its_way(kernel: FakeKernel, link: dict[str, Any]) -> None:
    report, mismatches = converge(kernel, **link)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert mismatches == []
    assert not [value for what, value in kernel.writes if what.startswith("rtnetlink/") and "mac" in value]


def test_guids_are_given_where_they_are_asked_for(kernel: FakeKernel) -> None:
    report, mismatches = converge(kernel, guid=Lasting.STABLE, trust=True)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert mismatches == []
    made = [kernel.links[vf] for vf in kernel._vfs(PF)]
    assert [link.node_guid for link in made] == [stable_guid(PORT, 0), stable_guid(PORT, 1)]
    assert [link.port_guid for link in made] == [link.node_guid for link in made]


def test_a_guid_is_refused_by_a_driver_that_knows_none(kernel: FakeKernel) -> None:
    machine = kernel.machine()
    assert machine.netlink is not None
    kernel._set_num_vfs(PF, 1)
    (netdev,) = (kernel.devices / str(PF) / "net").iterdir()
    with pytest.raises(NetlinkRefusedError, match="EOPNOTSUPP"):
        machine.netlink.set_vf(machine.netlink.links(netdev.name).ifindex, 0, VfLink(node_guid=GUID))
