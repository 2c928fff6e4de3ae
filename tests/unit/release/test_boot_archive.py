"""The archive of the boot unit: the same bytes from the same source, and nothing needed but Python's own library."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.kept import KeptCard, KeptConfig
from virtfn_host.linux.act.kept import keep
from virtfn_release import boot_archive

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "virtfn.pyz"
    boot_archive.write(path, ROOT / "host", "1.2.3")
    return path


def ran(archive: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as a node would: without anything that is installed beside Python, and without an environment."""
    program = [sys.executable, "-I", "-S", "-B", str(archive), *words]
    return subprocess.run(program, env={}, cwd="/", capture_output=True, text=True, check=False)


# --- the bytes -------------------------------------------------------------------------------------------------------


def test_two_builds_are_the_same_bytes_whatever_the_times_and_the_order_of_files(tmp_path: Path) -> None:
    digests = set()
    for name, time in (("one", 1_000_000_000), ("two", 1_700_000_000)):
        copy = shutil.copytree(ROOT / "host", tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in copy.rglob("*"):
            os.utime(path, (time, time))
            path.chmod(0o700 if path.is_dir() or name == "one" else 0o600)
        digests.add(boot_archive.write(tmp_path / f"{name}.pyz", copy, "1.2.3"))
    digests.add(boot_archive.write(tmp_path / "three.pyz", ROOT / "host", "1.2.3"))
    assert len(digests) == 1


def test_another_source_or_version_is_another_digest(tmp_path: Path) -> None:
    copy = shutil.copytree(ROOT / "host", tmp_path / "host", ignore=shutil.ignore_patterns("__pycache__"))
    digests = [boot_archive.write(tmp_path / "a.pyz", copy, version) for version in ("1.2.3", "1.2.4")]
    (copy / "virtfn_host/backoff.py").write_text('"""Changed."""\n')
    digests.append(boot_archive.write(tmp_path / "a.pyz", copy, "1.2.3"))
    assert len(set(digests)) == 3


def test_it_has_every_module_and_nothing_else(archive: Path) -> None:
    with zipfile.ZipFile(archive) as parts:
        names = parts.namelist()
    modules = {path.relative_to(ROOT / "host").as_posix() for path in (ROOT / "host/virtfn_host").rglob("*.py")}
    assert set(names) == modules | {"__main__.py", "virtfn-1.2.3.dist-info/METADATA"}
    assert names == sorted(names)


def test_a_folder_without_the_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no virtfn_host"):
        boot_archive.write(tmp_path / "a.pyz", tmp_path, "1")


def test_the_builder_needs_the_standard_library_only(tmp_path: Path) -> None:
    program = [sys.executable, "-I", "-S", str(ROOT / "release/virtfn_release/boot_archive.py")]
    words = ["--host", str(ROOT / "host"), "--version", "1.2.3", str(tmp_path / "b.pyz")]
    printed = subprocess.run([*program, *words], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == boot_archive.write(tmp_path / "c.pyz", ROOT / "host", "1.2.3")


def test_without_a_version_it_has_that_of_a_checkout_without_git(tmp_path: Path) -> None:
    program = [sys.executable, "-I", "-S", str(ROOT / "release/virtfn_release/boot_archive.py")]
    words = ["--host", str(ROOT / "host"), "--version", "", str(tmp_path / "b.pyz")]
    subprocess.run([*program, *words], capture_output=True, check=True)
    assert ran(tmp_path / "b.pyz", "--version").stdout == f"virtfn {boot_archive.fallback(ROOT / 'pyproject.toml')}\n"


# --- on a node -------------------------------------------------------------------------------------------------------


def test_it_runs_without_anything_installed(archive: Path) -> None:
    assert ran(archive, "--version").stdout == "virtfn 1.2.3\n"
    done = ran(archive, "boot", "--root", "/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no config was verified yet" in done.stdout


def test_its_child_processes_start_from_the_archive(archive: Path, tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=2)
    done = ran(archive, "inventory", "--root", str(kernel.root))
    assert done.stderr == ""
    assert len(json.loads(done.stdout)["functions"]) == 2


def test_it_reads_the_config_and_the_machine(archive: Path, tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")
    devices = (DeviceMatcher(vendor="8086"),)
    policy = PolicyConfig(name="fast", uid="u", generation=1, devices=devices, count=2, pools=(pool,))
    card = KeptCard(address=PciAddress(0, 9, 0, 0), vendor="8086", device="10c9")
    keep(kernel.root / "var/lib/virtfn/config.json", KeptConfig(config=NodeConfig(policies=(policy,)), cards=(card,)))
    done = ran(archive, "boot", "--wait", "0", "--root", str(kernel.root))
    assert done.returncode == 1
    assert done.stderr == (
        "virtfn: DeviceGone: 0000:09:00.0: is not there; was the card removed, or moved to another slot?\n"
    )


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 8), (3, 9, 21), (3, 10, 12)])
def test_an_older_python_is_refused_by_its_version(version: tuple[int, int, int]) -> None:
    program = f"import sys\nsys.version_info = {version}\nexec(sys.stdin.read())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], input=boot_archive.MAIN, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"virtfn: needs Python 3.11 or newer, and {sys.executable} is {version[0]}.{version[1]}; "
        "see packaging/README.md of virtfn\n"
    )


def test_what_an_older_python_must_parse_is_old_enough() -> None:
    assert boot_archive.MAIN.isascii()
    assert not {"f'", 'f"', ":=", "match ", "->", "print"} & set(boot_archive.MAIN.split())
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
    assert boot_archive.LEAST == (3, 11)
