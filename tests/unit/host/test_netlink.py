"""The netlink child process: in this machine's namespace, without a namespace, without its library, and hanging."""

import errno
import importlib.util
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtfn_host.core.values.model import VfLink
from virtfn_host.linux.errors import NetlinkError, NetlinkRefusedError
from virtfn_host.linux.netlink import asks as module
from virtfn_host.linux.netlink import child
from virtfn_host.linux.netlink.asks import Addresses, Netlink
from virtfn_host.linux.netlink.child import wire

NO_IFINDEX = 2**30


@pytest.fixture
def netlink(tmp_path: Path) -> Iterator[Netlink]:
    """Netlink in the network namespace of the tests."""
    (tmp_path / "1/ns").mkdir(parents=True)
    (tmp_path / "1/ns/net").symlink_to("/proc/self/ns/net")
    made = Netlink(tmp_path)
    yield made
    made.close()


def test_the_loopback_is_up_and_has_its_address(netlink: Netlink) -> None:
    assert netlink.links("lo").vfs == ()
    assert "127.0.0.1/8" in Addresses(netlink).of("lo")
    assert netlink.mtu("lo").now == 65536


def test_a_netdev_that_is_not_there_is_an_errno_and_the_next_question_is_answered(netlink: Netlink) -> None:
    with pytest.raises(NetlinkRefusedError, match="ENODEV"):
        netlink.links("none0")
    with pytest.raises(NetlinkRefusedError, match="ENODEV"):
        netlink.set_vf(NO_IFINDEX, 0, VfLink(trust=True))
    with pytest.raises(NetlinkRefusedError, match="ENODEV"):
        netlink.mtu("none0")
    with pytest.raises(NetlinkRefusedError, match="ENODEV"):
        netlink.set_mtu(NO_IFINDEX, 1500)
    assert netlink.links("lo").vfs == ()


def test_a_question_that_makes_no_sense_is_refused_by_the_process_that_lives_on(netlink: Netlink) -> None:
    netlink.links("lo")
    assert netlink._child is not None
    pid = netlink._child._process.pid
    for question in (
        {},
        {"links": None},
        {"mtu": [1]},
        {"set": {"ifindex": 1, "index": 0, "setting": {}}},
        {"addresses": 1},
    ):
        with pytest.raises(NetlinkRefusedError, match="EINVAL"):
            netlink._ask(question)
    assert netlink.links("lo").vfs == ()
    assert netlink._child is not None
    assert netlink._child._process.pid == pid


def test_a_root_without_a_network_namespace_is_told(tmp_path: Path) -> None:
    with pytest.raises(NetlinkError, match="1/ns/net"):
        Netlink(tmp_path).links("lo")


def test_a_machine_without_room_for_a_process_is_told_and_nothing_is_left_open(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", no_room)
        with pytest.raises(NetlinkError, match="no process to speak netlink with: Resource temporarily"):
            netlink.links("lo")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert netlink.links("lo").vfs == ()


def test_a_missing_library_is_told_with_how_to_get_it(netlink: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NetlinkError, match="pip install"):
        netlink.links("lo")


def test_an_answer_that_does_not_come_in_time_is_no_answer_and_answers_no_later_question(
    netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    netlink.links("lo")
    assert netlink._child is not None
    pid = netlink._child._process.pid
    os.kill(pid, 19)  # SIGSTOP, as if a driver hung
    monkeypatch.setattr(module, "ASK_DEADLINE", 0.05)
    for _ in range(2):
        with pytest.raises(NetlinkError, match="hangs"):
            netlink.addresses()
    os.kill(pid, 18)
    monkeypatch.setattr(module, "ASK_DEADLINE", 10.0)
    assert netlink._child.answer(10.0) is not None  # the answer to what was asked meanwhile
    netlink._child._owes -= 1
    assert netlink.links("lo").vfs == ()


def test_a_process_that_was_killed_is_started_again(netlink: Netlink) -> None:
    netlink.links("lo")
    assert netlink._child is not None
    netlink._child._process.kill()
    netlink._child._process.wait()
    with pytest.raises(NetlinkError):
        netlink.links("lo")
    assert netlink.links("lo").vfs == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_a_process_in_a_pods_network_namespace_asks_in_the_hosts(tmp_path: Path) -> None:
    """In a namespace just made the loopback is down and has no address."""
    (tmp_path / "1/ns").mkdir(parents=True)
    (tmp_path / "1/ns/net").symlink_to(f"/proc/{os.getpid()}/ns/net")
    program = "import pathlib, sys; from virtfn_host.linux.netlink.asks import Netlink; "
    program += "print(Netlink(pathlib.Path(sys.argv[1])).addresses().get('lo'))"
    root = Path(module.__file__).parents[3]
    asked = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "127.0.0.1/8" in asked.stdout


def test_groups_in_the_words_of_the_library() -> None:
    assert wire({"vlan": 5, "vlanQos": 1}) == {"vlan": {"vlan": 5, "qos": 1}}
    assert wire({"minTxRate": 0, "maxTxRate": 9}) == {"rate": {"min_tx_rate": 0, "max_tx_rate": 9}}
    assert wire({"linkState": "disable"}) == {"link_state": 2}
    assert wire({"trust": True}) == {"trust": 1}
    assert wire({"spoofCheck": False}) == {"spoofchk": 0}


# --- alternative names -----------------------------------------------------------------------------------------------


def attribute(kind: int, data: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(data), kind) + data).ljust((7 + len(data)) & ~3, b"\0")


def a_link(name: str, *others: str) -> bytes:
    """The attributes of a netdev, as the kernel sends them: a nested list has the flag of one."""
    properties = b"".join(attribute(53, other.encode() + b"\0") for other in others)
    listed = attribute(52 | 0x8000, properties) if others else b""
    return attribute(3, name.encode() + b"\0") + attribute(13, struct.pack("=I", 1000)) + listed


@pytest.mark.parametrize(
    "others",
    [("enp1s0f0np0",), ("enx525400000100", "enp1s0f0"), ("a-name-that-is-longer-than-fifteen-bytes", "\u00e9")],
)
def test_alternative_names_are_read_from_the_list_of_properties(
    others: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "dumped_links", lambda: iter([a_link("lo"), a_link("eth0", *others), a_link("eth1")]))
    assert child.other_names() == {"eth0": list(others)}


@pytest.mark.parametrize("cut", [1, 3, 5, 9])
def test_a_message_that_ends_early_is_read_as_far_as_it_goes(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "dumped_links", lambda: iter([a_link("eth0", "enp1s0f0")[:-cut]]))
    assert set(child.other_names()) <= {"eth0"}


def test_this_kernel_is_asked_and_answers(netlink: Netlink) -> None:
    assert "lo" not in netlink.other_names()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a network namespace of its own")
def test_this_kernel_tells_alternative_names_in_no_other_way() -> None:
    script = "ip link property add dev lo altname enp1s0f0np0 altname other || exit 77"
    show = "import runpy; print(runpy.run_path(sys.argv[1])['other_names']())"
    command = f'{script}; {sys.executable} -c "import sys; {show}" {child.__file__}'
    done = subprocess.run(["unshare", "-n", "sh", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode in (1, 77, 127):
        pytest.skip(f"no namespace, no ip or no alternative names here: {done.stderr}")
    assert done.stdout.strip() == "{'lo': ['enp1s0f0np0', 'other']}"
