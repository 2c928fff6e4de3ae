"""Send hostile messages to a real host process on a fake machine; check what it did and whether anything is left."""

import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from host_process import LAST, HostProcess, strace
from hostile_messages import LOOSE, PF, VFS, Messages
from kernel import FakeKernel
from traced import Trace

from virtfn_host.core.values.address import PciAddress

TOGETHER = 64 << 10
"""Bytes of messages sent before their answers are read: what fits into a socket. A longer message is sent alone."""

A_CONNECTION = 3000
"""Messages on one connection."""

MEMORY = 128 << 10
"""Limit of the process's memory, in KiB."""

ATTRIBUTES = frozenset(
    {"sriov_numvfs", "sriov_drivers_autoprobe", "driver_override", "bind", "unbind", "drivers_probe"}
)
"""Attributes that may be written; not imported from the product, because this proof must not trust its list."""

_LAST = tuple(f'{{"{word}"'.encode() for word in LAST)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a run."""

    tried: int
    kinds: dict[str, int]
    answers: dict[str, int]
    calls: dict[str, int]
    """Calls that opened for writing, made or ran something; empty without strace."""
    violations: tuple[str, ...]
    kibibytes: int
    """The most memory that the process had, in KiB."""
    traced: bool


def run(number: int, seed: int, folder: Path, told: Callable[[str], None] = lambda _: None) -> Outcome:
    """Send that many messages, in portions; call `told` with the progress."""
    kernel = machine(folder / "m")
    messages = Messages(seed)
    stream = iter(messages)
    answers: Counter[str] = Counter()
    violations: list[str] = []
    sent, began = 0, time.monotonic()
    with ExitStack() as stack:
        trace = Trace(folder, lambda call, paths: _allowed(call, paths, folder)) if strace() else None
        if trace is not None:
            stack.callback(trace.end)
        host = HostProcess(folder, kernel, under=trace.command if trace is not None else ())
        stack.callback(host.end)
        before = _warm(host)
        while sent < number:
            with host.connect(60.0) as client:
                for portion in _portions(islice(stream, min(A_CONNECTION, number - sent))):
                    answers += _exchange(client, portion)
                    sent += len(portion)
            if not sent % (A_CONNECTION * 10):
                told(f"{sent} messages, {time.monotonic() - began:.0f} s, {host.kibibytes()} KiB")
        for size in (1 << 20, 3 << 20):
            with host.connect() as client:
                client.sendall(b"x" * (size + 1) + b"\n")
                answers += _read(client, 1)
        violations += _left(host, before)
        kibibytes = host.kibibytes("VmHWM")
        if kibibytes > MEMORY:
            violations.append(f"{kibibytes} KiB of memory")
        if "Traceback" in host.log():
            violations.append("an unexpected exception: " + host.log()[host.log().index("Traceback") :][:2000])
    if sum(answers.values()) != number + 2:
        violations.append(f"{sum(answers.values())} answers to {number + 2} messages")
    return Outcome(
        tried=number,
        kinds=messages.kinds,
        answers=dict(answers),
        calls=dict(trace.calls) if trace is not None else {},
        violations=(*violations, *(trace.violations if trace is not None else ())),
        kibibytes=kibibytes,
        traced=trace is not None,
    )


def machine(root: Path) -> FakeKernel:
    """Make a machine with two PFs, the first with VFs on their network driver, and one function without a driver."""
    kernel = FakeKernel(root, pfs=2, total_vfs=VFS)
    kernel.register("vfio-pci")
    kernel._set_num_vfs(PciAddress.parse(PF), VFS)
    kernel.add_pf(PciAddress.parse(LOOSE), 0)
    kernel._unbind(PciAddress.parse(LOOSE))
    for alias in kernel.devices.glob("*/modalias"):
        alias.write_text("pci:v0000FFFFd0000FFFFsv0000FFFFsd0000FFFFbcFFscFFiFF\n")  # a modalias that no module matches
    # The host process writes into plain files here: nothing reacts, so every plan finds the same machine.
    return kernel


def _warm(host: HostProcess) -> tuple[int, int, int]:
    """Let the process start all children that it keeps; return its threads, files and children."""
    assert host.last("observe")[0] == "observation"
    steps = [
        {"kind": "SetAutoprobe", "pf": PF, "value": False, "expects": True},
        {"kind": "SetNumVfs", "pf": PF, "value": 0, "expects": VFS},
        {
            "kind": "SetLink",
            "function": {"pf": PF, "index": 0, "address": None},
            "value": {"trust": True},
            "expects": None,
        },
    ]
    assert host.last("apply", {"pfs": [{"pf": PF, "steps": steps}]})[0] == "report"
    assert host.last("observe", {"links": True})[0] == "observation"
    time.sleep(0.2)
    return host.threads(), host.files(), len(host.children())


def _portions(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    portion: list[bytes] = []
    size = 0
    for message in messages:
        if portion and size + len(message) > TOGETHER:
            yield portion
            portion, size = [], 0
        portion.append(message)
        size += len(message)
    if portion:
        yield portion


def _exchange(client: socket.socket, portion: Sequence[bytes]) -> Counter[str]:
    client.sendall(b"".join(portion))
    return _read(client, len(portion))


def _read(client: socket.socket, number: int) -> Counter[str]:
    """Read that many answers; count them by the word that ends them."""
    found: Counter[str] = Counter()
    rest = b""
    while sum(found.values()) < number:
        part = client.recv(1 << 20)
        if not part:
            return found
        *lines, rest = (rest + part).split(b"\n")
        found.update(line[2 : line.index(b'"', 2)].decode() for line in lines if line.startswith(_LAST))
    return found


def _left(host: HostProcess, before: tuple[int, int, int]) -> list[str]:
    if not host.alive():
        return ["the process is gone: " + host.log()[-2000:]]
    if not host.settle(*before):
        now = (host.threads(), host.files(), len(host.children()))
        return [f"threads, files and children are {now}, were {before}"]
    return [] if host.last("ping") == ("pong", None) else ["it does not answer any more"]


OURS = ("journal.json", "tries.json")
"""Files that the process writes."""


def _allowed(call: str, paths: Sequence[str], folder: Path) -> bool:
    """Whether a call is on the list of allowed ones."""
    path = paths[0] if paths else ""
    if call == "execve":
        return _program(paths)
    if call.startswith("open"):
        return _may_be_opened(path, folder)
    if call in ("rename", "renameat", "renameat2"):
        return _is_temporary(path, folder) and paths[1] in (str(folder / "state" / name) for name in OURS)
    if call in ("mkdir", "mkdirat"):
        return path in (str(folder / "run"), str(folder / "state"))
    if call in ("unlink", "unlinkat"):
        ended = (str(folder / "run/host.sock"), str(folder / "state/tries.json"))
        return path in ended or _is_temporary(path, folder)
    if call == "bind":  # the process's socket, or netlink's, which has no path
        return path in ("", str(folder / "run/host.sock"))
    return False


def _may_be_opened(path: str, folder: Path) -> bool:
    root = folder / "m"
    if path.startswith(f"{root}/sys/bus/pci/"):
        return ".." not in path and Path(path).name in ATTRIBUTES
    group = re.fullmatch(re.escape(f"{root}/dev/vfio/") + r"(vfio|[0-9]+)", path)
    return group is not None or _is_temporary(path, folder) or path == "/dev/null"


def _is_temporary(path: str, folder: Path) -> bool:
    return re.fullmatch(re.escape(f"{folder}/state/.") + r"(journal|tries)\.json\.\w+\.new", path) is not None


def _program(words: Sequence[str]) -> bool:
    """Whether a program may run: Python as we start it, and modprobe with one name or alias."""
    if words[0] == sys.executable:
        return words[2:5] == ["-I", "-S", "-B"] or words[2:4] == ["-m", "virtfn_host.process.serve"]
    name = words[-1]
    return Path(words[0]).name == "modprobe" and words[2:-1] == ["--"] and re.fullmatch(r"[\w:-]+", name) is not None
