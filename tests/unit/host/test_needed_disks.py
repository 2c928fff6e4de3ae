"""A disk that the machine needs is found where its own folder does not show its function, or counts as needed."""

from pathlib import Path

import pytest
import yaml
from disks import CARD, DISK, SCREEN, Tree, nvme_disk
from kernel import FakeKernel

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.look.inventory import read_inventory

UNTOLD = "cannot tell what this machine needs: "
EXAMPLE = Path(__file__).parents[3] / "examples/policy-whole.yaml"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def folders(tree: Tree, *functions: PciAddress) -> list[Path]:
    return [tree.root / f"sys/devices/pci0000:00/{function}" for function in functions]


# --- NVMe's multipath -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("functions", [(DISK,), (DISK, CARD), (SCREEN, DISK, CARD)])
def test_every_controller_with_a_path_to_a_mounted_disk_is_needed(
    tree: Tree, functions: tuple[PciAddress, ...]
) -> None:
    nvme_disk(tree.root, *folders(tree, *functions))
    tree.mount("259:0", "/")
    assert tree.needed() == dict.fromkeys(functions, "the file system on / is on it")


def test_a_partition_and_a_volume_on_it_need_the_controllers_too(tree: Tree) -> None:
    nvme_disk(tree.root, *folders(tree, DISK, CARD))
    volume = tree.known(tree.root / "sys/devices/virtual/block/dm-0", "block", "dm-0", "253:0")
    (volume / "slaves/nvme0n1p2").mkdir(parents=True)
    tree.mount("253:0", "/var")
    assert tree.needed().keys() == {DISK, CARD}


def test_swap_on_such_a_disk_needs_the_controllers_too(tree: Tree) -> None:
    nvme_disk(tree.root, *folders(tree, DISK))
    (tree.root / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/nvme0n1p2 partition 1 0 -2\n")
    assert tree.needed() == {DISK: "the swap space /dev/nvme0n1p2 is on it"}


def test_a_controller_of_the_subsystem_without_a_path_to_the_disk_is_free(tree: Tree) -> None:
    nvme_disk(tree.root, *folders(tree, DISK, CARD))
    (tree.root / f"sys/devices/pci0000:00/{CARD}/nvme/nvme1/nvme0c1n1").rename(tree.root / "gone")
    (tree.root / f"sys/devices/pci0000:00/{CARD}/nvme/nvme1/nvme0c1n11").mkdir()
    tree.mount("259:0", "/")
    assert tree.needed().keys() == {DISK}


def test_where_no_path_is_shown_every_controller_of_the_subsystem_may_be_needed(tree: Tree) -> None:
    nvme_disk(tree.root, *folders(tree, DISK, CARD))
    for index, function in enumerate((DISK, CARD)):
        (tree.root / f"sys/devices/pci0000:00/{function}/nvme/nvme{index}/nvme0c{index}n1").rmdir()
    tree.mount("259:0", "/")
    assert tree.needed().keys() == {DISK, CARD}


@pytest.mark.parametrize("gone", [False, True])
def test_where_a_controller_cannot_be_found_every_function_with_a_disk_may_be_needed(tree: Tree, gone: bool) -> None:
    tree.device(CARD, "block", "sda", "8:0")
    nvme_disk(tree.root)
    if gone:
        (tree.root / "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme3").symlink_to("../../../nowhere/nvme3")
    tree.mount("259:0", "/")
    text = f"{UNTOLD}the kernel does not show all controllers of the disk nvme0n1"
    assert tree.needed() == {CARD: text}


def test_a_policy_for_whole_controllers_does_not_get_the_one_of_the_machine_s_disk(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    boot, idle = PciAddress(0, 0x10, 0, 0), PciAddress(0, 0x11, 0, 0)
    for address in (boot, idle):
        kernel._add(address, ("1b36", "0010"), "0x010802")
    nvme_disk(kernel.root, kernel.devices / str(boot))
    (kernel.root / "proc/1/mountinfo").write_text("22 1 259:0 / / rw shared:1 - ext4 /dev/nvme0n1 rw\n")
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    policy = policy_config(name="storage", uid="u", generation=1, spec=spec)
    assert isinstance(policy, PolicyConfig)
    found = resolve(NodeConfig(policies=(policy,)), read_inventory(kernel.machine().sysfs), ())
    (refused,) = found.rejected
    assert (refused.device, refused.reason) == (str(boot), Reason.NEEDED_BY_MACHINE)
    assert [pf.address for pf in found.desired.pfs] == [idle]


# --- file systems on several disks ------------------------------------------------------------------------------------


def test_every_device_of_a_btrfs_is_needed_and_no_device_of_another(tree: Tree) -> None:
    for function, name in ((DISK, "sda"), (CARD, "sdb"), (SCREEN, "sdc")):
        tree.device(function, "block", name)
    for uuid, devices in (("a1", ("sda", "sdb")), ("b2", ("sdc",))):
        for name in devices:
            (tree.root / f"sys/fs/btrfs/{uuid}/devices/{name}").mkdir(parents=True)
    (tree.root / "sys/fs/btrfs/features").mkdir()
    tree.mount("0:31", "/home", "/dev/sdb", "btrfs")
    assert tree.needed() == dict.fromkeys((DISK, CARD), "the file system on /home is on it")


@pytest.mark.parametrize("number", ["8:0", "0:31"])
def test_every_device_of_a_bcachefs_is_needed(tree: Tree, number: str) -> None:
    tree.device(DISK, "block", "sda", "8:0")
    tree.device(CARD, "block", "sdb", "8:16")
    tree.mount(number, "/", "/dev/sda:/dev/sdb", "bcachefs")
    assert tree.needed() == dict.fromkeys((DISK, CARD), "the file system on / is on it")


@pytest.mark.parametrize("option", ["logdev", "rtdev"])
def test_the_log_of_an_xfs_is_needed_like_the_rest_of_it(tree: Tree, option: str) -> None:
    tree.device(DISK, "block", "sda", "8:0")
    tree.device(CARD, "block", "nvme0n1")
    tree.mount("8:0", "/", "/dev/sda", "xfs", f"rw,attr2,{option}=/dev/nvme0n1,noquota")
    assert tree.needed().keys() == {DISK, CARD}


def test_a_device_in_a_folder_of_dev_is_found(tree: Tree) -> None:
    tree.device(DISK, "block", "cciss!c0d0")
    tree.mount("0:31", "/", "/dev/cciss/c0d0", "btrfs")
    assert tree.needed().keys() == {DISK}


# --- what cannot be told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "source", "options", "text"),
    [
        ("zfs", "rpool/ROOT/x", "rw,xattr", "ZFS does not show which disks / is on"),
        ("zfs", "/dev", "rw", "ZFS does not show which disks / is on"),
        ("btrfs", "/dev/root", "rw", "/dev/root, which / is on, is not a block device that can be found"),
        ("btrfs", "none", "rw", "none, which / is on, is not a block device that can be found"),
        ("bcachefs", "/dev/sdx:/dev/sdc", "rw", "/dev/sdx, which / is on, is not a block device that can be found"),
        ("bcachefs", "UUID=1", "rw", "UUID=1, which / is on, is not a block device that can be found"),
        ("xfs", "/dev/sda", "rw,logdev=/dev/x", "/dev/x, which / is on, is not a block device that can be found"),
    ],
)
def test_where_the_disks_of_a_file_system_cannot_be_told_every_function_with_a_disk_may_be_needed(
    tree: Tree, kind: str, source: str, options: str, text: str
) -> None:
    tree.device(CARD, "block", "sdc", "8:32")
    nvme_disk(tree.root, *folders(tree, DISK))
    tree.mount("0:31", "/", source, kind, options)
    assert tree.needed() == dict.fromkeys((DISK, CARD), UNTOLD + text), "a function without a disk is free"


@pytest.mark.parametrize("source", ["/dev/zd0", "/dev/zd16p1", "/dev/dm-0", "/dev/gone\\040(deleted)", "/nodes/sda1"])
def test_swap_of_which_the_disks_cannot_be_told_counts_alike(tree: Tree, source: str) -> None:
    tree.device(CARD, "block", "sda")
    for name in ("zd0", "zd16", "zd16p1", "dm-0"):
        tree.known(tree.root / f"sys/devices/virtual/block/{name}", "block", name)
    (tree.root / "sys/devices/virtual/block/dm-0/slaves/zd0").mkdir(parents=True)
    (tree.root / "proc/swaps").write_text(f"Filename Type Size Used Priority\n{source} partition 1 0 -2\n")
    told = tree.needed()
    assert told.keys() == {CARD}
    assert told[CARD].startswith(UNTOLD)


def test_what_is_known_for_certain_is_said_of_the_others(tree: Tree) -> None:
    tree.device(CARD, "block", "sda", "8:0")
    tree.device(DISK, "block", "sdb")
    lines = ["22 1 0:31 / /tank rw - zfs tank rw", "23 1 8:0 / / rw - ext4 /dev/sda rw"]
    (tree.root / "proc/1/mountinfo").write_text("\n".join(lines))
    told = tree.needed()
    assert told[CARD] == "the file system on / is on it"
    assert told[DISK].startswith(UNTOLD)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("tmpfs", "tmpfs"),
        ("tmpfs", "/dev/shm"),
        ("proc", "proc"),
        ("overlay", "overlay"),
        ("devtmpfs", "udev"),
        ("nfs4", "10.0.0.1:/export"),
        ("ceph", "10.0.0.1:6789:/"),
        ("9p", "/dev/root"),
        ("virtiofs", "/dev/root"),
        ("fuse", "/dev/fuse"),
        ("fuse.lxcfs", "lxcfs"),
        ("autofs", "systemd-1"),
        ("fuse.mergerfs", "a:b"),
    ],
)
def test_a_file_system_without_a_disk_needs_nothing(tree: Tree, kind: str, source: str) -> None:
    tree.device(CARD, "block", "sda")
    tree.mount("0:31", "/mnt", source, kind)
    assert tree.needed() == {}


@pytest.mark.parametrize("line", ["/swapfile file 1 0 -2", "none virtual 1 0 0", "/dev/zram0 partition 1 0 100"])
def test_swap_without_a_disk_of_its_own_needs_nothing(tree: Tree, line: str) -> None:
    tree.device(CARD, "block", "sda")
    tree.known(tree.root / "sys/devices/virtual/block/zram0", "block", "zram0")
    (tree.root / "proc/swaps").write_text(f"Filename Type Size Used Priority\n{line}\n")
    assert tree.needed() == {}
