"""The boot unit on a node: installed as files, armed by each pod, removed by itself when no pod came."""

from pathlib import Path

import pytest

from virtfn_host.cli.options import DONE
from virtfn_host.cli.verbs import run
from virtfn_host.linux.act.unit import BootUnit, started_by
from virtfn_host.process.boot_unit import install

TEXT = (Path(__file__).parents[3] / "packaging/virtfn-boot.service").read_text()
PYTHON = "/usr/bin/python3"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node with systemd, and a unit of somebody else."""
    units = tmp_path / "root/etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "sshd.service").write_text("[Unit]\n")
    (units / "multi-user.target.wants/sshd.service").symlink_to("../sshd.service")
    return tmp_path / "root"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "boot"
    folder.mkdir()
    (folder / "virtfn.pyz").write_bytes(b"PK-archive")
    (folder / "virtfn-boot.service").write_text(TEXT)
    return folder


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())


OURS = [
    "etc/systemd/system/multi-user.target.wants/virtfn-boot.service",
    "etc/systemd/system/virtfn-boot.service",
    "var/lib/virtfn-boot/armed",
    "var/lib/virtfn-boot/virtfn.pyz",
]


def test_it_is_three_files_and_a_link_and_nothing_else(root: Path, files: Path) -> None:
    before = tree(root)
    install(files, BootUnit(root=root), PYTHON)
    assert sorted(set(tree(root)) - set(before)) == OURS
    unit = (root / OURS[1]).read_text()
    assert f"\nExecStart={PYTHON} -I -B /var/lib/virtfn-boot/virtfn.pyz boot --as-unit\n" in unit
    assert (root / OURS[0]).readlink() == Path("../virtfn-boot.service")
    assert (root / OURS[3]).read_bytes() == b"PK-archive"


def test_a_second_pod_writes_only_what_differs(root: Path, files: Path) -> None:
    install(files, BootUnit(root=root), PYTHON)
    kept = (root / OURS[1]).stat().st_ino
    (files / "virtfn.pyz").write_bytes(b"a newer one")
    install(files, BootUnit(root=root), PYTHON)
    assert (root / OURS[3]).read_bytes() == b"a newer one"
    assert (root / OURS[1]).stat().st_ino == kept


@pytest.mark.parametrize("there", ["text", "folder-less link", "old link"])
def test_what_is_in_its_place_is_replaced(root: Path, files: Path, there: str) -> None:
    unit, link = root / OURS[1], root / OURS[0]
    if there == "text":
        unit.write_text("[Unit]\nDescription=an older version\n")
    elif there == "old link":
        link.symlink_to("/usr/lib/systemd/system/virtfn-boot.service")
    else:
        unit.symlink_to("/dev/null")  # systemctl mask
    install(files, BootUnit(root=root), PYTHON)
    assert "ExecStart=" in unit.read_text()
    assert not unit.is_symlink()
    assert link.readlink() == Path("../virtfn-boot.service")


@pytest.mark.parametrize("python", ["python3", "/usr/bin/python3 -c x", "/usr/bin/%i", "/a/'b'", "/usr/$X", ""])
def test_a_path_that_systemd_would_take_for_something_else_is_refused(root: Path, files: Path, python: str) -> None:
    with pytest.raises(ValueError, match="--python"):
        install(files, BootUnit(root=root), python)
    assert not (root / OURS[1]).exists()


@pytest.mark.parametrize("text", ["[Service]\n", "ExecStart=/a\nExecStart=/b\n", ""])
def test_a_unit_without_exactly_one_command_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="one line ExecStart="):
        started_by(text, "/c")


def test_each_boot_takes_the_arming_back_and_each_pod_gives_it(root: Path, files: Path) -> None:
    unit = BootUnit(root=root)
    install(files, unit, PYTHON)
    for _ in range(3):
        assert run(["boot", "--as-unit", "--root", str(root)]) == DONE
        assert (root / OURS[1]).exists()
        install(files, unit, PYTHON)


def test_a_boot_without_a_pod_since_the_last_one_removes_it(
    root: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    install(files, BootUnit(root=root), PYTHON)
    assert run(["boot", "--as-unit", "--root", str(root)]) == DONE
    assert run(["boot", "--as-unit", "--root", str(root)]) == DONE
    assert tree(root) == before
    assert "is removed from this node" in capsys.readouterr().out
    assert not (root / "var/lib/virtfn-boot").exists()


def test_a_pod_that_comes_after_all_installs_it_again(root: Path, files: Path) -> None:
    install(files, BootUnit(root=root), PYTHON)
    for _ in range(2):
        run(["boot", "--as-unit", "--root", str(root)])
    install(files, BootUnit(root=root), PYTHON)
    assert (root / OURS[0]).is_symlink()
    assert run(["boot", "--as-unit", "--root", str(root)]) == DONE
    assert (root / OURS[1]).exists()


def test_run_by_hand_it_removes_nothing(root: Path, files: Path) -> None:
    install(files, BootUnit(root=root), PYTHON)
    for _ in range(3):
        assert run(["boot", "--root", str(root)]) == DONE
    assert (root / OURS[1]).exists()
