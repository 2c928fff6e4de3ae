"""One of two plugins is killed in the middle of a grant's record: what it noted before counts for the other one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Grant
from virtfn_host.linux import appended, poolfile


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appended, "WRITING", 0.0)


def grant(number: int, group: int = 12) -> Grant:
    address = PciAddress(0, 1, number, 0)
    return Grant(address=address, resource_name="x/y", driver="vfio-pci", nodes=(f"/dev/vfio/{group}",), boot_id="b")


def in_file(path: Path) -> dict[int, str]:
    found = poolfile.read_grants(path)
    assert found is not None
    return {one.address.device: one.nodes[0].removeprefix("/dev/vfio/") for one in found.grants}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grants.json"


@pytest.fixture
def two(path: Path) -> tuple[GrantFile, GrantFile]:
    """Both know grant 0; the second one has written nothing."""
    first, second = GrantFile(path), GrantFile(path)
    first.load()
    first.note([grant(0)])
    second.load()
    return first, second


def killed_in(file: GrantFile, path: Path, number: int, left: int) -> None:
    """Leave the first bytes of a record, as a writer that is killed does; -1: all but the last byte and the newline."""
    before = path.stat().st_size
    file.note([grant(number)])
    os.truncate(path, before + left if left > 0 else path.stat().st_size - 1 + left)


THEN: dict[str, Callable[[GrantFile], object]] = {
    "notes": lambda file: file.note([grant(20)]),
    "is asked": lambda file: file.of(grant(1).address),
    "changes": lambda file: file.change({grant(2): grant(2, group=30)}),
    "puts back": lambda file: file.put_back({grant(20).address: None}),
}


@pytest.mark.parametrize("left", [1, 60, -1])
@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_what_the_killed_one_noted_before_is_kept(
    two: tuple[GrantFile, GrantFile], path: Path, left: int, then: Callable[[GrantFile], object]
) -> None:
    first, second = two
    first.note([grant(1)])
    first.note([grant(2)])
    first.note([grant(0, group=14)])
    killed_in(first, path, 3, left)
    then(second)
    second.note([grant(21)])
    groups = {0: "14", 1: "12", 2: "30" if then is THEN["changes"] else "12", 21: "12"}
    assert in_file(path) == groups | ({20: "12"} if then is THEN["notes"] else {})
    assert second.of(grant(3).address) is None, "its container was not made"


@pytest.mark.parametrize("left", [1, 60, -1])
def test_what_it_had_put_back_stays_away(two: tuple[GrantFile, GrantFile], path: Path, left: int) -> None:
    first, second = two
    before = first.note([grant(1)])
    assert second.of(grant(1).address) == grant(1)
    first.put_back(before)
    killed_in(first, path, 3, left)
    second.note([grant(21)])
    assert in_file(path) == {0: "12", 21: "12"}


def test_a_cut_file_is_not_read_again_each_time(
    two: tuple[GrantFile, GrantFile], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    killed_in(first, path, 3, 60)
    second.all()
    reads: list[Path] = []
    monkeypatch.setattr(poolfile, "read_grants", reads.append)
    second.all()
    assert reads == []


@pytest.mark.parametrize("cut", [2, 60])
def test_a_cut_through_what_this_process_knows_is_damage_and_its_memory_counts(path: Path, cut: int) -> None:
    """A container has it: the answer to it was given after the record was whole."""
    file = GrantFile(path)
    file.load()
    file.note([grant(0), grant(1)])
    file.note([grant(0, group=14)])
    os.truncate(path, path.stat().st_size - cut)
    file.note([grant(2)])
    assert in_file(path) == {0: "14", 1: "12", 2: "12"}
