"""Checks that the machine is still as the plan expects it; otherwise nothing is touched."""

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.steps import FunctionRef
from virtfn_host.linux.errors import StaleSnapshotError


def expect(what: str, found: object, expected: object) -> None:
    """Raise StaleSnapshotError, which names both values, where something is not as the plan expects."""
    if found != expected:
        raise StaleSnapshotError(
            f"{what} is {found!r}, the plan was made when it was {expected!r}; look and plan again"
        )


def expect_place(function: FunctionRef, found: PciAddress | None) -> PciAddress:
    """Return the address that a function was found at.

    Raises:
        StaleSnapshotError: the function is not there, or has another address than in the plan.
    """
    if found is None or function.address not in (None, found):
        raise StaleSnapshotError(f"{function} is {'not there' if found is None else f'at {found} now'}")
    return found
