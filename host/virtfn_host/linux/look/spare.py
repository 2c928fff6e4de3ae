"""Whether this machine can do without a function. Where that cannot be read, the function counts as needed."""

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import HostError, NeededError
from virtfn_host.linux.look.needs import needed_for
from virtfn_host.linux.read.onelook import OneLook


def why_needed(look: OneLook, address: PciAddress) -> str | None:
    """Say what this machine needs a function for, or why that cannot be told; None: for nothing."""
    try:
        return needed_for(look, address)
    except (HostError, ValueError) as error:
        return f"cannot tell whether it does: {error}"


def refuse_needed(address: PciAddress, why: str | None) -> None:
    """Raise NeededError if there is a reason (`why`) to leave a function alone."""
    if why is not None:
        raise NeededError(f"{address} is not touched, because this machine needs it: {why}")
