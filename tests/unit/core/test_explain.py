"""Whether a function can be passed through, and if not: the reason's word and what would make it work."""

from dataclasses import replace

import pytest

from virtfn_host.core.address import PciAddress
from virtfn_host.core.explain import Explanation, Function, Surroundings, explain, vfio_drivers
from virtfn_host.core.model import GroupMember, Holder, HolderKind, IommuGroup
from virtfn_host.core.reasons import Reason
from virtfn_host.show import explanation

ADDRESS = PciAddress(0, 1, 0x10, 0)
MODALIAS = "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00"
ALIASES = """# Aliases extracted from modules themselves.
alias pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
"""
MACHINE = Surroundings(
    iommus=("dmar0",),
    firmware_tables=("DMAR",),
    command_line="root=/dev/vda quiet",
    modules=("igbvf", "vfio-pci"),
    aliases=ALIASES,
    drivers=("igb", "igbvf"),
)


def member(device: int, driver: str | None) -> GroupMember:
    return GroupMember(address=PciAddress(0, 1, device, 0), driver=driver, vfio_bound=driver == "vfio-pci")


FUNCTION = Function(
    address=ADDRESS,
    vendor="8086",
    device="10ca",
    class_code="020000",
    driver="igbvf",
    driver_override=None,
    modalias=MODALIAS,
    numa_node=None,
    group=IommuGroup(number=14, members=(member(0x10, "igbvf"),)),
    vfio_bound=False,
    pf=PciAddress(0, 1, 0, 0),
    index=0,
    total_vfs=None,
    num_vfs=0,
    netdevs=("eth3",),
)
UP = Holder(address=ADDRESS, kind=HolderKind.KERNEL, text="its netdev eth3 is up")


def words(found: Explanation) -> list[Reason]:
    return [hindrance.reason for hindrance in found.hindrances]


def test_a_free_vf_in_a_group_of_its_own_works() -> None:
    found = explain(FUNCTION, MACHINE, ())
    assert found.hindrances == ()
    assert found.could_drive == ("igbvf", "vfio-pci")
    assert explanation(found).splitlines() == [
        "function        0000:01:10.0  8086:10ca  class 0200",
        "is              VF 0 of 0000:01:00.0",
        "driver          igbvf",
        "could drive it  igbvf, vfio-pci",
        "IOMMU group     14, alone in it",
        "NUMA node       -",
        "in use by       nobody that can be seen",
        "passthrough     works: virtfn bind 0000:01:10.0",
    ]


def test_a_variant_driver_is_found_by_what_the_modules_say() -> None:
    modalias = "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00"
    assert vfio_drivers(ALIASES, modalias) == ("mlx5-vfio-pci", "vfio-pci")
    assert vfio_drivers("", modalias) == ("vfio-pci",)


@pytest.mark.parametrize(
    ("iommus", "tables", "line", "hint"),
    [
        ((), (), "quiet", "switch VT-d, AMD-Vi or SMMU on in the firmware"),
        ((), ("DMAR",), "quiet", "start the kernel with intel_iommu=on"),
        ((), ("IVRS",), "amd_iommu=off quiet", "amd_iommu=off: remove it"),
        ((), None, "quiet", "not to be seen here"),
        (("dmar0",), ("DMAR",), "intel_iommu=on", "behind no IOMMU"),
    ],
)
def test_without_a_group_it_says_where_to_switch_the_iommu_on(
    iommus: tuple[str, ...], tables: tuple[str, ...] | None, line: str, hint: str
) -> None:
    around = replace(MACHINE, iommus=iommus, firmware_tables=tables, command_line=line)
    found = explain(replace(FUNCTION, group=None), around, ())
    assert words(found) == [Reason.NO_IOMMU]
    assert hint in found.hindrances[0].message
    assert f"NoIommu: {found.hindrances[0].message}" in explanation(found)


def test_a_shared_group_names_who_shares_it() -> None:
    group = IommuGroup(number=14, members=(member(0x10, "igbvf"), member(0, "igb"), member(0x1C, "pcieport")))
    found = explain(replace(FUNCTION, group=group), MACHINE, ())
    assert words(found) == [Reason.GROUP_NOT_VIABLE]
    assert "0000:01:00.0 (igb)" in found.hindrances[0].message
    assert "pcieport" not in found.hindrances[0].message


def test_a_kernel_without_vfio_is_said() -> None:
    found = explain(FUNCTION, replace(MACHINE, modules=("igbvf",)), ())
    assert words(found) == [Reason.MODULE_MISSING]


def test_modules_that_cannot_be_seen_are_no_hindrance() -> None:
    """Unknown is not no; modprobe will tell."""
    assert explain(FUNCTION, replace(MACHINE, modules=()), ()).hindrances == ()


def test_a_user_is_in_the_way_of_a_function_that_is_not_passed_through_yet() -> None:
    assert words(explain(FUNCTION, MACHINE, (UP,))) == [Reason.VFS_IN_USE]


def test_what_is_passed_through_is_set_up_whoever_holds_it() -> None:
    holder = replace(UP, text="its vfio device is open")
    found = explain(replace(FUNCTION, driver="vfio-pci", vfio_bound=True), MACHINE, (holder,))
    assert found.hindrances == ()
    assert "is set up: vfio-pci has it" in explanation(found)
    assert "its vfio device is open" in explanation(found)


def test_every_hindrance_is_told_not_only_the_first() -> None:
    found = explain(replace(FUNCTION, group=None), replace(MACHINE, modules=("igbvf",)), (UP,))
    assert words(found) == [Reason.NO_IOMMU, Reason.MODULE_MISSING, Reason.VFS_IN_USE]
