"""Claims on values alone: what `resolve` decides of a machine, and what the journal has after its notes are written."""

from collections.abc import Iterable

from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.model import Inventory, Original

Claims = tuple[Claim, ...]


def decided(
    inventory: Inventory, *policies: PolicyConfig, noted: Claims = (), originals: tuple[Original, ...] = ()
) -> Resolution:
    """Return what is decided while the journal has these claims."""
    return resolve(NodeConfig(policies=policies), inventory, originals, noted)


def written(found: Resolution, noted: Claims = ()) -> Claims:
    """Return the claims of the journal after one turn."""
    at = {note.address: note.claims for note in found.desired.notes}
    kept = [claim for claim in noted if claim.seen.address not in at]
    return (*kept, *(claim for claims in at.values() for claim in claims))


def claimed(inventory: Inventory, *policies: PolicyConfig) -> Claims:
    """Return the claims of the journal after these policies were carried out."""
    return written(decided(inventory, *policies))


def holders(found: Resolution) -> dict[PciAddress, tuple[str, ...]]:
    """Return the policies of each function of which something is desired."""
    return {pf.address: pf.policies for pf in found.desired.pfs}


def reasons(rejected: Iterable[Rejected]) -> list[str]:
    """Return the reasons, in order."""
    return [one.reason.value for one in rejected]
