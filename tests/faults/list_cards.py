"""Faults of cards: PFs that lose their driver, disappear, are replaced, or hide their netdev (13.8, 13.9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import outside
from fault import Fault, Policy, fast, policy, the_same
from faulty_node import FaultyNode

from virtfn_host.core.values.reasons import Reason


@contextmanager
def pf_driver_unbound(node: FaultyNode) -> Iterator[None]:
    with outside.pf_without_driver(node, node.pf):
        yield


@contextmanager
def pf_removed(node: FaultyNode) -> Iterator[None]:
    outside.remove_pf(node, node.pf)
    yield
    outside.put_back(node, node.pf)


@contextmanager
def pf_replaced(node: FaultyNode) -> Iterator[None]:
    """Replace the PF by another card at its address."""
    assert node.fake is not None
    node.fake.remove_pf(node.pf)
    node.fake.add_pf(node.pf)
    device = node.fake.devices / str(node.pf) / "device"
    device.write_text("0x1521\n")
    yield
    device.write_text("0x10c9\n")


@contextmanager
def pf_gone_between_plan_and_write(node: FaultyNode) -> Iterator[None]:
    there = True

    def remove() -> None:
        nonlocal there
        if there:
            outside.remove_pf(node, node.other)
        there = False

    with outside.before_apply(remove):
        yield
    outside.put_back(node, node.other)


def by_ids(node: FaultyNode) -> Sequence[Policy]:
    device = {"vendor": "8086", "device": "10c9", "address": str(node.pf)}
    return (policy("fast", device, count=2, driver="vfio-pci"),)


def by_netdev(node: FaultyNode) -> Sequence[Policy]:
    """Return a policy that finds a PF by its netdev and asks for no VF."""
    node.uplink = next(iter(node.sysfs.names(node.sysfs.device(node.other, "net")) or ()), node.uplink)
    return (fast(node), policy("other", {"netdev": node.uplink}, count=0))


def other_too(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node), policy("other", {"address": str(node.other)}, count=1, driver="vfio-pci"))


FAULTS = (
    Fault(
        name="the PF has lost its driver",
        section="13.8",
        provoke=pf_driver_unbound,
        reason=Reason.PF_DRIVER_MISSING,
        message="^{pf}: has no driver, so it can make no VFs; load the driver of the PF",
    ),
    Fault(
        name="the card is unplugged",
        section="13.9",
        provoke=pf_removed,
        reason=Reason.DEVICE_GONE,
        message="^{pf}: the card that policy fast had there .* is not there any more",
        status=4,
    ),
    Fault(
        name="another card is at the address",
        section="13.9",
        provoke=pf_replaced,
        before=by_ids,
        asked=by_ids,
        status=4,
        reason=Reason.DEVICE_GONE,
        message=r"^{pf}: the card that policy fast had there \(8086:10c9",
        fake_only="the emulator plugs in no other card at an address",
    ),
    Fault(
        name="the card is unplugged between plan and write",
        section="13.9",
        provoke=pf_gone_between_plan_and_write,
        asked=other_too,
        after=the_same,
        words=("apply",),
        reason=Reason.STALE_SNAPSHOT,
        message="^{other}: .*{other} is not there any more",
        told=(Reason.NO_MATCHING_DEVICE, "^no SR-IOV device of this node has address {other}"),
    ),
    Fault(
        name="the netdev of a PF that is found by it is in another network namespace",
        section="13.9",
        provoke=outside.netdev_elsewhere("{other}"),
        before=by_netdev,
        asked=by_netdev,
        reason=Reason.CLAIM_KEPT,
        message=r"^{other}: was recognised by netdev \w+, and has no netdev now; policy other keeps it",
    ),
)
