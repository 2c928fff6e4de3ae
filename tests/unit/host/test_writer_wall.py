"""Writer processes write only known attributes below one folder; each message to them states its length."""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtfn_host.linux.errors import SysfsReadError, SysfsWriteError
from virtfn_host.linux.touch import child, child_program
from virtfn_host.linux.touch.child import Crew, Touched
from virtfn_host.linux.touch.child_program import forbidden, touches
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import Writer


@pytest.fixture
def sys_(tmp_path: Path) -> Path:
    folder = tmp_path / "sys/bus/pci"
    folder.mkdir(parents=True)
    for name in ("drivers_probe", "rescan", "bind"):
        (folder / name).write_text("")
    (tmp_path / "bind").write_text("outside")
    return tmp_path / "sys"


@pytest.fixture
def writer(sys_: Path) -> Iterator[Writer]:
    made = Writer(None, 5.0, sys_)
    yield made
    made.close()


def strange(sys_: Path) -> tuple[str, ...]:
    return (
        f"{sys_}/bus/pci/rescan",
        f"{sys_}/../bind",
        f"{sys_}/bus/pci/../../../bind",
        f"{sys_}//bind",
        f"{sys_}/bus/./pci/bind",
        f"{sys_.parent}/bind",
        f"{sys_}x/bind",
        "/proc/sysrq-trigger",
        "bind",
        "",
        f"{sys_}/bus/pci/bind\0",
        f"{sys_}/{'x' * 4100}/bind",
    )


def test_nothing_but_an_attribute_of_ours_below_the_folder_is_written(writer: Writer, sys_: Path) -> None:
    for path in strange(sys_):
        with pytest.raises(SysfsWriteError, match="EPERM"):
            writer.write(path, "evil", 5)
    writer.write(sys_ / "bus/pci/drivers_probe", "0000:01:10.0", 5)
    assert (sys_ / "bus/pci/drivers_probe").read_text() == "0000:01:10.0"
    assert (sys_.parent / "bind").read_text() == "outside"


def test_one_that_is_forbidden_holds_up_no_other_of_its_list(writer: Writer, sys_: Path) -> None:
    good = sys_ / "bus/pci/bind"
    answers = writer.write_each([(good, "1"), ("/etc/passwd", "x"), (good, "2")], 5, 2)
    assert [answer is None for answer in answers] == [True, False, True]


def test_the_child_says_no_by_itself(sys_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wall that has a hole is none."""
    crew = Crew(1, sys_)
    (asked,) = crew.children
    asked.ask([(path, "evil") for path in strange(sys_)])
    found: list[Touched] = []
    while len(found) < len(strange(sys_)):
        found += asked.answers() or []
    assert all(touched.errno for touched in found)
    asked.end()
    crew.leave(5)
    assert (sys_.parent / "bind").read_text() == "outside"


def test_a_link_in_the_place_of_an_attribute_is_not_followed(writer: Writer, sys_: Path) -> None:
    (sys_ / "bus/pci/unbind").symlink_to(sys_.parent / "bind")
    with pytest.raises(SysfsWriteError, match="ELOOP"):
        writer.write(sys_ / "bus/pci/unbind", "evil", 5)


def test_a_value_is_one_value_whatever_is_in_it(writer: Writer, sys_: Path) -> None:
    path = sys_ / "bus/pci/bind"
    for value in ("a\0b", "x\0=3030\0/proc/sysrq-trigger", "a\nb", "ü" * 100, "x" * 4095):
        path.write_text("")
        writer.write(path, value, 5)
        assert path.read_bytes() == value.encode()
    with pytest.raises(SysfsWriteError, match="EPERM"):
        writer.write(path, "x" * 4096, 5)


def test_who_reads_for_us_writes_nothing(sys_: Path) -> None:
    reader = Reader()
    with pytest.raises(SysfsReadError):
        reader.read(f"{sys_}/bus/pci/bind\0x")
    assert reader.read(sys_ / "bus/pci/bind") == ""
    assert reader._child is not None
    reader._child.ask([(f"{sys_}/bus/pci/bind", "evil")])
    answers = reader._child.answers()
    assert answers is not None
    assert answers[0].errno
    reader.close()


def test_lengths_that_do_not_fit_end_the_message() -> None:
    whole = struct.pack("!Ii", 2, 3) + b"/avvv"
    assert list(touches(whole)) == [(b"/a", b"vvv")]
    assert list(touches(whole + struct.pack("!Ii", 1, -1) + b"b")) == [(b"/a", b"vvv"), (b"b", None)]
    for cut in range(len(whole)):
        assert list(touches(whole[:cut])) == []
    assert list(touches(struct.pack("!Ii", 2**32 - 1, 2**31 - 1) + b"x" * 100)) == []
    assert list(touches(struct.pack("!Ii", 1, -(2**31)) + b"a")) == [(b"a", None)]


def test_the_list_of_attributes_is_the_one_that_was_decided() -> None:
    assert {name.decode() for name in child_program.ATTRIBUTES} == {
        "sriov_numvfs", "sriov_drivers_autoprobe", "driver_override", "bind", "unbind", "drivers_probe",
    }  # fmt: skip
    assert not forbidden(b"/sys/bus/pci/devices/0000:01:00.0/driver/unbind", b"/sys")


def test_what_it_runs_with_is_nothing_of_ours(sys_: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the folder that we are in, or a word of our environment, is no part of it."""
    (tmp_path / "struct.py").write_text("raise SystemExit(7)")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MODPROBE_OPTIONS", "-C/nowhere")
    crew = Crew(1, sys_)
    pid = crew._process.pid
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {word.partition(b"=")[0].decode() for word in words if word} <= set(child.ENVIRONMENT) | {"LC_CTYPE"}
    crew.children[0].end()
    crew.leave(5)
    done = subprocess.run([sys.executable, "-c", "import struct"], check=False, capture_output=True)
    assert done.returncode != 0, "another program would take them"
