"""Whether link settings can be asked of the VFs of a PF. Pure."""

from collections.abc import Iterable

from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.values.link import on_infiniband
from virtfn_host.core.values.model import LinkRequest, Pf
from virtfn_host.core.values.reasons import Reason

NETWORK_CLASS = "02"
"""Beginning of the PCI class code of network controllers."""


def no_link(pf: Pf, requests: Iterable[LinkRequest | None]) -> Hindrance | None:
    """Check that the PF is a network device, and that its network has the name that is asked for its VFs.

    A policy may ask for both MAC and GUID: each network takes its own. A policy that asks only for the other network's
    name is refused.
    """
    asked = [request for request in requests if request is not None]
    if asked and not pf.class_code.startswith(NETWORK_CLASS):
        return _refused(f"is not a network device (class {pf.class_code}), so its VFs have no link", "leave link out")
    infiniband = on_infiniband(pf)
    for request in asked:
        if infiniband and request.mac is not None and request.guid is None:
            return _refused("is on InfiniBand, where VFs have no MAC", "ask for link.guid instead of link.mac")
        if not infiniband and request.guid is not None and request.mac is None:
            return _refused("is on Ethernet, where VFs have no GUID", "ask for link.mac instead of link.guid")
    return None


def _refused(text: str, remedy: str) -> Hindrance:
    return Hindrance(reason=Reason.LINK_SETTING_REFUSED, message=text, remedy=remedy)
