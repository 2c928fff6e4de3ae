"""Checks, before a container starts, that its functions are still its own and its device nodes lead to them. Pure.

The kernel numbers IOMMU groups, and with them /dev/vfio/N, anew in each boot and whenever VFs are made anew. The
kubelet repeats its first answer to a container. So a container may get a node that now leads to another pod's function.
A function whose last grant is of another resource belongs to the pod that got it there.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from virtfn_deviceplugin.grant.granted import AllocateRefusedError
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_host.core.checks.beside import TUN, VHOST_NET
from virtfn_host.core.checks.vfio_nodes import IOMMUFD, VFIO_CONTAINER
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Grant
from virtfn_host.core.values.rdma import nodes_of
from virtfn_host.core.values.strict_json import clipped

WHAT_TO_DO = "delete the pod: its owner makes another one, which is given a function anew"


def expect_still_granted(
    resource_name: str,
    ids: Sequence[str],
    granted: Callable[[PciAddress], Grant | None],
    shown: Callable[[PciAddress], Shown],
    behind: Callable[[str], str],
    remembered: Callable[[Sequence[str]], Set[str] | None] = lambda _: None,
) -> None:
    """Compare the device nodes that a container was given with those that its functions need now.

    Args:
        resource_name: the resource of which the container was given functions.
        ids: the device ids that the kubelet names.
        granted: returns the last grant of a function.
        shown: returns what sysfs shows of a function now; of one without a grant the cdev, too, if it has one.
        behind: returns to which functions a device node leads now, in words.
        remembered: returns the device nodes in the kubelet's checkpoint for these ids; used where a grant is missing.

    Raises:
        AllocateRefusedError: they differ, the nodes that the container was given are unknown, or a function was handed
            out as another resource since.
    """
    addresses = [_address(name) for name in ids]
    grants = [grant for address in addresses if (grant := granted(address)) is not None]
    other = next((grant for grant in grants if grant.resource_name != resource_name), None)
    if other is not None:
        text = f"{other.address}: the container was given it as {resource_name}, but its last grant is of"
        raise AllocateRefusedError(f"{text} {other.resource_name}, so another pod may have it; {WHAT_TO_DO}")
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
        raise AllocateRefusedError(f"{clipped(name)} is not a PCI address; {WHAT_TO_DO}") from error


def _expect_remembered(
    addresses: Sequence[PciAddress],
    unknown: PciAddress,
    given: Set[str] | None,
    shown: Callable[[PciAddress], Shown],
) -> None:
    if given is None:
        text = f"{unknown}: virtfn has no note of the device nodes that this container was given"
        raise AllocateRefusedError(f"{text}, so they may be another function's; {WHAT_TO_DO}")
    names = ", ".join(map(str, addresses))
    # Which RDMA device they are of was in the grant only.
    if rdma := sorted(path for path in given if path.startswith("/dev/infiniband/")):
        text = f"{names}: the container was given {' and '.join(rdma)}, and virtfn has no note of the RDMA device"
        raise AllocateRefusedError(f"{text}, so it cannot be checked; {WHAT_TO_DO}")
    given = given - {VHOST_NET, TUN}
    both = {VFIO_CONTAINER, IOMMUFD} <= given  # by `grant.iommufd`
    now = {address: replace(shown(address), both=both) for address in addresses}
    found = {path for one in now.values() for path in one.paths}
    lacking = next((f"{address} has {one.lacks}" for address, one in now.items() if one.lacks), "")
    if given == found and not lacking:
        return
    text = f"{names}: the container was given {_named(sorted(given))}, but"
    raise AllocateRefusedError(f"{text} {lacking or f'needs {_named(sorted(found))}'} now; {WHAT_TO_DO}")


def _expect(grant: Grant, now: Shown, behind: Callable[[str], str]) -> None:
    given, found = set(grant.nodes), set(now.paths)
    rdma, stale_rdma = nodes_of(grant.rdma), sorted(set(nodes_of(grant.rdma)) - set(nodes_of(now.rdma)))
    if now.driver == grant.driver and given == found and not now.lacks and not stale_rdma:
        return
    stale = sorted(given - found)
    text = f"{grant.address} of {grant.resource_name}: the container was given {_named(grant.nodes + rdma)} for it"
    if now.driver != grant.driver:
        text += f" on {grant.driver}, but it is on {now.driver or 'no driver'} now"
    elif now.lacks:
        text += f", but it has {now.lacks} now"
    elif stale_rdma:
        text += f", but {' and '.join(stale_rdma)} {'is' if len(stale_rdma) == 1 else 'are'} not its own now"
    else:
        text += f", but it is behind {_named(sorted(found - given))} now"
    if stale:
        text += f"; {stale[-1]} {behind(stale[-1])}"
    raise AllocateRefusedError(f"{text}; {WHAT_TO_DO}")


def _named(paths: Sequence[str]) -> str:
    """Name the nodes by which functions differ. `/dev/vfio/vfio` and `/dev/iommu` are the same for all."""
    own = [path for path in paths if path not in (VFIO_CONTAINER, IOMMUFD)]
    return " and ".join(own or paths) or "no device node"
