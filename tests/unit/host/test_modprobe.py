"""modprobe gets the name after `--` and a clean environment; for another root's /sys no module is loaded here."""

import errno
import json
import stat
import subprocess
from pathlib import Path

import pytest

from virtfn_host.linux.errors import ModuleMissingError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch import child, modules
from virtfn_host.linux.touch.modules import Modprobe


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A modprobe that records its arguments."""
    told = tmp_path / "told"
    program = tmp_path / "bin/modprobe"
    program.parent.mkdir()
    program.write_text(
        f"#!/usr/bin/env python3\nimport json, os, sys\n"
        f"open({str(told)!r}, 'a').write(json.dumps([sys.argv[1:], os.getcwd(), sorted(os.environ)]) + '\\n')\n"
        f"sys.stderr.write('FATAL: ' + 'x' * 5000)\nsys.exit('bad' in sys.argv[-1])\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setitem(child.ENVIRONMENT, "PATH", f"{program.parent}:{child.ENVIRONMENT['PATH']}")
    monkeypatch.setenv("MODPROBE_OPTIONS", "-C/run/evil")
    monkeypatch.chdir(tmp_path)
    return told


def calls(told: Path) -> list[tuple[list[str], str, list[str]]]:
    return [tuple(json.loads(line)) for line in told.read_text().splitlines()] if told.exists() else []


def test_a_name_comes_behind_two_dashes_in_a_clean_environment(called: Path, tmp_path: Path) -> None:
    sysfs = Sysfs(tmp_path / "sys")
    (tmp_path / "sys/class/misc/vfio").mkdir(parents=True)
    Modprobe(sysfs).load("vfio-pci", 30)
    Modprobe(sysfs).load("pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00", 30)
    words, folders, names = zip(*calls(called), strict=True)
    assert words == (
        ["--", "vfio-pci"],
        ["--", "vfio_iommu_type1"],
        ["--", "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00"],
    )
    assert set(folders) == {"/"}
    assert all("MODPROBE_OPTIONS" not in name for name in names)


@pytest.mark.parametrize(
    "name", ["", "-r", "../x", "/run/evil.ko", "./evil.ko", "a b", "a\nb", "pci:../x", "a:b/c", "x" * 56]
)
def test_what_is_no_name_is_not_given_to_it(called: Path, name: str) -> None:
    with pytest.raises(ModuleMissingError, match="not given to modprobe"):
        Modprobe().load(name, 30)
    assert calls(called) == []


def test_a_machine_without_room_for_a_process_fails_the_step_alone(
    called: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_room)
    with pytest.raises(ModuleMissingError, match="vfio-pci could not be started: Resource temporarily"):
        Modprobe(Sysfs(tmp_path / "sys")).load("vfio-pci", 30)
    assert calls(called) == []


def test_its_answer_is_told_in_short(called: Path, tmp_path: Path) -> None:
    with pytest.raises(ModuleMissingError, match="install the module") as error:
        Modprobe(Sysfs(tmp_path / "sys")).load("bad", 30)
    assert len(str(error.value)) < modules.ANSWER + 200


def test_another_root_gets_no_module_of_this_kernel(called: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sys").mkdir(parents=True)
    with pytest.raises(ModuleMissingError, match="is not the /sys of the running kernel"):
        Modprobe(Sysfs(root / "sys"), root).load("vfio-pci", 30)
    assert calls(called) == []


def test_the_root_of_the_running_machine_elsewhere_is_given_to_it(
    called: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "_is_sysfs", lambda _: True)
    Modprobe(Sysfs(tmp_path / "host/sys"), tmp_path / "host").load("vfio-pci", 30)
    assert calls(called)[0][0] == ["-d", str(tmp_path / "host"), "--", "vfio-pci"]
