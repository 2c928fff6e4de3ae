"""`driver_override` of functions. On Linux 6.1 reading it hangs behind a blocked write to the function."""

from collections.abc import Callable, Sequence

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs, override_text
from virtfn_host.linux.touch.reader import Reader

Override = str | SysfsReadError | None
"""What was read; None: it is cleared, or there is no such function."""


def overrides_of(
    sysfs: Sysfs, addresses: Sequence[PciAddress], reader: Reader | None, meanwhile: Callable[[], object] = lambda: None
) -> dict[PciAddress, Override]:
    """Read the overrides of functions in one go; an error for each that cannot be read, or not in time.

    Args:
        reader: takes the reads; None: they are read directly, without a deadline.
        meanwhile: called while they are read.
    """
    paths = [sysfs.device(address, "driver_override") for address in addresses]
    if reader is None:
        meanwhile()
        answers = [_read(sysfs, path) for path in paths]
    else:
        answers = reader.read_each(paths, meanwhile)
    return {
        address: answer if isinstance(answer, SysfsReadError) else override_text(answer)
        for address, answer in zip(addresses, answers, strict=True)
    }


def _read(sysfs: Sysfs, path: str) -> Override:
    try:
        return sysfs.read(path)
    except SysfsReadError as error:
        return error
