"""What a plan was made for is there still, or nothing is touched."""

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.steps import FunctionRef
from virtfn_host.linux.errors import StaleSnapshotError


def expect(what: str, found: object, expected: object) -> None:
    """Raises StaleSnapshotError, which says so, where something is not as the plan was made for."""
    if found != expected:
        raise StaleSnapshotError(
            f"{what} is {found!r}, the plan was made when it was {expected!r}; look and plan again"
        )


def expect_place(function: FunctionRef, found: PciAddress | None) -> PciAddress:
    """The address that a function was found at.

    Raises:
        StaleSnapshotError: it is not there, or not where the plan was made for.
    """
    if found is None or function.address not in (None, found):
        raise StaleSnapshotError(f"{function} is {'not there' if found is None else f'at {found} now'}")
    return found
