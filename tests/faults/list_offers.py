"""Faults at the far end: the kubelet offers other functions than were published (13.13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fault import Fault
from faulty_node import FaultyNode

from virtfn_host.core.values.offered import Registration, Registrations
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot

FAST = "virtfn.dev/fast"
NO_KUBELET = "there is no kubelet on the machine of these tests"
WITHIN = 30.0


def offers(number: int, plugin: Registration | None = None) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Return a context in which the kubelet offers only so many of the functions. `plugin`: its own words."""

    @contextmanager
    def offered(node: FaultyNode) -> Iterator[None]:
        says = node.ledger_file.with_name("registrations.json")
        if plugin is not None:
            boot_id = node.sysfs.boot_id()
            poolfile.write_registrations(says, Registrations(boot_id=boot_id, registrations=(plugin,)))
        vfs = [str(address) for _, address in sorted(node.sysfs.vf_addresses(node.pf).items())]
        node.neighbours.offer = {FAST: frozenset(vfs[:number])}
        yield
        node.neighbours.offer = None
        says.unlink(missing_ok=True)

    return offered


@contextmanager
def node_shows_none(node: FaultyNode) -> Iterator[None]:
    node.neighbours.node_shows = {FAST: 0}
    yield
    node.neighbours.node_shows = None


def plugin(*, registered: bool, healthy: int, refusal: str = "") -> Registration:
    return Registration(resource_name=FAST, registered=registered, since=since_boot(), refusal=refusal, healthy=healthy)


FAULTS = (
    Fault(
        name="the kubelet offers nothing, and no device plugin runs",
        section="13.13",
        provoke=offers(0),
        words=(),
        reason=Reason.NOT_OFFERED,
        message=f"^{FAST}: published 2, the kubelet offers 0; the device plugin does not run on this node",
        within=WITHIN,
        fake_only=NO_KUBELET,
    ),
    Fault(
        name="the kubelet refuses the device plugin",
        section="13.13",
        provoke=offers(0, plugin(registered=False, healthy=2, refusal="the ResourceName is invalid")),
        words=(),
        reason=Reason.NOT_OFFERED,
        message=f"^{FAST}: published 2, the kubelet offers 0; .*, last refusal: the ResourceName is invalid",
        within=WITHIN,
        fake_only=NO_KUBELET,
    ),
    Fault(
        name="the kubelet has lost the list of a device plugin that is registered",
        section="13.13",
        provoke=offers(0, plugin(registered=True, healthy=2)),
        words=(),
        reason=Reason.NOT_OFFERED,
        message=f"^{FAST}: published 2, the kubelet offers 0; .* and told the kubelet 2; delete its .* pod",
        within=WITHIN,
        fake_only=NO_KUBELET,
    ),
    Fault(
        name="the device plugin finds a function that is not as published",
        section="13.13",
        provoke=offers(1, plugin(registered=True, healthy=1)),
        words=(),
        reason=Reason.NOT_OFFERED,
        message=rf"^{FAST}: published 2, the kubelet offers 1 \({{second}} missing\); .* told the kubelet 1; its log",
        within=WITHIN,
        fake_only=NO_KUBELET,
    ),
    Fault(
        name="the Node shows fewer functions than the kubelet offers",
        section="13.13",
        provoke=node_shows_none,
        words=(),
        reason=Reason.NOT_OFFERED,
        message=f"^{FAST}: published 2, and the kubelet offers them, but the Node's status has 0 allocatable",
        within=WITHIN,
        fake_only=NO_KUBELET,
    ),
)
