"""The boot unit on a node: installed as files, armed by each pod, removed by itself when no pod came."""

from pathlib import Path

import pytest

from virtfn_host.cli.options import DONE, REFUSED
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


def booted(root: Path, boot_id: str) -> BootUnit:
    """A boot of the node begins; the unit as a pod sees it then."""
    file = root / "proc/sys/kernel/random/boot_id"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{boot_id}\n")
    return BootUnit(root=root, boot_id=boot_id)


def started(root: Path) -> int:
    """The unit starts."""
    return run(["boot", "--as-unit", "--root", str(root)])


def test_each_boot_takes_the_arming_back_and_each_pod_gives_it(root: Path, files: Path) -> None:
    install(files, booted(root, "b0"), PYTHON)
    for boot_id in ("b1", "b2", "b3"):
        unit = booted(root, boot_id)
        assert started(root) == DONE
        assert (root / OURS[1]).exists()
        install(files, unit, PYTHON)


@pytest.mark.parametrize("starts", [1, 2, 3])
def test_a_boot_without_a_pod_since_the_last_one_removes_it(
    root: Path, files: Path, capsys: pytest.CaptureFixture[str], starts: int
) -> None:
    unit = booted(root, "b0")
    before = tree(root)
    install(files, unit, PYTHON)
    booted(root, "b1")
    for _ in range(starts):
        assert started(root) == DONE
        assert (root / OURS[1]).exists()
    booted(root, "b2")
    assert started(root) == DONE
    assert tree(root) == before
    assert "is removed from this node" in capsys.readouterr().out
    assert not (root / "var/lib/virtfn-boot").exists()


@pytest.mark.parametrize("config", ["{", ""])
def test_a_start_that_failed_is_repeated_in_the_same_boot(root: Path, files: Path, config: str) -> None:
    install(files, booted(root, "b0"), PYTHON)
    booted(root, "b1")
    kept = root / "var/lib/virtfn/config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(config)
    assert started(root) == REFUSED
    kept.unlink()  # an administrator helps
    for _ in range(2):
        assert started(root) == DONE
        assert (root / OURS[1]).exists()


@pytest.mark.parametrize("starts", [("pod", "unit"), ("unit", "pod", "unit"), ("unit", "unit", "pod", "unit", "unit")])
def test_a_start_after_the_pod_does_not_use_its_arming_up(root: Path, files: Path, starts: tuple[str, ...]) -> None:
    install(files, booted(root, "b0"), PYTHON)
    unit = booted(root, "b1")
    for what in starts:
        if what == "pod":
            install(files, unit, PYTHON)
        else:
            started(root)
    booted(root, "b2")
    assert started(root) == DONE
    assert (root / OURS[1]).exists()


@pytest.mark.parametrize("armed", ["", "unknown"])
def test_an_arming_that_names_no_boot_is_taken_back_by_the_first_one(root: Path, files: Path, armed: str) -> None:
    """An earlier version noted none."""
    install(files, booted(root, "b0"), PYTHON)
    (root / OURS[2]).write_text(armed)
    booted(root, "b1")
    for _ in range(2):
        assert started(root) == DONE
        assert (root / OURS[1]).exists()
    booted(root, "b2")
    started(root)
    assert not (root / OURS[1]).exists()


@pytest.mark.parametrize("boot_id", ["", "not an id"])
def test_in_an_unknown_boot_nothing_is_removed(root: Path, files: Path, boot_id: str) -> None:
    install(files, booted(root, "b0"), PYTHON)
    booted(root, boot_id)
    for _ in range(3):
        assert started(root) == DONE
    assert (root / OURS[1]).exists()
    assert (root / OURS[2]).exists()


def test_a_pod_that_comes_after_all_installs_it_again(root: Path, files: Path) -> None:
    install(files, booted(root, "b0"), PYTHON)
    for boot_id in ("b1", "b2"):
        unit = booted(root, boot_id)
        started(root)
    assert not (root / OURS[1]).exists()
    install(files, unit, PYTHON)
    assert (root / OURS[0]).is_symlink()
    booted(root, "b3")
    assert started(root) == DONE
    assert (root / OURS[1]).exists()


def test_run_by_hand_it_removes_nothing(root: Path, files: Path) -> None:
    install(files, booted(root, "b0"), PYTHON)
    for boot_id in ("b1", "b2", "b3"):
        booted(root, boot_id)
        assert run(["boot", "--root", str(root)]) == DONE
    assert (root / OURS[1]).exists()
