"""What every node asks of rtnetlink is read without pyroute2, which takes 20 MiB: addresses and names."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtfn_host.linux.netlink import child

IFA_ADDRESS, IFA_LOCAL, IFA_LABEL = 1, 2, 3
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1")


def attribute(kind: int, data: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(data), kind) + data).ljust((7 + len(data)) & ~3, b"\0")


def an_address(family: int, prefix: int, index: int, *attributes: bytes) -> bytes:
    return struct.pack("=BBBBI", family, prefix, 0, 0, index) + b"".join(attributes)


def test_addresses_and_names_are_told_where_there_is_no_pyroute2() -> None:
    questions: list[dict[str, object]] = [{"addresses": None}, {"names": None}, {"permanent": None}, {"links": "lo"}]
    asked = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(child.__file__)), "/proc/self/ns/net", "/nowhere"],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        check=True,
    )
    ready, addresses, names, permanent, links = map(json.loads, asked.stdout.splitlines())
    assert ready == {"value": None}
    assert "127.0.0.1/8" in addresses["value"]["lo"]
    assert "value" in names
    assert "value" in permanent
    assert "No module named 'pyroute2'" in links["text"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (an_address(socket.AF_INET, 24, 3, attribute(IFA_ADDRESS, bytes([192, 0, 2, 1]))), "192.0.2.1/24"),
        (
            an_address(socket.AF_INET6, 64, 3, attribute(IFA_ADDRESS, IPV6)),
            "2001:db8::1/64",
        ),
        (
            an_address(
                socket.AF_INET,
                32,
                3,
                attribute(IFA_ADDRESS, bytes([192, 0, 2, 9])),
                attribute(IFA_LOCAL, bytes([192, 0, 2, 1])),
                attribute(IFA_LABEL, b"eth0\0"),
            ),
            "192.0.2.1/32",
        ),
    ],
    ids=["IPv4", "IPv6", "point to point: the own end"],
)
def test_an_address_is_told_with_its_netdev(message: bytes, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (3, "eth0")])
    monkeypatch.setattr(child, "dumped", lambda *_: [message])
    assert child.addresses() == {"eth0": [expected]}


@pytest.mark.parametrize(
    "message",
    [
        an_address(socket.AF_INET, 24, 3),
        an_address(7, 24, 3, attribute(IFA_ADDRESS, b"\1\2\3\4")),
    ],
    ids=["without an address", "of another family"],
)
def test_what_is_no_ip_address_is_left_out(message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "dumped", lambda *_: [message])
    assert child.addresses() == {}


def dumps(monkeypatch: pytest.MonkeyPatch, *flags: int) -> list[int]:
    """Let the kernel answer with one message each time, with these flags in turn; return how often it was asked."""
    asked: list[int] = []

    def messages(kind: int, _: bytes) -> Iterator[tuple[int, int, bytes]]:
        asked.append(kind)
        yield child.RTM_NEWADDR, 2, f"dump {len(asked)}".encode()
        yield child.NLMSG_DONE, flags[len(asked) - 1], b""

    monkeypatch.setattr(child, "messages", messages)
    return asked


@pytest.mark.parametrize("interrupted", [1, 4])
def test_a_dump_that_a_change_interrupted_is_asked_for_again(interrupted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = dumps(monkeypatch, *[child.NLM_F_DUMP_INTR] * interrupted, 0)
    told = child.dumped(child.RTM_GETADDR, child.RTM_NEWADDR, b"")
    assert told == [f"dump {interrupted + 1}".encode()]
    assert len(asked) == interrupted + 1


def test_dumps_that_are_interrupted_again_and_again_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps(monkeypatch, *[child.NLM_F_DUMP_INTR] * child.DUMPS)
    with pytest.raises(InterruptedError):
        child.dumped(child.RTM_GETADDR, child.RTM_NEWADDR, b"")
