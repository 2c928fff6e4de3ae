"""Faults of results: a write succeeds, and the driver made something else than asked (13.10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import other_results
from fault import Fault, and_other, fast
from faulty_node import FaultyNode

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason

IN_TIME = "no emulated driver makes another number of VFs than asked"
BY_ITSELF = "no driver of the emulated cards goes elsewhere by itself"

Provoke = Callable[[FaultyNode], AbstractContextManager[None]]


def makes(instead: other_results.Makes) -> Provoke:
    """Let the driver of the second PF make another number of VFs."""

    @contextmanager
    def making(node: FaultyNode) -> Iterator[None]:
        assert node.fake is not None
        node.fake.instead.makes[node.other] = instead
        yield
        node.fake.instead.makes.clear()

    return making


@contextmanager
def none_while_down(node: FaultyNode) -> Iterator[None]:
    """Let the driver of the second PF make VFs only while its netdev is up, as bnxt_en does; the repair sets it up."""
    assert node.fake is not None
    (netdev,) = (node.fake.devices / str(node.other) / "net").iterdir()
    flags = netdev / "flags"
    down = flags.read_text()
    node.fake.instead.makes[node.other] = lambda asked, _: 0 if flags.read_text() == down else asked
    yield
    flags.write_text("0x1003\n")


@contextmanager
def ends_elsewhere(node: FaultyNode) -> Iterator[None]:
    """Let the first VF of the second PF go to its network driver at each bind."""
    assert node.fake is not None
    node.fake.instead.ends_on[_first_of_other(node)] = "igbvf"
    yield
    node.fake.instead.ends_on.clear()


@contextmanager
def override_does_not_take(node: FaultyNode) -> Iterator[None]:
    """Let the first VF of the second PF keep its override."""
    assert node.fake is not None
    node.fake.instead.deaf.add(_first_of_other(node))
    yield
    node.fake.instead.deaf.clear()


def _first_of_other(node: FaultyNode) -> PciAddress:
    return PciAddress(node.other.domain, node.other.bus, 0x10, 0)


@contextmanager
def tries_damaged(node: FaultyNode) -> Iterator[None]:
    """Put something else in the place of the tries."""
    file = node.journal.with_name("tries.json")
    file.write_text("{")
    file.chmod(0o600)
    yield
    file.unlink()


DO = ("apply",)
OTHER = Reason.DRIVER_MADE_OTHER
ALONE = lambda node: (fast(node),)  # noqa: E731

FAULTS = (
    Fault(
        name="the driver makes more VFs than asked",
        section="13.10",
        provoke=makes(other_results.MORE),
        asked=and_other(count=1, driver="vfio-pci"),
        after=ALONE,
        words=DO,
        reason=OTHER,
        message="^{other}: wait for 1 VFs: asked for 1, the driver made 7; .* count: 7",
        fake_only=IN_TIME,
    ),
    Fault(
        name="the driver makes fewer VFs than asked",
        section="13.10",
        provoke=makes(other_results.FEWER),
        asked=and_other(count=3, driver="vfio-pci", indexes="0-2"),
        after=ALONE,
        words=DO,
        reason=OTHER,
        message="^{other}: wait for 3 VFs: asked for 3, the driver made 2; .* ask for 2, or free some",
        fake_only=IN_TIME,
    ),
    Fault(
        name="the driver makes no VFs though the write succeeds",
        section="13.10",
        provoke=makes(other_results.NONE),
        asked=and_other(count=2, driver="vfio-pci"),
        after=ALONE,
        words=DO,
        reason=OTHER,
        message="^{other}: wait for 2 VFs: asked for 2, the driver made 0 though the write succeeded; see the kernel",
        fake_only=IN_TIME,
    ),
    Fault(
        name="the driver makes no VFs while its netdev is down",
        section="13.10",
        provoke=none_while_down,
        asked=and_other(count=1, driver="vfio-pci"),
        words=DO,
        reason=OTHER,
        message="^{other}: wait for 1 VFs: asked for 1, the driver made 0 .*: ip link set eth2v00 up",
        fake_only=IN_TIME,
    ),
    Fault(
        name="a bind that succeeds ends on another driver",
        section="13.10",
        provoke=ends_elsewhere,
        asked=and_other(count=1, driver="vfio-pci"),
        after=ALONE,
        words=DO,
        reason=OTHER,
        message="^VF 0 of {other}.*: bind to vfio-pci: asked for vfio-pci, driver of .* is igbvf though .* succeeded",
        fake_only=BY_ITSELF,
    ),
    Fault(
        name="an override does not take",
        section="13.10",
        provoke=override_does_not_take,
        asked=and_other(count=1, driver="vfio-pci"),
        after=ALONE,
        words=DO,
        reason=OTHER,
        message="^VF 0 of {other}.*: set driver_override vfio-pci: asked for vfio-pci, driver_override of .* is none",
        fake_only=BY_ITSELF,
    ),
    Fault(
        name="the tries of virtfn are damaged",
        section="13.10",
        provoke=tries_damaged,
        asked=lambda node: (fast(node, count=3),),
        words=DO,
        reason=Reason.UNREADABLE,
        message="^{pf}: .*how often it was tried is not known: .*tries.json cannot be read: .*; no VF is made",
    ),
)
