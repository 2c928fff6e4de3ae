"""What `virtfn inventory` prints has no serial number, MAC or GUID of the machine, and still tells what is one card."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, an_inventory

from virtfn_host.core.tell.made_up import made_up
from virtfn_host.core.values.codec import decode, encode
from virtfn_host.core.values.identity import Identity
from virtfn_host.core.values.model import Inventory, Unreadable, VfLink

SERIAL, MAC, GUID = "3c-fd-fe-ff-ff-12-34-56", "3c:fd:fe:12:34:56", "3c:fd:fe:ff:ff:12:34:56"


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (MAC, "02:00:00:00:00:01"),
        (MAC.upper(), "02:00:00:00:00:01"),
        (SERIAL, "02-00-00-00-00-00-00-01"),
        (GUID, "02:00:00:00:00:00:00:01"),
        ("enx3cfdfe123456", "enx020000000001"),
        ("ibx3cfdfeffff123456", "ibx0200000000000001"),
        (f"cannot read {MAC}: no answer", "cannot read 02:00:00:00:00:01: no answer"),
    ],
)
def test_what_names_a_card_is_made_up_in_its_own_form(text: str, instead: str) -> None:
    assert made_up({"a": [text]}) == {"a": [instead]}


@pytest.mark.parametrize(
    "value",
    [
        *("0000:3b:00.0", "8086:a03c", "020000", "6.1.0-18-amd64", "ens1f0np0", "mlx5_3", "/mnt/3cfdfe123456", "3-1"),
        *("0b7e9a52-6a5b-4f0e-9d55-3cfdfe123456", "00:00:00:00:00:00", "00:00:00:00:00:00:00:00"),
        *(4096, True, None),
    ],
)
def test_what_names_none_stays(value: object) -> None:
    assert made_up([value]) == [value]


def test_equal_ones_stay_equal_in_every_form_and_others_do_not() -> None:
    first, second = "3c:fd:fe:12:34:56", "3c:fd:fe:12:34:57"
    found = made_up([first, second, first.upper(), "enx3cfdfe123456", SERIAL, SERIAL])
    assert found[0] == found[2].lower() == ":".join(found[3][3 + i : 5 + i] for i in range(0, 12, 2))
    assert found[0] != found[1]
    assert found[4] == found[5]


def test_an_inventory_is_still_one_and_halves_of_a_card_have_one_serial_number() -> None:
    pfs = []
    for bus in range(2):
        pf = a_pf(bus, vfs=2)
        identity = Identity(subsystem="8086:a03c", serial=SERIAL, mac=f"3c:fd:fe:12:34:5{bus}", slot="3-1")
        link = VfLink(mac=MAC, node_guid=GUID, port_guid=GUID)
        vfs = tuple(replace(vf, link=link, netdevs=("enx3cfdfe123456",)) for vf in pf.vfs)
        pfs.append(replace(pf, identity=identity, mac=identity.mac, vfs=vfs))
    lost = Unreadable(device=pfs[0].address, path=f"net/{MAC}", error=SERIAL)
    shown: Any = made_up(encode(replace(an_inventory(*pfs), unreadable=(lost,))))
    assert not any(real in str(shown) for real in ("3c:fd", "3c-fd", "3cfdfe"))
    found = decode(Inventory, shown, "inventory")
    one, other = found.pfs
    assert one.identity.serial == other.identity.serial != SERIAL
    assert one.mac == one.identity.mac != other.identity.mac
    assert (one.identity.slot, one.identity.subsystem) == ("3-1", "8086:a03c")
