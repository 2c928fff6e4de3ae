"""The functions that the machine needs are found through partitions, device mapper, bridges and bonds of the host."""

import os
from pathlib import Path

import pytest
from disks import CARD, DISK, SCREEN, Tree

from virtfn_host.linux.look.needs import needed, needed_for
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

ROUTES = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_mounted_partition_needs_the_disk_s_controller(tree: Tree) -> None:
    disk = tree.device(DISK, "block", "nvme0n1", "259:0")
    tree.known(disk / "nvme0n1p2", "block", "nvme0n1p2", "259:2")
    tree.mount("259:2", "/")
    assert tree.needed() == {DISK: "the file system on / is on it"}


def test_a_volume_on_device_mapper_needs_what_is_below_it(tree: Tree) -> None:
    tree.device(DISK, "block", "sda", "8:0")
    volume = tree.known(tree.root / "sys/devices/virtual/block/dm-0", "block", "dm-0", "253:0")
    (volume / "slaves/sda").mkdir(parents=True)
    tree.mount("253:0", "/var")
    assert tree.needed() == {DISK: "the file system on /var is on it"}


def test_a_file_system_with_a_number_of_its_own_is_found_by_its_source(tree: Tree) -> None:
    tree.device(DISK, "block", "sda", "8:0")
    tree.mount("0:31", "/home", "/dev/sda")
    assert tree.needed() == {DISK: "the file system on /home is on it"}


def test_swap_needs_its_disk(tree: Tree) -> None:
    tree.device(DISK, "block", "sda", "8:0")
    (tree.root / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/sda partition 1 0 -2\n")
    assert tree.needed() == {DISK: "the swap space /dev/sda is on it"}


def test_the_default_route_through_a_bridge_needs_the_card_below_it(tree: Tree) -> None:
    tree.device(CARD, "net", "eth0")
    bridge = tree.known(tree.root / "sys/devices/virtual/net/br0", "net", "br0")
    (bridge / "lower_eth0").mkdir()
    (tree.root / "proc/1/net/route").write_text(f"{ROUTES}br0 00000000 0100A8C0 0003 0 0 0 00000000\n")
    assert tree.needed() == {CARD: "the default route goes through br0"}


@pytest.mark.parametrize("table", ["route", "ipv6_route"])
@pytest.mark.parametrize("name", ["e\u2003h0", "\u3000h0", "e\x1fh0", "e\x85h0", "e\u2028h0"])
def test_a_netdev_whose_name_has_a_blank_that_the_kernel_allows_is_found(tree: Tree, name: str, table: str) -> None:
    tree.device(CARD, "net", name)
    zeros, zeros6 = "0" * 8, "0" * 32
    line = f"{name} {zeros} {zeros} 1 0 0 0 {zeros}\n"
    line6 = f"{zeros6} 00 {zeros6} 00 {zeros6} 1 1 1 00000003 {name}\n"
    (tree.root / f"proc/1/net/{table}").write_text(ROUTES + line if table == "route" else line6)
    assert tree.needed().keys() == {CARD}


@pytest.mark.parametrize("name", [b"e\xff0", b"\x80", b"eth\xc3"])
def test_where_the_netdev_of_the_default_route_cannot_be_told_every_function_may_be_needed(
    tree: Tree, name: bytes
) -> None:
    tree.device(CARD, "net", os.fsdecode(name))
    line = name + b" 00000000 00000000 1 0 0 0 00000000\n"
    (tree.root / "proc/1/net/route").write_bytes(ROUTES.encode() + line)
    assert tree.needed().keys() == {DISK, CARD, SCREEN}
    assert "cannot tell" in tree.needed()[DISK]


def test_a_route_to_some_network_needs_nothing(tree: Tree) -> None:
    tree.device(CARD, "net", "eth0")
    (tree.root / "proc/1/net/route").write_text(f"{ROUTES}eth0 0000A8C0 00000000 0001 0 0 0 00FFFFFF\n")
    assert tree.needed() == {}


def test_an_ipv6_default_route_counts_and_the_one_that_leads_nowhere_does_not(tree: Tree) -> None:
    tree.device(CARD, "net", "eth0")
    zero = "0" * 32
    nowhere = f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
    (tree.root / "proc/1/net/ipv6_route").write_text(nowhere)
    assert tree.needed() == {}
    through = f"{zero} 00 {zero} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003 eth0\n"
    (tree.root / "proc/1/net/ipv6_route").write_text(nowhere + through)
    assert tree.needed() == {CARD: "the IPv6 default route goes through eth0"}


def test_a_console_and_the_firmware_s_display_are_needed(tree: Tree) -> None:
    port = tree.root / f"sys/devices/pci0000:00/{CARD}/tty/ttyS4"
    port.mkdir(parents=True)
    (tree.root / "sys/class/tty/console").mkdir(parents=True)
    (tree.root / "sys/class/tty/console/active").write_text("tty0 ttyS4\n")
    (tree.root / "sys/class/tty/ttyS4").symlink_to(port)
    screen = tree.root / f"sys/devices/pci0000:00/{SCREEN}"
    screen.mkdir(parents=True)
    (screen / "boot_vga").write_text("1\n")
    (tree.root / "sys/bus/pci/devices").mkdir(parents=True)
    (tree.root / f"sys/bus/pci/devices/{SCREEN}").symlink_to(f"../../../devices/pci0000:00/{SCREEN}")
    assert tree.needed() == {CARD: "the console ttyS4 is on it", SCREEN: "the firmware's display is on it"}


def test_a_machine_of_which_nothing_can_be_seen_needs_nothing(tmp_path: Path) -> None:
    look = OneLook(Sysfs(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc"))
    assert dict(needed(look)) == {}
    assert needed_for(look, DISK) is None


@pytest.mark.parametrize("kind", ["net", "block"])
def test_devices_that_lead_to_each_other_are_each_looked_at_once(tree: Tree, kind: str) -> None:
    tree.device(DISK, kind, "below", "8:0" if kind == "block" else "")
    names = [f"layer{number}" for number in range(40)]
    for name in names:
        number = f"253:{name[5:]}" if kind == "block" else ""
        folder = tree.known(tree.root / f"sys/devices/virtual/{kind}/{name}", kind, name, number)
        # Each is on all of them and on itself: following every path would never end.
        for other in [*names, "below"]:
            (folder / (f"slaves/{other}" if kind == "block" else f"lower_{other}")).mkdir(parents=True)
    if kind == "block":
        tree.mount("253:0", "/")
    else:
        (tree.root / "proc/1/net/route").write_text(f"{ROUTES}layer0 00000000 0100A8C0 0003 0 0 0 00000000\n")
    assert list(tree.needed()) == [DISK]


@pytest.mark.parametrize(
    "table", ["proc/1/mountinfo", "proc/swaps", "proc/1/net/route", "proc/1/net/ipv6_route", "sys/class/graphics"]
)
@pytest.mark.parametrize(
    "odd", [b"what is\nthis\nand this\n", b"\xff\xfe \x80", b"/dev/\0 1 2 3 4 5 6 7 8 9\n" * 2 + b"a\n", None]
)
def test_where_a_table_cannot_be_read_every_function_may_be_needed(tree: Tree, table: str, odd: bytes | None) -> None:
    path = tree.root / table
    if odd is None and path.name == "graphics":
        path.symlink_to(path.name)
    elif odd is None:
        path.mkdir(parents=True)
    else:
        path.write_bytes(odd)
    told = tree.needed()
    assert list(told) == [DISK, CARD, SCREEN]
    assert all(text.startswith("cannot tell what this machine needs: ") for text in told.values())


def test_mounts_of_every_spelling_leave_the_rest_readable(tree: Tree) -> None:
    tree.device(DISK, "block", "sda", "8:0")
    odd = [
        "22 1 0:5 / /a rw - tmpfs  rw",  # a source without a name
        "23 1 0:5 / /b\u2028c rw,relatime shared:1 master:2 - tmpfs none rw",
        "24 1 0:5 / /- rw - tmpfs - rw",
        "25 1 8:0 / /real rw shared:1 master:2 propagate_from:3 - ext4 /dev/sda rw",
    ]
    (tree.root / "proc/1/mountinfo").write_bytes("\n".join(odd).encode() + b"\n26 1 0:5 / /\xff rw - tmpfs x rw\n")
    assert tree.needed() == {DISK: "the file system on /real is on it"}
