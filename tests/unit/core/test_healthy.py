"""Healthy means usable: every kind of reason why a pod could not use a function that is on its driver."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import NEW_LINK, a_pf, a_plain, a_vf, an_inventory

from virtfn_host.core.checks.healthy import link_trouble, usable
from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredFunction
from virtfn_host.core.values.mac import ZERO_GUID
from virtfn_host.core.values.model import Function, GroupMember, Inventory, IommuGroup, Pf, Unreadable, Vf, VfLink
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason

GUID = "00:11:22:33:44:55:66:77"
ON_VFIO = a_pf(0, vfs=2)
ON_KERNEL = a_pf(0, vfs=2, driver="igbvf")


def wanted(driver: str = "vfio-pci", *, unsafe: bool = False, link: bool = False) -> DesiredFunction:
    return DesiredFunction(
        driver=driver,
        driver_override=None,
        resource_name="virtfn.dev/fast",
        policy="fast",
        unsafe_no_iommu=unsafe,
        require_link=link,
    )


def first_vf(inventory: Inventory) -> Vf:
    return inventory.pfs[0].vfs[0]


def with_vf(pf: Pf, **fields: Any) -> Inventory:
    """A machine with this PF, whose first VF has these fields."""
    return an_inventory(replace(pf, vfs=(replace(pf.vfs[0], **fields), *pf.vfs[1:])))


def said(asked: DesiredFunction, inventory: Inventory, function: Function | None = None) -> list[tuple[Reason, str]]:
    found = usable(asked, function or first_vf(inventory), inventory)
    return [(hindrance.reason, hindrance.text) for hindrance in found]


@pytest.mark.parametrize("driver", ["vfio-pci", KERNEL_DRIVER, "igbvf"])
def test_a_whole_function_on_its_driver_is_usable(driver: str) -> None:
    pf = ON_VFIO if driver == "vfio-pci" else ON_KERNEL
    assert said(wanted(driver), an_inventory(pf)) == []


@pytest.mark.parametrize(
    ("driver", "asked", "reason"),
    [
        (None, "vfio-pci", Reason.BIND_FAILED),
        ("igbvf", "vfio-pci", Reason.DRIFTED),
        ("vfio-pci", KERNEL_DRIVER, Reason.DRIFTED),
        (None, KERNEL_DRIVER, Reason.BIND_FAILED),
    ],
)
def test_off_its_driver_nothing_else_is_said(driver: str | None, asked: str, reason: Reason) -> None:
    inventory = with_vf(ON_VFIO, driver=driver, vfio_bound=driver == "vfio-pci", lacks=(Part.NODE,))
    ((word, text),) = said(wanted(asked), inventory)
    assert word is reason
    assert f"is on {driver or 'no driver'}, wanted {asked}" in text


# --- device nodes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "node"),
    [(Part.NODE, "no device node"), (Part.CONTAINER, "/dev/vfio/vfio"), (Part.IOMMUFD, "/dev/iommu")],
)
def test_a_missing_node_is_named(part: Part, node: str) -> None:
    ((reason, text),) = said(wanted(), with_vf(ON_VFIO, lacks=(part,)))
    assert reason is Reason.NOT_USABLE
    assert node in text


@pytest.mark.parametrize(
    ("part", "path"),
    [(Part.NODE, "/dev/vfio/100"), (Part.NODE, "/dev/vfio/devices/vfio0"), (None, "driver_override")],
)
def test_what_cannot_be_read_is_not_usable_and_the_file_is_named(part: Part | None, path: str) -> None:
    lost = Unreadable(device=a_vf(0, 0).address, path=path, error="Permission denied", part=part)
    inventory = replace(an_inventory(ON_VFIO), unreadable=(lost,))
    ((reason, text),) = said(wanted(), inventory)
    assert reason is Reason.UNREADABLE
    assert f"{path} could not be read: Permission denied" in text
    assert said(wanted(), inventory, inventory.pfs[0].vfs[1]) == []


def test_a_group_that_cannot_be_read_is_not_usable() -> None:
    lost = Unreadable(device=ON_VFIO.address, path="/sys/kernel/iommu_groups/100/devices", error="Input/output error")
    inventory = an_inventory(ON_VFIO)
    groups = tuple(group for group in inventory.groups if group.number != 100)
    ((reason, text),) = said(wanted(), replace(inventory, groups=groups, unreadable=(lost,)))
    assert (reason, "iommu_groups/100" in text) == (Reason.UNREADABLE, True)


# --- VF token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["vfio-pci", "mlx5_vfio_pci"])
def test_a_vf_whose_pf_is_on_vfio_needs_a_token(driver: str) -> None:
    pf = a_pf(0, vfs=1, driver="vfio-pci")
    inventory = an_inventory(replace(pf, driver=driver, vfio_bound=True))
    ((reason, text),) = said(wanted(), inventory)
    assert reason is Reason.NOT_USABLE
    assert f"VF token, because its PF {pf.address} is on {driver}" in text


def test_a_pf_on_vfio_with_vfs_needs_a_token_itself() -> None:
    pf = replace(a_pf(0, vfs=1), driver="vfio-pci", vfio_bound=True)
    ((reason, text),) = said(wanted(), an_inventory(pf), pf)
    assert (reason, "VF token" in text) == (Reason.NOT_USABLE, True)


def test_a_vf_on_its_network_driver_needs_no_token() -> None:
    pf = replace(a_pf(0, vfs=1, driver="igbvf"), driver="vfio-pci", vfio_bound=True)
    assert said(wanted(KERNEL_DRIVER), an_inventory(pf)) == []


# --- netdev ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["igbvf", "iavf", "mlx5_core"])
@pytest.mark.parametrize("asked", [KERNEL_DRIVER, None])
def test_a_network_function_without_a_netdev_is_not_usable(driver: str, asked: str | None) -> None:
    ((reason, text),) = said(wanted(asked or driver), with_vf(ON_KERNEL, driver=driver, lacks=(Part.NETDEV,)))
    assert reason is Reason.NOT_USABLE
    assert f"is on {driver} and has no netdev" in text


@pytest.mark.parametrize("driver", ["uio_pci_generic", "igb_uio", "pci-stub"])
def test_a_driver_that_makes_no_netdevs_lacks_none(driver: str) -> None:
    assert said(wanted(driver), with_vf(ON_KERNEL, driver=driver, lacks=(Part.NETDEV,))) == []


def test_a_netdev_in_another_namespace_is_one() -> None:
    assert said(wanted(KERNEL_DRIVER), with_vf(ON_KERNEL, netdevs=())) == []


# --- link ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Part.UP, "netdev eth0 is down"),
        (Part.CARRIER, "netdev eth0 has no carrier"),
        (Part.PORT, "no InfiniBand port of it is active"),
    ],
)
@pytest.mark.parametrize("driver", ["vfio-pci", KERNEL_DRIVER])
def test_without_a_link_a_vf_is_usable_unless_its_policy_requires_one(part: Part, text: str, driver: str) -> None:
    inventory = an_inventory(replace(ON_VFIO if driver == "vfio-pci" else ON_KERNEL, lacks=(part,)))
    assert said(wanted(driver), inventory) == []
    ((reason, told),) = said(wanted(driver, link=True), inventory)
    assert reason is Reason.NOT_USABLE
    assert f"its PF 0000:01:00.0: {text}" in told
    assert link_trouble(inventory.pfs[0]) is not None
    assert part is not Part.UP or told.endswith("`ip link set eth0 up`")


def test_a_link_that_is_there_satisfies_who_requires_one() -> None:
    assert said(wanted(link=True), an_inventory(ON_VFIO)) == []


@pytest.mark.parametrize(
    "fields", [{"netdevs": ()}, {"class_code": "010802"}, {"netdevs": (), "driver": "vfio-pci", "vfio_bound": True}]
)
def test_a_link_that_does_not_show_counts_as_none(fields: dict[str, object]) -> None:
    function = a_plain(0, **fields)
    asked = wanted(function.driver or "", link=True)
    ((reason, text),) = said(asked, an_inventory(function), function)
    assert (reason, "shows no link" in text) == (Reason.NOT_USABLE, True)


def test_a_link_that_cannot_be_read_counts_as_none_only_where_it_is_required() -> None:
    lost = Unreadable(device=ON_VFIO.address, path="net/eth0/carrier", error="Input/output error", part=Part.UP)
    inventory = replace(an_inventory(ON_VFIO), unreadable=(lost,))
    assert said(wanted(), inventory) == []
    ((reason, text),) = said(wanted(link=True), inventory)
    assert (reason, "net/eth0/carrier" in text) == (Reason.UNREADABLE, True)


# --- GUID ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("node", "port"), [(ZERO_GUID, ZERO_GUID), (GUID, ZERO_GUID), (ZERO_GUID, GUID)])
@pytest.mark.parametrize("driver", ["vfio-pci", KERNEL_DRIVER])
def test_an_infiniband_vf_without_a_guid_is_not_usable(node: str, port: str, driver: str) -> None:
    pf = replace(ON_VFIO if driver == "vfio-pci" else ON_KERNEL, class_code="020700")
    inventory = with_vf(pf, link=VfLink(node_guid=node, port_guid=port))
    ((reason, text),) = said(wanted(driver), inventory)
    assert (reason, "no GUID" in text) == (Reason.NOT_USABLE, True)


def test_a_guid_that_the_vf_shows_itself_counts_too() -> None:
    pf = replace(ON_KERNEL, class_code="020700")
    ((reason, text),) = said(wanted(KERNEL_DRIVER), with_vf(pf, lacks=(Part.GUID,)))
    assert (reason, "no GUID" in text) == (Reason.NOT_USABLE, True)


@pytest.mark.parametrize("link", [VfLink(node_guid=GUID, port_guid=GUID), VfLink(), None])
def test_with_its_guids_or_where_none_shows_an_infiniband_vf_is_usable(link: VfLink | None) -> None:
    assert said(wanted(), with_vf(replace(ON_VFIO, class_code="020700"), link=link)) == []


def test_ethernet_has_no_guid() -> None:
    link = replace(NEW_LINK, node_guid=ZERO_GUID, port_guid=ZERO_GUID)
    assert said(wanted(), with_vf(ON_VFIO, link=link)) == []


def test_guids_that_cannot_be_read_are_not_usable() -> None:
    pf = replace(ON_VFIO, class_code="020700")
    lost = Unreadable(device=pf.address, path="net", error="netlink does not answer", part=Part.GUID)
    ((reason, _),) = said(wanted(), replace(an_inventory(pf), unreadable=(lost,)))
    assert reason is Reason.UNREADABLE


# --- NVMe ------------------------------------------------------------------------------------------------------------


def test_an_nvme_vf_whose_controller_is_not_live_is_not_usable() -> None:
    pf = replace(ON_KERNEL, class_code="010802")
    inventory = with_vf(pf, driver="nvme", lacks=(Part.CONTROLLER,))
    ((reason, text),) = said(wanted(KERNEL_DRIVER), inventory)
    assert reason is Reason.NOT_USABLE
    assert "nvme virt-mgmt" in text


@pytest.mark.parametrize("asked", [KERNEL_DRIVER, "nvme"])
def test_an_nvme_vf_that_its_driver_did_not_take_is_told_what_to_run(asked: str) -> None:
    pf = replace(ON_KERNEL, class_code="010802")
    vf = replace(pf.vfs[0], driver=None, class_code="010802")
    ((reason, text),) = said(wanted(asked), an_inventory(replace(pf, vfs=(vf,))))
    assert (reason, "nvme virt-mgmt" in text) == (Reason.BIND_FAILED, True)


def test_a_network_vf_that_its_driver_did_not_take_is_not_told_of_nvme() -> None:
    ((_, text),) = said(wanted(KERNEL_DRIVER), with_vf(ON_KERNEL, driver=None))
    assert "nvme" not in text


# --- IOMMU group -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [None, False, True])
def test_a_group_that_vfio_made_is_usable_only_where_the_policy_accepts_it(told: bool | None) -> None:
    inventory = replace(an_inventory(ON_VFIO), noiommu=told, noiommu_groups=(100, 101))
    ((reason, text),) = said(wanted(), inventory)
    assert reason is Reason.NO_IOMMU
    assert "unsafe" in text
    assert "allowUnsafeNoIommu: true" in text
    assert said(wanted(unsafe=True), inventory) == []


def test_a_member_on_another_driver_spoils_the_group() -> None:
    inventory = an_inventory(ON_VFIO)
    stranger = GroupMember(address=a_plain(5).address, driver="e1000e", vfio_bound=False)
    own = GroupMember(address=a_vf(0, 0).address, driver="vfio-pci", vfio_bound=True)
    groups = (IommuGroup(number=100, members=(own, stranger)),)
    ((reason, _),) = said(wanted(), replace(inventory, groups=groups))
    assert reason is Reason.GROUP_NOT_VIABLE
