"""Types of names and numbers in messages to the host process. `codec.py` checks each once, when it decodes a message.

A field of one of these types holds only what its parser accepts. So no code behind the codec checks a name again,
except where a name becomes a path or an argument; that code uses the same parser.

A rule is the kernel's own if it has one, and stricter where a name becomes part of a path or of a command line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from virtfn_host.core.values.strict_json import clipped

# --- bounds for codec.py ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text that `parse` accepts; it raises ValueError for any other."""

    parse: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Within:
    """An integer from `least` to `most`, inclusive."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class AtMost:
    """A list of at most `items` items."""

    items: int
    together: str | None = None
    """Name of a list inside each item; together these lists have at most `items` items, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A list whose items have some fields in common with the value that has the list, so that these are written once.

    An item also leaves out what is its default: there may be thousands of items.
    """

    fields: Mapping[str, str]
    """Field of the item to the field of the value that has the list."""


# --- names -----------------------------------------------------------------------------------------------------------

_DRIVER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+() -]{0,61}[A-Za-z0-9_.+()-])?")
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,54}")
_MODALIAS = re.compile(r"[a-z0-9_]{1,16}:[A-Za-z0-9_.*?=-]{1,239}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_GUID = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){7}")
_SERIAL = re.compile(r"[0-9a-f]{2}(?:-[0-9a-f]{2}){7}")
_SUBSYSTEM = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_GROUP = re.compile(r"[0-9]{1,10}")
_WISH = re.compile(r"[A-Za-z0-9-]{0,64}")
_NETDEV_BYTES = 15
"""IFNAMSIZ - 1, <linux/if.h>."""


def driver_name(text: str) -> str:
    """Check the name of a PCI driver to bind to: it becomes part of a path.

    The kernel takes any file name. A few old drivers have a space in their name (`MTD PCI`); no driver needs more than
    this pattern.

    Raises:
        ValueError: the text is not the name of a driver.
    """
    return _matching(_DRIVER, text, "the name of a driver (1 to 63 letters, digits and _.+()-)")


def module_name(text: str) -> str:
    """Check the name of a kernel module: it becomes an argument of modprobe.

    55 bytes are MODULE_NAME_LEN - 1, <linux/module.h>.

    Raises:
        ValueError: the text is not the name of a module.
    """
    return _matching(_MODULE, text, "the name of a module (1 to 55 letters, digits, _ and -)")


def modalias(text: str) -> str:
    """Check a function's `modalias`, like `pci:v00008086d000010CAsv...`: it becomes an argument of modprobe.

    Raises:
        ValueError: the text is not a modalias.
    """
    return _matching(_MODALIAS, text, "a modalias like pci:v00008086d000010CA...")


def netdev_name(text: str) -> str:
    """Check the name of a netdev, as the kernel's dev_valid_name does (net/core/dev.c); control characters are refused.

    Raises:
        ValueError: the text is not the name of a netdev.
    """
    size = len(text.encode(errors="replace"))
    if not 0 < size <= _NETDEV_BYTES or text in (".", "..") or any(_unfit_for_netdev(c) for c in text):
        raise ValueError(f"{clipped(text)} is not the name of a netdev (1 to 15 bytes, no slash, colon, white space)")
    return text


def group_number(text: str) -> int:
    """Parse the number of an IOMMU group, as the kernel prints it.

    Raises:
        ValueError: the text is not the number of a group.
    """
    number = int(_matching(_GROUP, text, "the number of an IOMMU group"))
    if number >= 1 << 31:  # ida_alloc in drivers/iommu/iommu.c
        raise ValueError(f"{number} is not the number of an IOMMU group (31 bits)")
    return number


def mac_address(text: str) -> str:
    """Check a MAC address: lower case with colons.

    Raises:
        ValueError: the text is not a MAC address.
    """
    return _matching(_MAC, text, "a MAC address like 52:54:00:12:34:56")


def guid(text: str) -> str:
    """A GUID of InfiniBand, lower case with colons.

    Raises:
        ValueError: it is none.
    """
    return _matching(_GUID, text, "a GUID like 02:de:ad:00:00:be:ef:01")


def serial_number(text: str) -> str:
    """Check a Device Serial Number: lower case with hyphens, as `lspci -vv` prints it.

    Raises:
        ValueError: the text is not a serial number.
    """
    return _matching(_SERIAL, text, "a serial number like 3c-fd-fe-ff-ff-12-34-56")


def subsystem_ids(text: str) -> str:
    """Check vendor and device of a subsystem.

    Raises:
        ValueError: the text is not that.
    """
    return _matching(_SUBSYSTEM, text, "the ids of a subsystem like 8086:a03c")


def slot_name(text: str) -> str:
    """Check the name of a PCI slot, which firmware gives; it is only compared.

    Raises:
        ValueError: the text is not the name of a slot.
    """
    if not 0 < len(text) <= SLOT or "/" in text or not text.isprintable():
        raise ValueError(f"{clipped(text)} is not the name of a slot (1 to {SLOT} characters, no slash)")
    return text


SLOT = 64
"""Characters of the longest name of a slot; the kernel's have 21 at most where firmware numbers the slots."""


def label(text: str) -> str:
    """Check a short text that is only shown and compared: a policy's name or uid, an id, a netdev.

    Raises:
        ValueError: the text is too long.
    """
    if len(text) > LABEL:
        raise ValueError(f"a text of {len(text)} characters, want at most {LABEL}")
    return text


LABEL = 255
"""Characters of a label; names of Kubernetes have at most 253."""


def shown_name(text: str) -> str:
    """Check a file name as sysfs shows it; it is only compared with others. 255 bytes are NAME_MAX.

    Raises:
        ValueError: the text is not a file name.
    """
    size = len(text.encode(errors="replace"))
    if not 0 < size <= 255 or any(c in "/\0\n" for c in text):
        raise ValueError(f"{clipped(text)} is not a file name")
    return text


def override_text(text: str) -> str:
    """Check a value of `driver_override`: the kernel takes any line shorter than a page.

    Raises:
        ValueError: the text cannot be a driver_override.
    """
    if not 0 < len(text.encode(errors="replace")) < 4096 or any(c in "\0\n" for c in text):
        raise ValueError(f"{clipped(text)} is not a value for driver_override (one line, less than 4096 bytes)")
    return text


def wish_name(text: str) -> str:
    """Check the name of a wish (core/values/tries.py); it is only compared with others, and kept in a file.

    Raises:
        ValueError: the text is not the name of a wish.
    """
    return _matching(_WISH, text, "the name of a wish (0 to 64 letters, digits and -)")


def sentence(text: str) -> str:
    """Check text for people, which no code acts on.

    Raises:
        ValueError: the text is too long.
    """
    if len(text) > SENTENCE:
        raise ValueError(f"a text of {len(text)} characters, want at most {SENTENCE}")
    return text


SENTENCE = 8192
"""Characters of the longest text for people in a message."""


def _matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{clipped(text)} is not {what}")
    return text


def _unfit_for_netdev(character: str) -> bool:
    return character in "/:" or character.isspace() or not character.isprintable()


# --- types of fields -------------------------------------------------------------------------------------------------

DriverName: TypeAlias = Annotated[str, Parsed(driver_name)]
ModuleName: TypeAlias = Annotated[str, Parsed(module_name)]
NetdevName: TypeAlias = Annotated[str, Parsed(netdev_name)]
MacAddress: TypeAlias = Annotated[str, Parsed(mac_address)]
Guid: TypeAlias = Annotated[str, Parsed(guid)]
SerialNumber: TypeAlias = Annotated[str, Parsed(serial_number)]
SubsystemIds: TypeAlias = Annotated[str, Parsed(subsystem_ids)]
SlotName: TypeAlias = Annotated[str, Parsed(slot_name)]
Label: TypeAlias = Annotated[str, Parsed(label)]
ShownName: TypeAlias = Annotated[str, Parsed(shown_name)]
OverrideText: TypeAlias = Annotated[str, Parsed(override_text)]
WishName: TypeAlias = Annotated[str, Parsed(wish_name)]
Sentence: TypeAlias = Annotated[str, Parsed(sentence)]

GroupNumber: TypeAlias = Annotated[int, Within(0, (1 << 31) - 1)]
VfIndex: TypeAlias = Annotated[int, Within(0, 65534)]
"""A PF has at most 65,535 VFs: NumVFs has 16 bits (PCIe 6.0, 9.3.3.7)."""

VfCount: TypeAlias = Annotated[int, Within(0, 65535)]
Vlan: TypeAlias = Annotated[int, Within(0, 4095)]
"""IEEE 802.1Q: 12 bits."""

VlanPriority: TypeAlias = Annotated[int, Within(0, 7)]
MIN_MTU, MAX_MTU = 68, 65535
"""ETH_MIN_MTU and ETH_MAX_MTU, <linux/if_ether.h>; the limits of a card are within."""

Mtu: TypeAlias = Annotated[int, Within(MIN_MTU, MAX_MTU)]
AnyMtu: TypeAlias = Annotated[int, Within(0, (1 << 32) - 1)]
"""An MTU as a netdev shows it; 32 bits in rtnetlink."""

Rate: TypeAlias = Annotated[int, Within(0, (1 << 32) - 1)]
"""Mbit/s; 32 bits in rtnetlink."""
