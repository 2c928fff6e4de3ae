"""The notes of what containers were given: the last of each function, over restarts, and never half of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from virtfn_deviceplugin import grants as grants_module
from virtfn_deviceplugin.grants import GrantFile
from virtfn_host.core.values.address import PciAddress
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
    monkeypatch.setattr(grants_module, "MOST_GRANTS", 3)
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
