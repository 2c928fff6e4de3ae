"""PCI addresses, printed as the kernel prints them; nothing about the device at an address."""

import re
from functools import lru_cache
from typing import NamedTuple, Self

_PATTERN = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")


class PciAddress(NamedTuple):
    """Domain, bus, device and function of a PCI function ("BDF" elsewhere), ordered by these numbers.

    A domain has four or more hex digits: domains behind Intel VMD start at 0x10000. The class is a tuple because one
    inventory of 127 VFs compares and looks up addresses thousands of times, and tuples do that in C.
    """

    domain: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `0000:3b:00.0`. Upper case is accepted, a missing domain is not.

        Raises:
            ValueError: the text is not a full PCI address.
        """
        return cls(*_numbers(text))

    def __str__(self) -> str:
        return _text(self.domain, self.bus, self.device, self.function)


# Cached: one inventory of 127 VFs prints and parses the same addresses thousands of times (measured by hand).
@lru_cache(maxsize=8192)
def _numbers(text: str) -> tuple[int, ...]:
    match = _PATTERN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not a PCI address like 0000:3b:00.0 (domain:bus:device.function, hex)")
    return tuple(int(part, 16) for part in match.groups())


@lru_cache(maxsize=8192)
def _text(domain: int, bus: int, device: int, function: int) -> str:
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function}"
