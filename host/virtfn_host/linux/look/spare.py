"""Whether this machine can do without a function; whoever cannot tell takes it for needed."""

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import HostError, NeededError
from virtfn_host.linux.look.needs import needed_for
from virtfn_host.linux.read.onelook import OneLook


def why_needed(look: OneLook, address: PciAddress) -> str | None:
    """What this machine needs a function for, in words, or why nobody can tell; None: for nothing."""
    try:
        return needed_for(look, address)
    except (HostError, ValueError) as error:
        return f"nobody can tell whether it is: {error}"


def refuse_needed(address: PciAddress, why: str | None) -> None:
    """Raises NeededError, which says so, where there is a reason to leave a function alone."""
    if why is not None:
        raise NeededError(f"{address} is not touched, because this machine needs it: {why}")
