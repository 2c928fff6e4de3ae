"""Faults of links: settings that a PF cannot give its VFs (13.12), or accepts and does not make (13.10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import outside
from fault import Asked, Fault, Policy, and_other, the_same
from faulty_node import FaultyNode

from virtfn_host.core.values.model import VfLink
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


@contextmanager
def settings_are_dropped(node: FaultyNode) -> Iterator[None]:
    assert node.fake is not None
    node.fake.instead.link = lambda _: VfLink()
    yield
    node.fake.instead.link = lambda asked: asked


@contextmanager
def mtu_is_cut(node: FaultyNode) -> Iterator[None]:
    assert node.fake is not None
    node.fake.instead.mtu = lambda asked, _: min(asked, 4000)
    yield
    node.fake.instead.mtu = lambda asked, _: asked


IN_SILENCE = "no emulated driver accepts a setting that it does not make"

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
        name="the driver accepts a link setting and does not make it",
        section="13.10",
        provoke=settings_are_dropped,
        asked=and_other(count=1, driver="vfio-pci", link={"vlan": 100}),
        after=the_same,
        words=("apply",),
        reason=Reason.DRIVER_MADE_OTHER,
        message=r"^VF 0 of {other}.*: asked for vlan 100 qos 0, \w+ vf 0 shows vlan 0 qos 0 though the kernel accepted",
        fake_only=IN_SILENCE,
    ),
    Fault(
        name="the card accepts an MTU and takes a smaller one",
        section="13.10",
        provoke=mtu_is_cut,
        asked=with_mtu(9000),
        after=the_same,
        words=("apply",),
        reason=Reason.DRIVER_MADE_OTHER,
        message=r"^{other}: set mtu 9000: asked for mtu 9000, \w+ shows mtu 4000 though the kernel accepted",
        fake_only=IN_SILENCE,
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
