"""PCI addresses, printed as the kernel prints them. Knows nothing of what sits at an address."""

import re
from functools import lru_cache
from typing import NamedTuple, Self

_PATTERN = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")


class PciAddress(NamedTuple):
    """Domain, bus, device and function of a PCI function ("BDF" elsewhere); orders as the numbers do.

    A domain has four hex digits or more: firmware domains behind Intel VMD start at 0x10000. A tuple, because a look
    at 127 VFs compares and looks up addresses thousands of times, and Python's own classes do it in C.
    """

    domain: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0000:3b:00.0`; upper case is accepted, a missing domain is not.

        Raises:
            ValueError: the text is no full PCI address.
        """
        return cls(*_numbers(text))

    def __str__(self) -> str:
        return _text(self.domain, self.bus, self.device, self.function)


# Remembered, because a look at 127 VFs prints and reads the same addresses thousands of times (measured).
@lru_cache(maxsize=8192)
def _numbers(text: str) -> tuple[int, ...]:
    match = _PATTERN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not a PCI address like 0000:3b:00.0 (domain:bus:device.function, hex)")
    return tuple(int(part, 16) for part in match.groups())


@lru_cache(maxsize=8192)
def _text(domain: int, bus: int, device: int, function: int) -> str:
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function}"
