"""Whether a container that is about to start would find its own functions behind the device nodes that it gets. Pure.

IOMMU group numbers, and with them /dev/vfio/N, are handed out anew in each boot and whenever VFs are made anew. The
kubelet repeats its first answer to a container. So a container may get a node that leads to another function by now,
and that function may be another pod's.
"""

from collections.abc import Callable, Sequence, Set

from virtfn_deviceplugin.allocate import AllocateRefusedError, nodes
from virtfn_deviceplugin.functions import Shown
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Grant
from virtfn_host.core.values.strict_json import clipped

WHAT_TO_DO = "delete the pod: its owner makes another one, which is given a function anew"


def expect_still_granted(
    ids: Sequence[str],
    granted: Callable[[PciAddress], Grant | None],
    shown: Callable[[PciAddress], Shown],
    behind: Callable[[str], str],
    remembered: Callable[[Sequence[str]], Set[str] | None] = lambda _: None,
) -> None:
    """Compare what a container was given with what is there.

    Args:
        ids: the device ids that the kubelet names.
        granted: what Allocate named for a function the last time.
        shown: what sysfs shows of a function now.
        behind: what is behind a device node now, in words.
        remembered: the device nodes that the kubelet itself remembers for these ids; asked where there is no grant.

    Raises:
        AllocateRefusedError: it is something else, or nobody knows what the container was given.
    """
    addresses = [_address(name) for name in ids]
    grants = [grant for address in addresses if (grant := granted(address)) is not None]
    if len(grants) < len(addresses):
        known = {grant.address for grant in grants}
        _expect_remembered(addresses, next(a for a in addresses if a not in known), remembered(ids), shown)
        return
    for grant in grants:
        _expect(grant, shown(grant.address), behind)


def _address(name: str) -> PciAddress:
    try:
        return PciAddress.parse(name)
    except ValueError as error:
        raise AllocateRefusedError(f"{clipped(name)} is no PCI address; {WHAT_TO_DO}") from error


def _expect_remembered(
    addresses: Sequence[PciAddress],
    unknown: PciAddress,
    given: Set[str] | None,
    shown: Callable[[PciAddress], Shown],
) -> None:
    if given is None:
        text = f"{unknown}: virtfn has no note of the device nodes that this container was given"
        raise AllocateRefusedError(f"{text}, so they may be another function's; {WHAT_TO_DO}")
    now = [shown(address) for address in addresses]
    found = {node.host_path for node in nodes(now)}
    if given == found and not any(one.lacks for one in now):
        return
    names = ", ".join(map(str, addresses))
    text = f"{names}: the container was given {_named(sorted(given))}, but needs {_named(sorted(found))} now"
    raise AllocateRefusedError(f"{text}; {WHAT_TO_DO}")


def _expect(grant: Grant, now: Shown, behind: Callable[[str], str]) -> None:
    given, found = set(grant.nodes), {node.host_path for node in nodes([now])}
    if now.driver == grant.driver and given == found and not now.lacks:
        return
    stale = sorted(given - found)
    text = f"{grant.address} of {grant.resource_name}: the container was given {_named(grant.nodes)} for it"
    if now.driver != grant.driver:
        text += f" on {grant.driver}, but it is on {now.driver or 'no driver'} now"
    elif now.lacks:
        text += f", but it has {now.lacks} now"
    else:
        text += f", but it is behind {_named(sorted(found - given))} now"
    if stale:
        text += f"; {stale[-1]} {behind(stale[-1])}"
    raise AllocateRefusedError(f"{text}; {WHAT_TO_DO}")


def _named(paths: Sequence[str]) -> str:
    """The node that tells functions apart; the container node is the same for all."""
    own = [path for path in paths if path not in ("/dev/vfio/vfio", "/dev/iommu")]
    return " and ".join(own or paths) or "no device node"
