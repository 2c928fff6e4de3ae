"""Names of vendors, devices and classes from the text of pci.ids, a file of pciutils and hwdata.

Pure: lines in, names out. The file has 40,000 lines, so it is read once and only the wanted names are kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """The ids of a function, in hex without `0x`."""

    vendor: str
    device: str
    class_code: str
    subsystem_vendor: str | None = None
    subsystem_device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names for a function's ids; None where pci.ids has none, or does not exist."""

    vendor: str | None = None
    device: str | None = None
    subsystem: str | None = None
    class_name: str | None = None

    def __str__(self) -> str:
        """The text that lspci prints: `Ethernet controller: Intel Corporation 82576 Gigabit Network Connection`."""
        parts = " ".join(part for part in (self.vendor, self.device) if part)
        return ": ".join(part for part in (self.class_name, parts) if part)


class PciIds:
    """The names in pci.ids for the wanted ids."""

    def __init__(self, lines: Iterable[str], wanted: Iterable[Ids]) -> None:
        ids = list(wanted)
        vendors = {i.vendor for i in ids} | {i.subsystem_vendor for i in ids}
        classes = {i.class_code[:2] for i in ids}
        self._named: dict[tuple[str, ...], str] = {}
        self._read(lines, {f"{vendor}  " for vendor in vendors}, {f"C {code}  " for code in classes})

    def _read(self, lines: Iterable[str], vendors: set[str], classes: set[str]) -> None:
        top: tuple[str, ...] | None = None
        second: tuple[str, ...] = ()
        for line in lines:
            if line[:1] in ("#", "\n", ""):
                continue
            if line[0] != "\t":
                # `C ` opens a class and anything else a vendor; other lists (none today) match nothing here.
                known = line[:6] in vendors or line[:6] in classes
                top = tuple(line[:6].split()) if known else None
                if top:
                    self._named[top] = line[6:].strip()
            elif top and line[1] != "\t":
                number, _, name = line[1:].partition("  ")
                second = (*top, number)
                self._named[second] = name.strip()
            elif top:
                number, _, name = line[2:].partition("  ")
                self._named[(*second, *number.split())] = name.strip()

    def names(self, ids: Ids) -> Names:
        """Return the names for one function's ids."""
        sub = (ids.subsystem_vendor or "", ids.subsystem_device or "")
        major, minor = ids.class_code[:2], ids.class_code[2:4]
        return Names(
            vendor=self._named.get((ids.vendor,)),
            device=self._named.get((ids.vendor, ids.device)),
            subsystem=self._named.get((ids.vendor, ids.device, *sub)),
            class_name=self._named.get(("C", major, minor)) or self._named.get(("C", major)),
        )
