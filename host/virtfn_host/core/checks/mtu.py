"""Whether the netdevs of a PF and its VFs have the MTU that policies ask for. Pure.

Of the PF, the MTU is a lower bound: other policies, or the administrator, may want more of it. A VF without a netdev in
the host's network namespace (on a vfio driver, or in a pod) has no MTU of its own; for it only the PF's counts.
"""

from virtfn_host.core.checks.network import NETWORK_CLASS
from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.values.desired import DesiredPf, DesiredVf
from virtfn_host.core.values.model import Function, Pf, Vf
from virtfn_host.core.values.reasons import Reason


def no_mtu(pf: Pf, mtu: int | None) -> Hindrance | None:
    """Check that the PF is a network device."""
    if mtu is None or pf.class_code.startswith(NETWORK_CLASS):
        return None
    text = f"is not a network device (class {pf.class_code}), so it has no MTU"
    return Hindrance(reason=Reason.LINK_SETTING_REFUSED, message=text, remedy="leave mtu out")


def pf_fits(wanted: DesiredPf, pf: Function) -> bool:
    """Return whether the PF has the MTU that is wanted: at least, or exactly where it is given back."""
    if wanted.mtu is None:
        return True
    return pf.mtu == wanted.mtu if wanted.given_back else pf.mtu is not None and pf.mtu >= wanted.mtu


def vf_fits(wanted: DesiredVf, vf: Vf) -> bool:
    """Return whether the netdev of a VF, if it has one here, has the MTU that is wanted."""
    return wanted.mtu is None or vf.mtu in (None, wanted.mtu)


def short_of(wanted: DesiredVf, vf: Vf, pf: Function | None) -> Hindrance | None:
    """Return why a pod with this VF would not have the MTU that its policy asks for; None: it would."""
    if wanted.mtu is None or (vf_fits(wanted, vf) and pf is not None and (pf.mtu or 0) >= wanted.mtu):
        return None
    whose, now = ("its netdev", vf.mtu) if not vf_fits(wanted, vf) else ("its PF", pf.mtu if pf is not None else None)
    text = f"needs mtu {wanted.mtu}, and {whose} has {now if now is not None else 'no netdev that shows one'}"
    return Hindrance(
        reason=Reason.LINK_SETTING_REFUSED, message=text, remedy="the conditions of the node say why it is not set"
    )
