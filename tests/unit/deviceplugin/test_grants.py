"""The notes of what containers were given: the last of each function, over restarts, and never half of it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from virtfn_deviceplugin.grant import grantfile as grants_module
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.ledger import MANY_RECORDS
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import Grant, Grants
from virtfn_host.linux import poolfile
from virtfn_host.linux.poolfile import PoolFileError


def grant(number: int, group: int = 12) -> Grant:
    address, nodes = PciAddress(0, 1, 0x10, number), ("/dev/vfio/vfio", f"/dev/vfio/{group}")
    return Grant(address=address, resource_name="virtfn.dev/fast", driver="vfio-pci", nodes=nodes, boot_id="b1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder/grants.json"


def test_the_last_grant_of_each_function_is_known_also_to_the_next_process(path: Path) -> None:
    first = GrantFile(path)
    first.load()
    first.note([grant(0), grant(1)])
    first.note([grant(0, group=14)])
    second = GrantFile(path)
    second.load()
    for file in (first, second):
        assert [file.of(grant(n).address) for n in range(3)] == [grant(0, group=14), grant(1), None]


def test_what_is_as_before_is_not_written_again(path: Path) -> None:
    file = GrantFile(path)
    file.note([grant(0)])
    before = path.stat()
    file.note([grant(0)])
    file.note([])
    assert path.stat() == before


def test_what_cannot_be_written_is_not_known_either(path: Path) -> None:
    file = GrantFile(path)
    file.note([grant(0)])
    path.unlink()
    path.mkdir()
    with pytest.raises(PoolFileError, match="cannot be written"):
        file.note([grant(0, group=14), grant(1)])
    assert [file.of(grant(n).address) for n in range(2)] == [grant(0), None]


def test_of_too_many_the_newest_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants_module, "KEPT", 3)
    file = GrantFile(path)
    for number in range(5):
        file.note([grant(number)])
    file.note([grant(2, group=14)])
    kept = poolfile.read_grants(path)
    assert kept is not None
    assert [(one.address.function, one.nodes[1]) for one in kept.grants] == [
        (3, "/dev/vfio/12"),
        (4, "/dev/vfio/12"),
        (2, "/dev/vfio/14"),
    ]


@pytest.mark.parametrize("more", [0, 1])
def test_as_many_as_are_kept_fit_into_the_file_even_the_longest(path: Path, more: int) -> None:
    """A node with a domain that does not exist any more, all nodes of a function, and everything beside."""
    longest = replace(
        grant(0),
        resource_name=f"{'d' * 253}/{'n' * 63}",
        nodes=("/dev/iommu", "/dev/vfio/vfio", "/dev/vfio/1234567890", "/dev/vfio/devices/vfio1234567890"),
        boot_id="12345678-1234-1234-1234-123456789abc",
        device_info="a" * 64,
        extras=Extras(vhost_net=True, tun=True, iommufd=True, cdi=Cdi(gid=2**31 - 1, mode="0660")),
        specs=True,
    )
    every = [
        replace(longest, address=PciAddress(n // 65536, n // 256 % 256, n // 8 % 32, n % 8))
        for n in range(grants_module.KEPT + more)
    ]
    file = GrantFile(path)
    file.note(every)
    file.note([replace(every[0], driver="igb")])
    again = GrantFile(path)
    again.load()
    assert len(again.all()) == grants_module.KEPT
    assert again.of(every[0].address) == replace(every[0], driver="igb")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([grant(0), grant(0, group=14)], "grant of 0000:01:10.0 appears twice"),
        ([replace(grant(0), nodes=("/dev/sda",))], "'/dev/sda' is not a device node of vfio"),
        ([replace(grant(0), nodes=("/dev/vfio/../sda",))], "is not a device node of vfio"),
        ([replace(grant(0), nodes=("/dev/vfio/12\n",))], "is not a device node of vfio"),
        ([replace(grant(0), boot_id="")], "is not a boot id"),
        ([replace(grant(0), resource_name="x" * 5000)], "is not a resource name"),
        ([replace(grant(0), driver="a\nb")], "is not the name of a driver"),
    ],
)
def test_grants_that_nobody_gave_are_neither_read_nor_written(wrong: list[Grant], said: str, tmp_path: Path) -> None:
    with pytest.raises(PoolFileError, match=said):
        poolfile.write_grants(tmp_path / "grants.json", Grants(grants=tuple(wrong)))


@pytest.mark.parametrize("before", [1, 30, 300])
def test_a_grant_is_appended_whatever_was_granted_before(path: Path, before: int) -> None:
    file = GrantFile(path)
    for number in range(before):
        file.note([grant(number % 8, group=number)])
    old, inode = path.stat().st_size, path.stat().st_ino
    file.note([grant(1, group=999)])
    assert path.stat().st_ino == inode
    assert 200 < path.stat().st_size - old < 500


def test_after_many_records_the_file_is_written_anew(path: Path) -> None:
    file = GrantFile(path)
    for number in range(MANY_RECORDS + 2):
        file.note([grant(number % 8, group=number)])
    assert path.read_bytes().count(b"\n") == 1
    again = GrantFile(path)
    again.load()
    assert [again.of(grant(number).address) for number in range(8)] == [
        file.of(grant(number).address) for number in range(8)
    ]


@pytest.mark.parametrize("given", [[0], [0, 1], [1, 2, 3]])
def test_what_is_put_back_is_as_before_also_for_the_next_process(path: Path, given: list[int]) -> None:
    file = GrantFile(path)
    file.note([grant(0), grant(1)])
    before = file.note([grant(number, group=14) for number in given])
    file.put_back(before)
    again = GrantFile(path)
    again.load()
    for known in (file, again):
        assert [known.of(grant(number).address) for number in range(4)] == [grant(0), grant(1), None, None]


@pytest.mark.parametrize("cut", [1, 50, 200])
def test_a_record_that_a_crash_cut_off_is_told_and_the_others_are_kept(
    path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = GrantFile(path)
    for number in range(3):
        file.note([grant(number)])
    os.truncate(path, path.stat().st_size - 1 - cut)
    again = GrantFile(path)
    again.load()
    assert "its last record is cut off, as by a crash or a full disk" in caplog.text
    assert [again.of(grant(number).address) for number in range(3)] == [grant(0), grant(1), None]
    again.note([grant(3)])
    kept = poolfile.read_grants(path)
    assert kept is not None
    assert [one.address.function for one in kept.grants] == [0, 1, 3]
