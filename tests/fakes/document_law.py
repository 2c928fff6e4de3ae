"""The law of our documents: whatever happens to a file, it is refused in the documented way or read as it was meant.

A document with its original checksum means the value that was written. One with a new checksum, or of version 1 without
one, means what its JSON says in the fields that the reader knows. Any other value, any other exception and any answer
after more than a second breaks the law.
"""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from document_mutations import mutated

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.envelope import checksum_of
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.model import Original, OriginalOwn, OriginalVf, VfLink
from virtfn_host.core.values.offered import (
    Allocation,
    DevicePool,
    Grant,
    Grants,
    Ledger,
    PoolDevice,
    PoolSet,
    Registration,
    Registrations,
)
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.tries import Destruction, Other, Repeat, Tried, Tries
from virtfn_host.linux import documents, poolfile
from virtfn_host.linux.act.journal import Journal, _Entries
from virtfn_host.linux.act.tries import TriesFile
from virtfn_host.linux.errors import HostError

BOOT = "0b7e1234-aaaa-bbbb-cccc-001122334455"
LONGEST = 1.0
"""CPU seconds that an answer may take; the wall clock would also count time spent waiting for a processor."""
HANGS = 30.0
"""Seconds after which a reader counts as hanging."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of document: how it is written and read, and its value."""

    name: str
    path: Path
    write: Callable[[], object]
    read: Callable[[], object]
    value: object

    @property
    def good(self) -> bytes:
        """The file as the product writes it."""
        self.write()
        return self.path.read_bytes()


def kinds(folder: Path) -> tuple[Kind, ...]:
    """Return each kind of our files, with every field that it can have."""
    vfs = [PciAddress(0, 1, 0x10, number) for number in range(4)]
    devices = [
        PoolDevice(address=vf, driver="vfio-pci", numa_node=n % 2, healthy=n != 2, reason=None)
        for n, vf in enumerate(vfs)
    ]
    devices[2] = PoolDevice(
        address=vfs[2],
        driver="igbvf",
        numa_node=None,
        healthy=False,
        reason=Reason.RECONFIGURING,
        message="a change is about to touch it",
        no_iommu=True,
        require_link=True,
        link=VfLink(vlan=5, trust=True, mac="02:00:00:00:00:01", max_tx_rate=1000),
        mtu=9000,
    )
    pools = PoolSet(boot_id=BOOT, pools=(DevicePool(resource_name="virtfn.dev/fast", devices=tuple(devices)),))
    allocations = [
        Allocation(address=vf, resource_name="virtfn.dev/fast", at=1.79e9 + n / 4) for n, vf in enumerate(vfs)
    ]
    ledger = Ledger(boot_id=BOOT, allocations=tuple(allocations))
    names: dict[str, Any] = {"resource_name": "virtfn.dev/fast", "boot_id": BOOT}
    more = Extras(iommufd=True, cdi=Cdi(gid=107, mode="0660"))
    grants = Grants(
        grants=(
            Grant(address=vfs[0], driver="vfio-pci", nodes=("/dev/vfio/vfio", "/dev/vfio/12"), **names),
            Grant(
                address=vfs[1], driver="vfio-pci", nodes=("/dev/iommu", "/dev/vfio/devices/vfio3"), extras=more, **names
            ),
            Grant(address=vfs[2], driver="igbvf", nodes=(), device_info=64 * "a", specs=True, **names),
        )
    )
    said = Registration(resource_name="virtfn.dev/fast", registered=False, since=9.5, refusal="no")
    registrations = Registrations(boot_id=BOOT, registrations=(said,))
    link = VfLink(vlan=5, trust=True, mac="02:00:00:00:00:01", max_tx_rate=1000)
    original = Original(
        address=PciAddress(0, 1, 0, 0),
        vendor="8086",
        device="10c9",
        num_vfs=2,
        autoprobe=True,
        vfs=(
            OriginalVf(index=0, driver="igbvf", driver_override=None, link=link),
            OriginalVf(index=1, driver=None, driver_override="vfio-pci"),
        ),
        own=OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0", "lan")),
    )
    journal = Journal(folder / "journal.json")
    tries = TriesFile(folder / "tries.json", BOOT)
    tried = Tried(
        pf=original.address,
        wish="0123abcd",
        standing="8086:10c9 igb 4242 up",
        repeats=(Repeat(kind=Destruction.RESIZE, index=None, times=1),),
        number=Other(text="asked for 8, the driver made 16", times=2, at=1234.5, num_vfs=16),
        binding=Other(text="asked for vfio-pci, it is igbvf", times=1, at=1235.5),
        setting=Other(text="asked for mtu 9000, eth1 shows mtu 4000", times=1, at=1236.5),
    )
    return (
        _kind("pool file", folder / "pools.json", pools, poolfile.write, poolfile.read),
        _kind("ledger", folder / "ledger.json", ledger, poolfile.write_ledger, poolfile.read_ledger),
        _kind(
            "registrations",
            folder / "registrations.json",
            registrations,
            poolfile.write_registrations,
            poolfile.read_registrations,
        ),
        _kind("grants", folder / "grants.json", grants, poolfile.write_grants, poolfile.read_grants),
        Kind(
            name="journal",
            path=journal.path,
            write=lambda: journal._write([original]),
            read=lambda: _Entries(originals=journal.originals()),
            value=_Entries(originals=(original,)),
        ),
        Kind(
            name="tries",
            path=folder / "tries.json",
            write=lambda: tries.replace(tried.pf, tried),
            read=lambda: documents.read(Tries, folder / "tries.json"),
            value=Tries(boot_id=BOOT, tried=(tried,)),
        ),
    )


def _kind(name: str, path: Path, value: T, write: Callable[[Path, T], None], read: Callable[[Path], T | None]) -> Kind:
    return Kind(name=name, path=path, write=lambda: write(path, value), read=lambda: read(path), value=value)


class DocumentLaw:
    """Tries variants of one kind of document; counts the results and collects violations."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind = kind
        self.counted: Counter[str] = Counter()
        self.violations: list[str] = []
        self._random = random.Random(f"{kind.name} {seed}")
        self._good = kind.good
        self._fd = os.open(kind.path, os.O_WRONLY)

    def every_truncation(self) -> None:
        """Try the file cut off after each byte."""
        for size in range(len(self._good)):
            self._try("truncated", self._good[:size])

    def bit_flips(self, number: int) -> None:
        """Flip each bit alone, then several together."""
        bits = len(self._good) * 8
        for turn in range(number):
            flips = [turn] if turn < bits else self._random.sample(range(bits), self._random.randint(2, 8))
            data = bytearray(self._good)
            for bit in flips:
                data[bit // 8] ^= 1 << bit % 8
            self._try("bits flipped", bytes(data))

    def generated(self, number: int) -> None:
        """Try documents with changed values: with the original checksum, a new one, or none."""
        value = encode(self.kind.value)
        name = type(self.kind.value).__name__
        for _ in range(number):
            told = mutated(value, self._random)
            document = json.loads(self._good)
            document["value"] = told
            how = self._random.choice(("old seal", "new seal", "version 1", "wrapped anew"))
            if how == "new seal":
                with contextlib.suppress(ValueError, RecursionError):
                    document["checksum"] = checksum_of(document)
            elif how == "version 1":
                document = {"version": 1, "kind": name, "value": told}
            elif how == "wrapped anew":
                document = mutated(document, self._random)
            try:
                data = json.dumps(document, ensure_ascii=self._random.random() < 0.5).encode(errors="surrogatepass")
            except RecursionError:
                continue
            self._try(f"generated, {how}", data, told if how in ("new seal", "version 1") else None)

    def strange_texts(self) -> None:
        """Try texts that are not a document of any version."""
        deep = b"[" * 100_000
        wrapped = self._good.replace(b'"value":', b'"value":' + deep + b"]" * 100_000 + b',"value":')
        twice = self._good[:-2] + b',"version":2}'
        texts = (
            b"",
            b"\0" * 4096,
            b"null",
            b"[]",
            b"{}",
            deep,
            wrapped,
            twice,
            self._good * 2,
            b"\xef\xbb\xbf" + self._good,
        )
        for data in (*texts, self._good.decode().encode("utf-16"), b"9" * 5000, b"Infinity", b"x" * (4 << 20)):
            self._try("strange text", data)

    def strange_files(self) -> None:
        """Try things in the file's place: not a regular file, or not ours."""
        path, good = self.kind.path, self._good
        nodes = {"a device without end": (1, 5), "a device that is empty": (1, 3)}
        makers: dict[str, Callable[[], object]] = {
            "a folder": path.mkdir,
            "a fifo": lambda: os.mkfifo(path),
            "a link to nothing": lambda: path.symlink_to("nowhere"),
            "a link to itself": lambda: path.symlink_to(path.name),
            "a link to a device": lambda: path.symlink_to("/dev/zero"),
            "a link to a good one": lambda: _link_to(path, good),
            "a sparse GiB": lambda: _sparse(path, 1 << 30),
            "written by all": lambda: _written_by_all(path, good),
            **{name: lambda number=number: _node(path, number) for name, number in nodes.items()},  # type: ignore[misc]
        }
        for name, make in makers.items():
            path.unlink()
            try:
                make()
            except PermissionError:  # only some users may make a device
                self.counted["not tried: no right to make a device"] += 1
            else:
                self._answer(name, refused=True)
            _remove(path)
            self.kind.write()
        self._again()

    def kills(self, number: int) -> None:
        """Kill a writer at one of its calls: the file stays whole, and the next write leaves no temporary file."""
        for _ in range(number):
            died = killed(self.kind.write, self._random.randrange(1, 16))
            self._answer("writer killed" if died else "writer not killed", refused=False)
            self.counted["temporary files left by killed writers"] += len(self._beside())
            self.kind.write()
            if beside := self._beside():
                self.violations.append(f"{self.kind.name}: left after a kill and a write: {beside}")
        self._again()

    def _beside(self) -> list[str]:
        return [path.name for path in self.kind.path.parent.iterdir() if path.name.startswith(".")]

    def _again(self) -> None:
        os.close(self._fd)
        self._fd = os.open(self.kind.path, os.O_WRONLY)

    def _try(self, what: str, data: bytes, told: object = None) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)
        began = time.thread_time()
        found = _asked(self.kind.read)
        if (took := time.thread_time() - began) > LONGEST:
            self.violations.append(f"{self.kind.name}, {what}: took {took:.1f} s: {data[:200]!r}")
        if found == self.kind.value and told is None:
            answer = "read as it was"
        elif isinstance(found, HostError):
            answer = "refused"
        elif told is not None and not isinstance(found, BaseException) and agrees(told, encode(found)):
            answer = "read as it says"
        else:
            answer = "VIOLATED"
            self.violations.append(f"{self.kind.name}, {what}: {found!r:.300} of {data!r:.600}")
        self.counted[f"{what}: {answer}"] += 1

    def _answer(self, what: str, *, refused: bool) -> None:
        """Read in a thread, because a hanging reader would hang the proof."""
        answers: list[tuple[object, float]] = []
        asking = threading.Thread(
            target=lambda: answers.append((_asked(self.kind.read), time.thread_time())), daemon=True
        )
        asking.start()
        asking.join(HANGS)
        found, took = answers[0] if answers else ("no answer", HANGS)
        right = took < LONGEST and (isinstance(found, HostError) if refused else found == self.kind.value)
        self.counted[f"{what}: {('refused' if refused else 'whole') if right else 'VIOLATED'}"] += 1
        if not right:
            self.violations.append(f"{self.kind.name}, {what}: {found!r:.300} after {took:.1f} s")


def agrees(told: Any, read: Any) -> bool:
    """Whether the value read is what the JSON said, apart from omitted and unknown fields."""
    if isinstance(told, dict) and isinstance(read, dict):
        known = all(agrees(told[key], read[key]) for key in told.keys() & read.keys())
        return known and all(read[key] in (None, False) for key in read.keys() - told.keys())
    if read == Reason.UNREADABLE and isinstance(told, str):
        return told not in tuple(Reason) or told == read
    if isinstance(told, list) and isinstance(read, list):
        return len(told) == len(read) and all(map(agrees, told, read))
    if type(told) is int and type(read) is float:
        return told == read
    return type(told) is type(read) and bool(told == read)


def _asked(read: Callable[[], object]) -> object:
    try:
        return read()
    except BaseException as error:  # any exception is the answer
        return error


def _sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


def _link_to(path: Path, good: bytes) -> None:
    path.with_name("good").write_bytes(good)
    path.symlink_to("good")


def _written_by_all(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    path.chmod(0o666)


def _node(path: Path, number: tuple[int, int]) -> None:
    os.mknod(path, 0o20600, os.makedev(*number))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


CALLS = ("open", "write", "fchmod", "fsync", "replace", "fstat", "close", "stat")


def killed(write: Callable[[], object], at: int, calls: Sequence[str] = CALLS, *, half: bool = False) -> bool:
    """Run `write` in a process that dies before its call number `at`; return whether it came that far.

    Args:
        write: writes the document.
        at: number of the call, from 0 on.
        calls: functions of `os` that count.
        half: whether it dies in the middle of that call, which must be a write.
    """
    child = os.fork()
    if child == 0:
        try:
            left = iter(range(at))
            for name in calls:
                setattr(os, name, _dying(getattr(os, name), left, half))
            write()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _dying(real: Callable[..., Any], left: Iterator[int], half: bool) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        if next(left, None) is None:
            if half:
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **named)

    return call


def tried(
    chosen: Sequence[Kind],
    *,
    flips: int,
    generated: int,
    kills: int,
    seed: int,
    made: Callable[[Any, int], "DocumentLaw"] = DocumentLaw,
) -> tuple[Counter[str], Sequence[str]]:
    """Try everything with each kind, by the law that is made for it; return how often each result came, and the
    violations.
    """
    counted: Counter[str] = Counter()
    violations: list[str] = []
    for kind in chosen:
        law = made(kind, seed)
        law.every_truncation()
        law.bit_flips(flips)
        law.generated(generated)
        law.strange_texts()
        law.strange_files()
        law.kills(kills)
        counted += Counter({f"{kind.name}: {what}": times for what, times in law.counted.items()})
        violations += law.violations
    return counted, violations
