"""Mistakes of users and faults of machines give a sentence and an exit status, never a traceback.

The command runs as a process of its own, as on a node.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import doing
from virtfn_host.cli.options import DONE, INTERRUPTED, NOTHING_MATCHES, REFUSED, USAGE
from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.act.machine import only_writer

PF, VF = "0000:01:00.0", "0000:01:10.0"
SOURCES = Path(__file__).resolve().parents[3] / "host"
VIRTFN = [sys.executable, "-m", "virtfn_host.cli.verbs"]
ENVIRON = {**os.environ, "PYTHONPATH": str(SOURCES)}
AS_ROOT = os.geteuid() == 0
ONLY_ROOT = pytest.mark.skipif(not AS_ROOT, reason="NEEDS ROOT to be another user: what other users see is untested")


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with one VF that is on vfio-pci."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made.register("vfio-pci")
    made.write(made.devices / PF / "sriov_numvfs", "1")
    made.write(made.devices / VF / "driver/unbind", VF)
    made.write(made.devices / VF / "driver_override", "vfio-pci")
    made.write(made.drivers / "vfio-pci/bind", VF)
    return made


def virtfn(*words: str, root: Path | None = None, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    more = () if root is None else ("--root", str(root))
    command = [*before, *VIRTFN, *words, *more]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRON, stdin=subprocess.DEVNULL, timeout=30)
    assert "Traceback" not in done.stderr, done.stderr
    return done


SEEN_BY_NOBODY = """
mount --bind "$1" "$3/python" && mount --bind "$2" "$3/host" && here=$3 && shift 3 || exit
export PYTHONPATH="$here/host"
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$here/python/bin/python3" -m virtfn_host.cli.verbs "$@"
"""
"""Interpreter and sources are mounted elsewhere, because they may be below a folder that only root can enter."""


def as_nobody(*words: str, root: Path) -> subprocess.CompletedProcess[str]:
    for name in ("python", "host"):
        (root / name).mkdir(exist_ok=True)
    before = ("unshare", "--mount", "sh", "-c", SEEN_BY_NOBODY, "sh", sys.base_prefix, str(SOURCES), str(root))
    command = [*before, *words, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def open_root(kernel: FakeKernel, tmp_path: Path) -> Iterator[Path]:
    """A copy of the tree that the user `nobody` can read; only root can read pytest's own folders."""
    place = Path("/tmp") / f"virtfn-test-{os.getpid()}"
    shutil.copytree(kernel.root, place, symlinks=True)
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


# --- a machine without what is asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["list", f"explain {PF}", f"bind {PF}", "restore --all", "inventory"])
def test_an_empty_root_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert run([*words.split(), "--root", str(tmp_path)]) == USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no PCI bus, or /sys is not mounted here" in shown.err


def test_a_sys_without_pci_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sys/bus").mkdir(parents=True)
    assert run(["list", "--root", str(tmp_path)]) == USAGE
    assert "no PCI bus" in capsys.readouterr().err


@ONLY_ROOT
def test_a_container_without_sys_is_a_sentence() -> None:
    done = virtfn("list", before=("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh"))
    assert done.returncode == USAGE
    assert "/sys is not mounted here" in done.stderr


def test_this_very_machine_can_be_listed_and_its_inventory_taken() -> None:
    listed = virtfn("list", "--all", "--json")
    assert listed.returncode in (DONE, NOTHING_MATCHES)
    assert "functions" in json.loads(listed.stdout)
    assert "functions" in json.loads(virtfn("inventory").stdout)


# --- a user without rights -------------------------------------------------------------------------------------------


@ONLY_ROOT
def test_list_works_for_who_is_not_root(open_root: Path) -> None:
    done = as_nobody("list", root=open_root)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert VF in done.stdout


@ONLY_ROOT
def test_a_holder_that_cannot_be_told_is_named_so(open_root: Path) -> None:
    """The open files of process 1 are root's alone."""
    (open_root / "proc/1/fd").chmod(0o500)
    done = as_nobody("list", root=open_root)
    assert done.returncode == DONE
    (line,) = [line for line in done.stdout.splitlines() if VF in line]
    assert "unknown: " in line
    assert "Permission denied" in line


@ONLY_ROOT
def test_explain_works_for_who_is_not_root(open_root: Path) -> None:
    done = as_nobody("explain", PF, root=open_root)
    assert done.returncode == DONE
    assert "a PF with 1 of 7 VFs" in done.stdout


@ONLY_ROOT
def test_explain_says_that_the_lock_needs_root(open_root: Path) -> None:
    (open_root / "dev/vfio/1").chmod(0o600)
    done = as_nobody("explain", VF, root=open_root)
    assert "the in-use lock cannot be taken from here" in done.stdout
    assert "run it as root" in done.stdout


@ONLY_ROOT
@pytest.mark.parametrize("words", [("bind", VF), ("restore", "--all")])
def test_who_is_not_root_is_told_to_be(open_root: Path, words: tuple[str, ...]) -> None:
    done = as_nobody(*words, root=open_root)
    assert done.returncode == REFUSED
    assert "run it as root" in done.stderr


@ONLY_ROOT
def test_a_journal_that_only_root_may_read_does_not_hinder_a_list(open_root: Path) -> None:
    journal = open_root / "var/lib/virtfn/journal.json"
    journal.parent.mkdir(parents=True)
    journal.touch(mode=0o600)
    done = as_nobody("list", root=open_root)
    assert done.returncode == DONE
    assert done.stderr.startswith("virtfn: JournalUnreadable: ")
    assert "so run it as root" in done.stderr


HIDDEN = {"the journal": (0o755, 0o600), "its folder": (0o700, 0o644), "both": (0o700, 0o600)}


@ONLY_ROOT
@pytest.mark.parametrize("modes", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("verb", ["plan", "verify"])
def test_a_plan_without_the_journal_is_refused_and_who_may_read_it_is_named(
    open_root: Path, verb: str, modes: tuple[int, int]
) -> None:
    """What policies have claimed and what is to be given back is in the journal; it is not broken."""
    journal = open_root / "var/lib/virtfn/journal.json"
    journal.parent.mkdir(parents=True)
    journal.touch(mode=modes[1])
    journal.parent.chmod(modes[0])
    done = as_nobody(verb, "-f", str(policy_in(open_root)), root=open_root)
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr == (
        f"virtfn: JournalUnreadable: the journal {journal} cannot be read: Permission denied; only root may read it, "
        "so run it as root\n"
    )


@ONLY_ROOT
@pytest.mark.parametrize("verb", ["plan", "verify"])
def test_where_virtfn_has_changed_nothing_a_plan_needs_no_root(open_root: Path, verb: str) -> None:
    done = as_nobody(verb, "-f", str(policy_in(open_root)), root=open_root)
    assert done.stderr == ""
    assert PF in done.stdout or VF in done.stdout


@ONLY_ROOT
def test_a_journal_that_is_broken_is_not_called_roots_alone(open_root: Path) -> None:
    journal = open_root / "var/lib/virtfn/journal.json"
    journal.parent.mkdir(parents=True)
    journal.write_text("half a jour")
    done = as_nobody("plan", "-f", str(policy_in(open_root)), root=open_root)
    assert done.returncode == REFUSED
    assert "until it is mended or moved away" in done.stderr
    assert "run it as root" not in done.stderr


def policy_in(root: Path) -> Path:
    spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 2, "pools": [{"resourceName": "fast"}]}}
    path = root / "policy.json"
    names = {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": "fast"}}
    path.write_text(json.dumps({**names, "spec": spec}))
    return path


# --- a machine that is busy or broken --------------------------------------------------------------------------------


def test_an_unreadable_journal_is_kept_and_named(kernel: FakeKernel) -> None:
    journal = kernel.root / "var/lib/virtfn/journal.json"
    journal.parent.mkdir(parents=True)
    journal.write_text("half a jour")
    done = virtfn("restore", "--all", root=kernel.root)
    assert done.returncode == REFUSED
    assert done.stderr.startswith("virtfn: JournalUnreadable: ")
    assert str(journal) in done.stderr
    assert journal.read_text() == "half a jour"


def test_a_failure_under_json_is_a_document_too(kernel: FakeKernel) -> None:
    journal = kernel.root / "var/lib/virtfn/journal.json"
    journal.parent.mkdir(parents=True)
    journal.write_text("half a jour")
    done = virtfn("restore", "--all", "--json", root=kernel.root)
    assert json.loads(done.stdout)["error"]["reason"] == "JournalUnreadable"


def test_another_process_that_writes_is_named(kernel: FakeKernel) -> None:
    with only_writer(kernel.root / "var/lib/virtfn"):
        done = virtfn("bind", VF, root=kernel.root)
    assert done.returncode == REFUSED
    assert "another virtfn process writes on this node" in done.stderr


def test_a_place_where_no_journal_can_be_is_a_sentence(kernel: FakeKernel) -> None:
    (kernel.root / "var").write_text("in the way")
    done = virtfn("bind", VF, root=kernel.root)
    assert done.returncode == REFUSED
    assert "Not a directory" in done.stderr


@ONLY_ROOT
def test_a_read_only_sysfs_is_a_failed_step(kernel: FakeKernel) -> None:
    sys_folder = kernel.root / "sys"
    script = f'mount --bind "{sys_folder}" "{sys_folder}" && mount -o remount,ro,bind "{sys_folder}" && exec "$@"'
    done = virtfn(
        "bind", VF, "--driver", "kernel", root=kernel.root, before=("unshare", "--mount", "sh", "-c", script, "sh")
    )
    assert done.returncode == REFUSED
    assert "failed     WriteRefused: " in done.stdout
    assert "sysfs is mounted read-only here" in done.stdout


# --- a reader that goes away -----------------------------------------------------------------------------------------


def test_a_reader_that_leaves_is_no_failure(kernel: FakeKernel) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*VIRTFN, "list", "--root", str(kernel.root)]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, env=ENVIRON, text=True)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (DONE, "")


@pytest.fixture(params=["a full disk", "a lost terminal"])
def lost(request: pytest.FixtureRequest) -> Iterator[int]:
    """A stdout that cannot be written, and is no closed pipe."""
    if request.param == "a full disk":
        number = os.open("/dev/full", os.O_WRONLY)
    else:
        terminal, number = os.openpty()
        os.close(terminal)
    yield number
    os.close(number)


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("inventory",)])
def test_a_stdout_that_cannot_be_written_is_a_failure_that_is_told(
    kernel: FakeKernel, lost: int, words: tuple[str, ...]
) -> None:
    command = [*VIRTFN, *words, "--root", str(kernel.root)]
    done = subprocess.run(command, stdout=lost, stderr=subprocess.PIPE, env=ENVIRON, text=True)
    assert done.returncode == REFUSED
    assert done.stderr.startswith("virtfn: WriteRefused: stdout cannot be written")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("errors_too", [False, True])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_it_ends_no_apply_between_two_steps(
    kernel: FakeKernel, lost: int, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], errors_too: bool
) -> None:
    monkeypatch.setattr(doing, "machine_of", lambda *_: kernel.machine())
    policy = policy_in(kernel.root)
    with os.fdopen(os.dup(lost), "w") as out, os.fdopen(os.dup(lost), "w") as errors:
        monkeypatch.setattr(sys, "stdout", out)
        if errors_too:
            monkeypatch.setattr(sys, "stderr", errors)
        assert run(["apply", *more, "-f", str(policy), "--root", str(kernel.root)]) == REFUSED
    vfs = kernel.machine().sysfs.vf_addresses(PciAddress.parse(PF)).values()
    assert [(kernel.devices / str(vf) / "driver").readlink().name for vf in vfs] == ["vfio-pci"] * 2
    monkeypatch.undo()
    assert run(["verify", "-f", str(policy), "--root", str(kernel.root)]) == DONE


@pytest.fixture
def ctrl_c_counts() -> Iterator[None]:
    """Restore SIGINT: a shell lets background jobs ignore it, and programs inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_counts")
def test_ctrl_c_while_looking_is_a_word(kernel: FakeKernel) -> None:
    """A policy that does not come is waited for, until somebody has enough."""
    command = [*VIRTFN, "plan", "-f", "-", "--root", str(kernel.root)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRON, text=True
    )
    _until_it_reads(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (INTERRUPTED, "virtfn: interrupted\n")


def _until_it_reads(pid: int) -> None:
    """Wait until a process sleeps in a read of its standard input."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        called = Path(f"/proc/{pid}/syscall").read_text().split()
        if called[:2] == ["0", "0x0"]:
            return
        time.sleep(0.02)
    pytest.fail("the process did not begin to read the policy")
