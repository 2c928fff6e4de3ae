"""Asks rtnetlink about network functions: link settings of VFs, through their PF, and IP addresses.

A child process (`child.py`) asks, with a deadline, because a driver that hangs may hold rtnetlink's lock for ever. The
child starts with the first question, so a node without link settings pays nothing.
"""

import errno as errnos
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from virtfn_host.core.values.codec import CodecError, decode, encode
from virtfn_host.core.values.model import VfLink
from virtfn_host.linux.errors import NetlinkError, NetlinkRefusedError
from virtfn_host.linux.touch.child import ENVIRONMENT, make_pipes

START_DEADLINE = 30.0
"""Seconds for the child to start, and to load its library. That takes 0.4 s, and ten times as long on a loaded or
emulated CPU."""

ASK_DEADLINE = 5.0
"""Seconds for one answer, which takes a few milliseconds."""

T = TypeVar("T")

_PROGRAM = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownVf:
    """One VF as its PF's netdev shows it."""

    index: int
    link: VfLink


@dataclass(frozen=True, slots=True, kw_only=True)
class PfLinks:
    """A PF's netdev and its VFs: one answer, because a plan needs all of it at once."""

    ifindex: int
    up: bool
    mac: str | None
    """The permanent address; the present one where the driver does not tell a permanent one."""
    vfs: tuple[ShownVf, ...]

    def vf(self, index: int) -> VfLink | None:
        """The link settings of a VF, or None where the VF is not shown."""
        return next((vf.link for vf in self.vfs if vf.index == index), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMtu:
    """The MTU of a netdev, and its driver's limits; 0 or None: it tells none."""

    ifindex: int
    now: int
    least: int | None
    most: int | None


class Netlink:
    """Asks about netdevs of the host's network namespace, which is that of process 1. Safe to use from threads."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._namespace = proc / "1/ns/net"
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def links(self, netdev: str | int) -> PfLinks:
        """Return a netdev, told by its name or its ifindex, and its VFs.

        Raises:
            NetlinkRefusedError: there is no such netdev, or another errno.
            NetlinkError: no answer.
        """
        return _read(PfLinks, self._ask_library({"links": netdev}))

    def addresses(self) -> Mapping[str, tuple[str, ...]]:
        """Return IPv4 and IPv6 addresses by netdev; netdevs without addresses are left out.

        Raises:
            NetlinkError: no answer.
        """
        return {str(name): tuple(texts) for name, texts in self._ask({"addresses": None}).items()}

    def other_names(self) -> Mapping[str, tuple[str, ...]]:
        """Return the alternative names by netdev, sorted; netdevs without any are left out.

        Raises:
            NetlinkError: no answer.
        """
        return {str(name): tuple(sorted(map(str, others))) for name, others in self._ask({"names": None}).items()}

    def permanent_addresses(self) -> Mapping[str, str]:
        """Return the permanent address by netdev, lower case with colons; netdevs that tell none are left out.

        Raises:
            NetlinkError: no answer.
        """
        return {str(name): str(address) for name, address in self._ask({"permanent": None}).items()}

    def set_vf(self, ifindex: int, index: int, setting: VfLink) -> None:
        """Set one group of link settings of a VF; every field of the group is given.

        The netdev is told by its ifindex, which no other ever gets while this network namespace lives as long as the
        counter does not wrap; its name may be another netdev's a moment later.

        Raises:
            NetlinkRefusedError: the kernel or the PF's driver refused.
            NetlinkError: no answer; the setting may have been made, or be made later.
        """
        fields = {key: value for key, value in encode(setting).items() if value is not None}
        self._ask_library({"set": {"ifindex": ifindex, "index": index, "setting": fields}})

    def mtu(self, netdev: str | int) -> ShownMtu:
        """Return the MTU of a netdev, told by its name or its ifindex, and its limits.

        Raises:
            NetlinkRefusedError: there is no such netdev, or another errno.
            NetlinkError: no answer.
        """
        return _read(ShownMtu, self._ask_library({"mtu": netdev}))

    def set_mtu(self, ifindex: int, value: int) -> None:
        """Set the MTU of a netdev, which is told as above.

        Raises:
            NetlinkRefusedError: the kernel or the driver refused.
            NetlinkError: no answer; it may have been set, or be set later.
        """
        self._ask_library({"setMtu": {"ifindex": ifindex, "mtu": value}})

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None

    def _ask_library(self, question: Mapping[str, object]) -> Any:
        """Ask what the child answers by its library, which it loads for the first such question."""
        return self._ask(question, library=True)

    def _ask(self, question: Mapping[str, object], *, library: bool = False) -> Any:
        with self._lock:
            child = self._ready()
            try:
                if library and not child.has_library:
                    _value(child.ask({"library": None}, START_DEADLINE), START_DEADLINE)
                    child.has_library = True
                answer = child.ask(question, ASK_DEADLINE)
            except (ChildProcessError, OSError) as error:
                child.end()
                self._child = None
                raise NetlinkError(f"netlink: {error}") from error
        return _value(answer, ASK_DEADLINE)

    def _ready(self) -> "_Child":
        if self._child is None:
            found = importlib.util.find_spec("pyroute2")
            if found is None or found.origin is None:
                text = "link settings and addresses need pyroute2 (pip install 'virtfn[host]')"
                raise NetlinkError(f"{text}; functions without a netdev work without it")
            try:
                self._namespace.stat()
            except OSError as error:
                text = f"{self._namespace}: {error.strerror}, so virtfn cannot tell which netdevs are the host's"
                raise NetlinkError(f"{text}; run it as root of this machine") from error
            try:
                child = _Child(str(self._namespace), str(Path(found.origin).parent.parent))
            except OSError as error:
                raise NetlinkError(f"no process to speak netlink with: {error.strerror or error}") from error
            try:
                answer = child.answer(START_DEADLINE)
            except ChildProcessError as error:
                child.end()
                raise NetlinkError(
                    "netlink: the process that speaks it ended at once; see its standard error"
                ) from error
            if answer is None or "errno" in answer:
                child.end()
                if answer is None:
                    raise NetlinkError(f"the process that speaks netlink was not ready in {START_DEADLINE:.0f} s")
                raise NetlinkRefusedError(int(answer["errno"]), str(answer["text"]))
            self._child = child
        return self._child


class Addresses:
    """Addresses by netdev; the first question looks them up, further ones use that answer."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._found: Mapping[str, tuple[str, ...]] | None = None

    def of(self, netdev: str) -> tuple[str, ...]:
        """Return the addresses of one netdev.

        Raises:
            NetlinkError: no answer.
        """
        if self._found is None:
            self._found = self._netlink.addresses()
        return self._found.get(netdev, ())


class _Child:
    """The process, its two pipes, and how many late answers it still owes: those are thrown away."""

    def __init__(self, namespace: str, folder: str) -> None:
        (read_end, self._questions), (self._answers, write_end) = make_pipes(2)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(_PROGRAM), namespace, folder],
                cwd="/",
                env=ENVIRONMENT,
                stdin=read_end,
                stdout=write_end,
                close_fds=True,
                start_new_session=True,
            )
        except OSError:
            os.close(self._questions)
            os.close(self._answers)
            raise
        finally:
            os.close(read_end)
            os.close(write_end)
        self._answered = select.poll()
        self._answered.register(self._answers, select.POLLIN)
        self._owes = 0
        self._rest = b""
        self.has_library = False
        """Whether it has loaded its library, which takes longer than an answer."""

    def ask(self, question: Mapping[str, object], seconds: float) -> dict[str, Any] | None:
        """Return the answer, or None when it is late; then further questions get None at once until it has come."""
        while self._owes:
            if self.answer(0) is None:
                return None
            self._owes -= 1
        os.write(self._questions, json.dumps(question).encode() + b"\n")
        answer = self.answer(seconds)
        self._owes += answer is None
        return answer

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """Return the next line, or None when it does not come within so many seconds."""
        while b"\n" not in self._rest:
            if not self._answered.poll(seconds * 1000):
                return None
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise ChildProcessError("the process that speaks it ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Kill the process; a blocked one ends when its call returns."""
        self._process.kill()
        os.close(self._questions)
        os.close(self._answers)
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.returncode = -9  # Do not wait for it: it is blocked in the kernel.


def _value(answer: Mapping[str, Any] | None, seconds: float) -> Any:
    """Return the value of an answer.

    Raises:
        NetlinkRefusedError: it is a refusal.
        NetlinkError: there is none.
    """
    if answer is None:
        raise NetlinkError(f"netlink has not answered in {seconds:.0f} s: a network driver hangs; see the kernel log")
    if "errno" in answer:
        raise NetlinkRefusedError(int(answer["errno"]), str(answer.get("text", "")))
    return answer.get("value")


def _read(kind: type[T], value: object) -> T:
    try:
        found: T = decode(kind, value, kind.__name__)
    except CodecError as error:
        raise NetlinkRefusedError(errnos.EPROTO, str(error)) from error
    return found
