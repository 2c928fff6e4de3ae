"""Faults of links: settings that a PF cannot give its VFs (13.12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import outside
from fault import Asked, Fault, Policy, and_other, the_same
from faulty_node import FaultyNode

from virtfn_host.core.values.reasons import Reason


@contextmanager
def pf_up(node: FaultyNode) -> Iterator[None]:
    node.lab.set_up(node.other, True)
    yield
    node.lab.set_up(node.other, False)


def with_mtu(mtu: int) -> Asked:
    """Return the same policies, and one that asks for an MTU of the second PF."""

    def asked(node: FaultyNode) -> Sequence[Policy]:
        first, other = and_other(count=1, driver="vfio-pci")(node)
        virtual = {**other["spec"]["virtualFunctions"], "mtu": mtu}
        return (first, {**other, "spec": {**other["spec"], "virtualFunctions": virtual}})

    return asked


FAULTS = (
    Fault(
        name="a rate is asked for while the PF is down",
        section="13.12",
        provoke=outside.nothing,
        asked=and_other(count=2, driver="vfio-pci", link={"maxTxRate": 100}),
        after=the_same,
        reason=Reason.LINK_SETTING_REFUSED,
        message=r"^{other}: cannot set the rate of VF 0-1 while \w+ is down; run `ip link set \w+ up`",
    ),
    Fault(
        name="the driver of the PF does not know a link setting",
        section="13.12",
        provoke=outside.nothing,
        asked=and_other(count=1, driver="vfio-pci", link={"linkState": "enable"}),
        after=the_same,
        words=("apply",),
        reason=Reason.LINK_SETTING_REFUSED,
        message=r"ip link set \w+ vf 0 state enable: Operation not supported \(EOPNOTSUPP\); .*leave it out",
    ),
    Fault(
        name="a rate is faster than the link",
        section="13.12",
        provoke=pf_up,
        asked=and_other(count=1, driver="vfio-pci", link={"maxTxRate": 4_000_000}),
        after=the_same,
        words=("apply",),
        reason=Reason.LINK_SETTING_REFUSED,
        message=r"ip link set \w+ vf 0 max_tx_rate 4000000: Invalid argument \(EINVAL\); a rate needs a link and",
    ),
    Fault(
        name="the card does not take the MTU that is asked for",
        section="13.12",
        provoke=outside.nothing,
        asked=with_mtu(9217),
        after=the_same,
        words=("apply",),
        reason=Reason.LINK_SETTING_REFUSED,
        message=r"^{other}: set mtu 9217: ip link set \w+ mtu 9217: .* \(EINVAL\); \w+ takes 68 to 9216, ask for",
    ),
    Fault(
        name="an MTU is asked for of a PF that the machine needs",
        section="13.12",
        provoke=outside.default_route,
        asked=with_mtu(4000),
        after=the_same,
        reason=Reason.NEEDED_BY_MACHINE,
        message=r"^{other}: cannot set mtu 4000: this machine needs the PF: .*; set it where the host's own network is",
    ),
)
