"""PCI addresses, printed as the kernel prints them. Knows nothing of what sits at an address."""

import re
from dataclasses import dataclass
from typing import Self

_PATTERN = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")


@dataclass(frozen=True, slots=True, order=True)
class PciAddress:
    """Domain, bus, device and function of a PCI function ("BDF" elsewhere); orders as the numbers do.

    A domain has four hex digits or more: firmware domains behind Intel VMD start at 0x10000.
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
        match = _PATTERN.fullmatch(text.lower())
        if match is None:
            raise ValueError(f"{text!r} is not a PCI address like 0000:3b:00.0 (domain:bus:device.function, hex)")
        return cls(*(int(part, 16) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.device:02x}.{self.function}"
