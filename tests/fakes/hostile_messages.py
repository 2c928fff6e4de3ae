"""Hostile messages to a host process: valid ones, valid ones with one change, and plain garbage.

They come from a seed, so that a run can be repeated. Every message is one line. Messages that only cost time are left
out: the host process waits half a minute for VFs that never come.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

PF, OTHER, LOOSE, NOWHERE = "0000:01:00.0", "0000:02:00.0", "0000:20:00.0", "0000:7f:00.0"
"""Addresses on the fake machine: two PFs, the first with VFs; a function without a driver; and no function."""

HOLDER = {"address": PF, "cause": "kubelet", "pod": {"namespace": "a", "name": "b"}}
VFS = 7

LONGEST = 1_000_000
"""Longest message in bytes: one that is too long ends the connection, and with it all later messages."""

TEXTS: tuple[str, ...] = (
    "",
    ".",
    "..",
    "/",
    "../x",
    "../../../../somewhere",
    "/etc/passwd",
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "a/b",
    "a\0b",
    "x\0=3030\0/proc/sysrq-trigger\0=62\0",
    "a\nb",
    "\n",
    "\r\n",
    "-r",
    "--",
    "--version",
    "-C/run",
    "-d/run",
    " vfio-pci",
    "vfio-pci ",
    "vfio\tpci",
    "vfi\u043e-pci",
    "vfio\u2010pci",
    "vfio-pci\u200b",
    "\uff10",
    "\u0661",
    "a\u202eb",
    "x" * 64,
    "x" * 300,
    "x" * 5000,
    "\x7f",
    "\x1b[2J",
    "a=b",
    "a;id",
    "$(id)",
    "`id`",
    "%n%s",
    "*",
    "?",
    "[",
    "~root",
    "NaN",
    "vfio-pci",
    "igb",
    "igbvf",
    "pcieport",
    "no_such_module",
    "kernel",
    "(null)",
    "nvme",
    "0000:01:00.0",
    "0000:01:10.0",
    "0000:01:00.8",
    "10000:01:00.0",
    "0000:01:00.0\n",
    "0000:01:00.0/../..",
    "00:1.0",
    "virtfn0",
    "52:54:00:12:34:56",
    "auto",
    "/run/host.sock",
    "./evil.ko",
    "pci:v00008086d000010CAsv*",
    "Bind",
    "SetNumVfs",
    "done",
    "Stuck",
    "\U0001f4a9",
    "\ud800",
)

OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -0.0,
    1,
    -1,
    2,
    7,
    65534,
    65535,
    65536,
    2**31,
    2**32,
    2**63,
    2**64,
    -(2**63),
    10**18,
    1.5,
    1e308,
    [],
    {},
    [[]],
    [{}],
    {"kind": "Bind"},
    {"kind": None},
    {"": 0},
    [None],
    ["vfio-pci"],
)

FUNCTIONS: tuple[dict[str, Any], ...] = (
    *({"pf": PF, "index": index, "address": None} for index in (0, 3, VFS - 1)),
    {"pf": PF, "index": 0, "address": "0000:01:10.0"},
    {"pf": PF, "index": VFS, "address": None},
    {"pf": PF, "index": None, "address": PF},
    {"pf": LOOSE, "index": None, "address": LOOSE},
    {"pf": NOWHERE, "index": 1, "address": None},
)

LINKS: tuple[dict[str, Any], ...] = (
    {"mac": "52:54:00:12:34:56"},
    {"vlan": 100, "vlanQos": 0},
    {"trust": True},
    {"linkState": "auto"},
    {"maxTxRate": 100},
    {},
)

BYTES = bytes(b for b in range(256) if b != 0x0A)


class Messages:
    """Makes messages, one line each, and counts them by kind."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.kinds: dict[str, int] = {}
        self._ways: tuple[tuple[str, Callable[[], bytes], int], ...] = (
            ("valid", lambda: _line(self._request()), 4),
            ("valid but for one value", self._mutated, 50),
            ("valid but for some bytes", self._bent, 20),
            ("structural garbage", self._garbage, 18),
            ("bytes", self._noise, 8),
        )

    def __iter__(self) -> Iterator[bytes]:
        names, makers, weights = zip(*self._ways, strict=True)
        makers_of = dict(zip(names, makers, strict=True))
        while True:
            (kind,) = self._random.choices(names, weights)
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            yield makers_of[kind]().replace(b"\n", b" ")[:LONGEST] + b"\n"

    # --- what is meant well ---------------------------------------------------------------------------------------

    def _request(self) -> dict[str, Any]:
        word = self._random.choices(("apply", "ping", "observe"), (2000, 100, 1))[0]
        if word == "observe":
            return {word: self._random.choice((None, {}, {"links": False}))}
        return {word: self._plan() if word == "apply" else None}

    def _plan(self) -> dict[str, Any]:
        steps = [self._step() for _ in range(self._random.choice((0, 1, 1, 1, 2, 5)))]
        blocked = [{"device": PF, "reason": "VfsInUse", "message": "x", "holders": [HOLDER]}] * self._random.choice(
            (0, 0, 1)
        )
        displaces = [PF][: self._random.choice((0, 1))]
        return {"pfs": [{"pf": PF, "steps": steps, "blocked": blocked, "displaces": displaces}]}

    def _step(self) -> dict[str, Any]:
        pick = self._random.choice
        function = copy.deepcopy(pick(FUNCTIONS))
        return pick(
            (
                lambda: {"kind": "SetAutoprobe", "pf": pick((PF, NOWHERE)), "value": False, "expects": True},
                lambda: {
                    "kind": "SetNumVfs",
                    "pf": pick((PF, OTHER, NOWHERE)),
                    "value": pick((0, 4)),
                    "expects": pick((0, VFS)),
                },
                lambda: {"kind": "Settle", "pf": NOWHERE, "numVfs": 0},
                lambda: {"kind": "Unbind", "function": function, "expects": pick(("igbvf", "igb", "vfio-pci"))},
                lambda: {
                    "kind": "SetDriverOverride",
                    "function": function,
                    "value": pick(("vfio-pci", None)),
                    "expects": None,
                },
                lambda: {"kind": "Bind", "function": function, "driver": pick(("vfio-pci", "igb", "no_such_vfio"))},
                lambda: {"kind": "SetLink", "function": function, "value": dict(pick(LINKS)), "expects": None},
                lambda: {"kind": "SetMtu", "function": function, "value": pick((68, 9000)), "expects": None},
                lambda: {"kind": "Forget", "pf": pick((OTHER, NOWHERE))},
                # Requests that start a program each time are rarer.
                lambda: self._program(function),
            )
        )()

    def _program(self, function: dict[str, Any]) -> dict[str, Any]:
        if self._random.random() < 0.98:
            return {"kind": "Forget", "pf": NOWHERE}
        if self._random.random() < 0.5:
            return {"kind": "Probe", "function": function}
        return {"kind": "LoadModule", "pf": PF, "module": "no_such_module"}

    # --- and what is not ------------------------------------------------------------------------------------------

    def _mutated(self) -> bytes:
        message = self._request()
        if "ping" in message:
            message = {"apply": self._plan()}
        for _ in range(self._random.choice((1, 1, 1, 2, 4))):
            holder: Any = message
            while True:
                keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
                if not keys:
                    break
                key = self._random.choice(keys)
                if isinstance(holder[key], dict | list) and holder[key] and self._random.random() < 0.85:
                    holder = holder[key]
                    continue
                self._change(holder, key)
                break
        _never_wait(message)
        return _line(message)

    def _change(self, holder: Any, key: Any) -> None:
        match self._random.randrange(10):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[self._random.choice(TEXTS)] = self._value()
            case 2 if isinstance(holder, list):
                holder.extend([copy.deepcopy(holder[key])] * self._random.choice((1, 3, 40)))
            case 3:
                holder[key] = [holder[key]]
            case _:
                holder[key] = self._value()

    def _value(self) -> Any:
        if self._random.random() < 0.7:
            return self._random.choice(TEXTS)
        return copy.deepcopy(self._random.choice(OTHERS))

    def _bent(self) -> bytes:
        text = bytearray(_line({"apply": {"pfs": [{**self._plan()["pfs"][0], "steps": [self._step()]}]}}))
        if b"Settle" in text:
            text = bytearray(_line({"observe": None}))
        for _ in range(self._random.choice((1, 1, 2, 8))):
            at = self._random.randrange(len(text)) if text else 0
            match self._random.randrange(4):
                case 0:
                    text[at:at] = bytes((self._random.choice(BYTES),))
                case 1:
                    del text[at : at + self._random.choice((1, 2, 30))]
                case 2:
                    text[at : at + 1] = bytes((self._random.choice(BYTES),))
                case _:
                    text[at:at] = text[: self._random.randrange(40)]
        return bytes(text)

    def _garbage(self) -> bytes:
        some = self._random.choice((1, 3, 70, 500, 5000))
        return self._random.choice(
            (
                lambda: b"[" * some + b"]" * some,
                lambda: b'{"apply":' + b"[" * some,
                lambda: b'{"a":' * some + b"1" + b"}" * some,
                lambda: b'{"observe":' + b"9" * some + b"}",
                lambda: b'{"apply":"' + b"x" * some + b'"}',
                lambda: b'{"' + b"y" * some + b'":null}',
                lambda: b'{"ping":null,"ping":null}',
                lambda: (
                    b'{"ping":'
                    + self._random.choice((b"NaN", b"Infinity", b"-Infinity", b"1e999", b"00", b"'a'"))
                    + b"}"
                ),
                lambda: json.dumps(self._value()).encode(),
                lambda: json.dumps({str(self._value()): self._value() for _ in range(3)}).encode(),
                lambda: json.dumps({"apply": {"pfs": [{"pf": PF, "steps": [self._value()] * some}]}}).encode(),
                lambda: b'{"apply": {"pfs": [{"steps": [], "blocked": [' + b"0," * some + b"0]}]}}",
            )
        )()

    def _noise(self) -> bytes:
        return bytes(self._random.choices(BYTES, k=self._random.choice((0, 1, 10, 200))))


def _line(message: Any) -> bytes:
    return json.dumps(message).encode()


def _never_wait(value: Any) -> None:
    """Make numbers of VFs invalid: the host process waits for valid ones, which never come here."""
    if isinstance(value, dict):
        number = value.get("numVfs")
        if type(number) is int and 0 < number < 65536:
            value["numVfs"] = -number
        for item in value.values():
            _never_wait(item)
    elif isinstance(value, list):
        for item in value:
            _never_wait(item)
