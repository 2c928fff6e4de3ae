"""Whether a function can be passed through, and if not: the reason's word and what would make it work."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_plain, an_inventory

from virtfn_host.cli.show import explanation
from virtfn_host.core.tell.explain import Described, Explanation, Surroundings
from virtfn_host.core.tell.explain import explain as explain_in
from virtfn_host.core.tell.pci_ids import Names
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Process
from virtfn_host.core.values.model import GroupMember, IommuGroup, Vf
from virtfn_host.core.values.reasons import Reason

ADDRESS = PciAddress(0, 1, 0x10, 0)
MODALIAS = "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00"
ALIASES = """# Aliases extracted from modules themselves.
alias pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf
alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
"""
MACHINE = Surroundings(
    iommus=("dmar0",),
    firmware_tables=("DMAR",),
    command_line="root=/dev/vda quiet",
    modules=("igb", "igbvf", "mlx5_core", "mlx5_vfio_pci", "vfio-pci"),
    aliases=ALIASES,
    drivers=("igb", "igbvf"),
)
BARE = replace(MACHINE, modules=("igb", "igbvf"), aliases=ALIASES.partition("alias vfio_pci")[0])


def member(device: int, driver: str | None, function: int = 0) -> GroupMember:
    return GroupMember(address=PciAddress(0, 1, device, function), driver=driver, vfio_bound=driver == "vfio-pci")


def group(*members: GroupMember) -> IommuGroup:
    return IommuGroup(number=14, members=members)


VF = Vf(
    address=ADDRESS,
    pf=PciAddress(0, 1, 0, 0),
    index=0,
    vendor="8086",
    device="10ca",
    class_code="020000",
    driver="igbvf",
    driver_override=None,
    iommu_group=14,
    numa_node=None,
    vfio_bound=False,
    netdevs=("eth3",),
)
FUNCTION = Described(function=VF, modalias=MODALIAS, group=group(member(0x10, "igbvf")), num_vfs=0)
PF = Described(function=a_pf(0), modalias=MODALIAS.replace("10CA", "10C9"), group=group(member(0, "igb")), num_vfs=0)
PLAIN = replace(PF, function=a_plain(0))
ON_VFIO = replace(FUNCTION, function=replace(VF, driver="vfio-pci", vfio_bound=True))
UP = Holder(address=ADDRESS, cause=Cause.NETDEV_UP, at="eth3")


def explain(function: Described, around: Surroundings, holders: tuple[Holder, ...]) -> Explanation:
    """On a machine whose inventory shows the drivers and modules that are around."""
    loadable = tuple(name for name in around.modules if "vfio" in name) if around.modules else None
    return explain_in(function, an_inventory(drivers=around.drivers, loadable=loadable), around, holders)


def words(found: Explanation) -> list[Reason]:
    return [hindrance.reason for hindrance in found.hindrances]


def vf_words(found: Explanation) -> list[Reason]:
    return [hindrance.reason for hindrance in found.vf_hindrances or ()]


def test_a_free_vf_in_a_group_of_its_own_works() -> None:
    found = explain(FUNCTION, MACHINE, ())
    assert found.hindrances == ()
    assert explanation(found).splitlines() == [
        "function        0000:01:10.0  8086:10ca  class 0200",
        "is              VF 0 of 0000:01:00.0",
        "netdev          eth3",
        "driver          igbvf",
        "could drive it  igbvf, vfio-pci",
        "IOMMU group     14, alone in it",
        "NUMA node       -",
        "in use by       nothing that can be seen",
        "passthrough     works: virtfn bind 0000:01:10.0",
    ]


def test_names_stand_below_the_numbers() -> None:
    names = Names(vendor="Intel Corporation", device="82576 Virtual Function", class_name="Ethernet controller")
    shown = explanation(explain(FUNCTION, MACHINE, ()), names).splitlines()
    assert shown[1] == "name            Ethernet controller: Intel Corporation 82576 Virtual Function"


def test_a_variant_driver_is_named_by_its_driver_and_offered() -> None:
    modalias = "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00"
    found = explain(replace(FUNCTION, modalias=modalias), MACHINE, ())
    assert found.could_drive == ("mlx5_core", "mlx5_vfio_pci", "vfio-pci")
    assert "works: virtfn bind 0000:01:10.0 (or --driver mlx5_vfio_pci, made for this device)" in explanation(found)


@pytest.mark.parametrize(
    ("iommus", "tables", "line", "guest", "hint"),
    [
        ((), (), "quiet", False, "switch VT-d, AMD-Vi or SMMU on in the firmware"),
        ((), (), "quiet", True, "this is a virtual machine without an IOMMU of its own"),
        ((), ("DMAR",), "quiet", False, "start the kernel with intel_iommu=on"),
        ((), ("DMAR",), "intel_iommu=on,sm_off", True, "start the kernel with intel_iommu=on"),
        ((), ("IVRS",), "amd_iommu=off quiet", False, "started with amd_iommu=off: remove it"),
        ((), ("DMAR",), "intel_iommu=on intel_iommu=off", False, "started with intel_iommu=off: remove it"),
        ((), ("DMAR",), "intel_iommu=off intel_iommu=on", False, "start the kernel with intel_iommu=on"),
        ((), None, "iommu=pt", False, "cannot be seen here"),
        (("dmar0",), ("DMAR",), "intel_iommu=on", False, "this machine's IOMMU does not cover it"),
    ],
)
def test_without_a_group_it_says_where_to_switch_the_iommu_on(
    iommus: tuple[str, ...], tables: tuple[str, ...] | None, line: str, guest: bool, hint: str
) -> None:
    around = replace(MACHINE, iommus=iommus, firmware_tables=tables, command_line=line, virtual_machine=guest)
    found = explain(replace(FUNCTION, group=None), around, ())
    assert words(found) == [Reason.NO_IOMMU]
    assert hint in found.hindrances[0].remedy
    assert f"NoIommu: {found.hindrances[0].text}" in explanation(found)


def test_a_shared_group_names_who_shares_it_and_leaves_out_ports() -> None:
    shared = group(member(0x10, "igbvf"), member(0, "igb"), member(0x1C, "pcieport"))
    found = explain(replace(FUNCTION, group=shared), MACHINE, ())
    assert words(found) == [Reason.GROUP_NOT_VIABLE]
    assert "0000:01:00.0 (igb)" in found.hindrances[0].message
    assert "ACS" in found.hindrances[0].remedy
    assert "pcieport" not in found.hindrances[0].message


def test_two_functions_of_one_card_are_told_to_go_together() -> None:
    both = group(member(0, "e1000e"), member(0, "e1000e", 1))
    found = explain(replace(PLAIN, group=both), MACHINE, ())
    assert words(found) == [Reason.GROUP_NOT_VIABLE]
    assert "bind those of the same card to a vfio driver too" in found.hindrances[0].remedy


def test_a_kernel_without_vfio_names_the_package() -> None:
    found = explain(FUNCTION, replace(BARE, package="linux-image-6.1"), ())
    assert words(found) == [Reason.MODULE_MISSING]
    assert "install the package linux-image-6.1" in found.hindrances[0].remedy
    assert found.could_drive == ("igbvf",)


def test_vfio_pci_that_is_built_in_is_there() -> None:
    """No module and no alias of its own, but the driver is registered."""
    found = explain(FUNCTION, replace(BARE, drivers=("igbvf", "vfio-pci")), ())
    assert found.hindrances == ()
    assert found.could_drive == ("igbvf", "vfio-pci")


def test_modules_that_cannot_be_seen_are_no_hindrance() -> None:
    """Unknown is not no; modprobe will tell."""
    found = explain(FUNCTION, replace(MACHINE, modules=(), aliases=""), ())
    assert found.hindrances == ()
    assert "could drive it  cannot see the kernel's modules in /lib/modules" in explanation(found)


def test_a_user_is_in_the_way_of_a_function_that_is_not_passed_through_yet() -> None:
    assert words(explain(FUNCTION, MACHINE, (UP,))) == [Reason.VFS_IN_USE]


def test_a_user_that_cannot_be_told_counts_as_one() -> None:
    unknown = Holder(address=ADDRESS, cause=Cause.UNREADABLE, said="/proc/1/fd could not be read")
    found = explain(FUNCTION, MACHINE, (unknown,))
    assert words(found) == [Reason.VFS_IN_USE]
    assert "in use by       unknown: /proc/1/fd could not be read" in explanation(found)


def test_what_is_passed_through_is_set_up_whoever_holds_it() -> None:
    holder = replace(UP, cause=Cause.ENABLED, at=None)
    found = explain(ON_VFIO, MACHINE, (holder,))
    assert found.hindrances == ()
    assert "is set up: vfio-pci has it" in explanation(found)
    assert "its vfio device is open" in explanation(found)


@pytest.mark.parametrize(
    ("holder", "says"),
    [
        (replace(UP, cause=Cause.ENABLED, at=None), "its vfio device is open"),
        (replace(UP, cause=Cause.GROUP_OPEN, at=None, process=Process(pid=7, command="qemu")), "qemu"),
        (Holder(address=ADDRESS, cause=Cause.UNREADABLE, said="/proc/7/fd could not be read"), "unknown: /proc/7/fd"),
    ],
)
def test_of_a_function_on_vfio_it_says_who_has_it_open_and_that_no_other_can(holder: Holder, says: str) -> None:
    told = explanation(explain(ON_VFIO, MACHINE, (holder,)))
    assert says in next(line for line in told.splitlines() if line.startswith("in use by"))
    assert "is set up: vfio-pci has it; while it is in use, no other program can open it" in told
    assert "no other program" not in explanation(explain(ON_VFIO, MACHINE, ()))


def test_a_lock_that_cannot_be_taken_is_said() -> None:
    bound = replace(ON_VFIO, lock_trouble="there is no /dev/vfio/14")
    found = explain(bound, MACHINE, ())
    assert words(found) == []
    assert "the in-use lock cannot be taken from here: there is no /dev/vfio/14" in explanation(found)


def test_every_hindrance_is_told_not_only_the_first() -> None:
    found = explain(replace(FUNCTION, group=None), BARE, (UP,))
    assert words(found) == [Reason.NO_IOMMU, Reason.MODULE_MISSING, Reason.VFS_IN_USE]


def test_a_bridge_has_one_clear_sentence() -> None:
    found = explain(replace(PLAIN, function=a_plain(0, class_code="060400"), bridge=True, group=None), BARE, (UP,))
    assert words(found) == [Reason.NO_MATCHING_DEVICE]
    assert "is a bridge" in found.hindrances[0].message
    assert "is              a bridge" in explanation(found)


def test_vfs_of_a_pf_that_is_in_use_itself_can_be_passed_through() -> None:
    found = explain(PF, MACHINE, (UP,))
    assert (words(found), found.vf_hindrances, found.possible) == ([Reason.VFS_IN_USE], (), True)
    assert "VFs of it       can be made and passed through: virtfn apply -f POLICY.yaml" in explanation(found)


def test_a_pf_with_vfs_cannot_be_handed_out_whole() -> None:
    found = explain(replace(PF, num_vfs=3), MACHINE, ())
    assert words(found) == [Reason.FUNCTION_TAKEN]
    assert "has 3 VFs" in found.hindrances[0].message


@pytest.mark.parametrize(
    ("around", "hint"),
    [
        (MACHINE, "`modprobe igb`"),
        (replace(MACHINE, aliases="alias pci:v0000FFFFd*sv*sd*bc*sc*i* other"), "no module of the running kernel"),
        (replace(MACHINE, aliases=""), "cannot see the modules"),
    ],
)
def test_a_pf_without_driver_makes_no_vfs_and_says_which_module(around: Surroundings, hint: str) -> None:
    found = explain(replace(PF, function=replace(a_pf(0), driver=None)), around, ())
    assert vf_words(found) == [Reason.PF_DRIVER_MISSING]
    assert hint in (found.vf_hindrances or ())[0].remedy


def test_a_pf_that_offers_no_vfs_says_so() -> None:
    found = explain(replace(PF, function=a_pf(0, total_vfs=0)), MACHINE, ())
    assert vf_words(found) == [Reason.SRIOV_UNSUPPORTED]
    assert "sriov_totalvfs is 0" in (found.vf_hindrances or ())[0].message


def test_a_pf_behind_a_port_without_acs_has_no_vfs_to_give() -> None:
    found = explain(replace(PF, group=group(member(0, "igb"), member(0x1C, "pcieport"))), MACHINE, ())
    assert (words(found), vf_words(found)) == ([], [Reason.GROUP_NOT_VIABLE])


def test_a_plain_function_has_nothing_to_say_of_vfs() -> None:
    found = explain(PLAIN, MACHINE, ())
    assert found.vf_hindrances is None
    assert "VFs of it" not in explanation(found)


def test_what_the_machine_needs_is_named() -> None:
    needed = replace(PF, function=a_pf(0, needed_for="the file system on / is on it"))
    holder = Holder(address=ADDRESS, cause=Cause.NEEDED, said="the file system on / is on it")
    found = explain(needed, MACHINE, (holder,))
    assert len(found.hindrances) == 1
    assert "this machine needs it: the file system on / is on it" in found.hindrances[0].message
    assert "in use by       needed: the file system on / is on it\n" in explanation(found)


@pytest.mark.parametrize(("code", "told"), [("010802", True), ("010801", True), ("020000", False), ("010700", False)])
def test_of_an_nvme_vf_it_is_noted_that_its_pf_must_bring_it_online(code: str, told: bool) -> None:
    found = explain_in(replace(FUNCTION, function=replace(VF, class_code=code)), an_inventory(a_pf(0)), MACHINE, ())
    assert ("nvme virt-mgmt" in explanation(found)) is told


def test_a_function_on_vfio_without_an_iommu_is_called_unsafe() -> None:
    function = replace(VF, driver="vfio-pci", vfio_bound=True)
    inventory = replace(an_inventory(a_pf(0)), noiommu=True, noiommu_groups=(14,))
    found = explain_in(replace(FUNCTION, function=function), inventory, MACHINE, ())
    assert found.hindrances[0].reason is Reason.NO_IOMMU
    assert "unsafe: its user can read and write all memory" in explanation(found)
    assert "allowUnsafeNoIommu: true" in explanation(found)
