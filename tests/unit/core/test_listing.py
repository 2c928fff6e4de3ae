"""Which functions `virtfn list` shows, and what a row says."""

from dataclasses import replace

from inventories import a_pf, a_plain, pf_address

from virtfn_host.cli.show import function_table
from virtfn_host.core.tell.as_json import row_json
from virtfn_host.core.tell.listing import Lookup, Row, chosen, listing
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder
from virtfn_host.core.values.model import Function, InUse, Inventory

PLAIN = a_plain(4, driver="nvme", class_code="010802")
ALIASES = """
alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf_vfio
"""


def modalias(address: PciAddress) -> str:
    device = "10C9" if address.device == 0 else "10CA"
    return f"pci:v00008086d0000{device}sv00008086sd0000A03Cbc02sc00i00"


def rows(*pfs: Function, touched: frozenset[PciAddress] = frozenset(), in_use: InUse | None = None) -> list[Row]:
    inventory = Inventory(boot_id="", kernel="", drivers=(), functions=pfs, groups=(), unreadable=())
    lookup = Lookup(modalias=modalias, aliases=ALIASES, touched=touched)
    return list(listing(inventory, in_use or InUse(holders=()), lookup))


def shown(found: list[Row], *addresses: PciAddress, everything: bool = False) -> list[str]:
    kept, _ = chosen(tuple(found), frozenset(addresses), everything=everything)
    return [str(row.function.address) for row in kept]


def test_what_can_make_vfs_and_its_vfs_are_shown() -> None:
    assert shown(rows(a_pf(0, vfs=1), PLAIN)) == ["0000:01:00.0", "0000:01:10.0"]


def test_a_plain_function_is_shown_with_all() -> None:
    assert shown(rows(PLAIN), everything=True) == [str(PLAIN.address)]


def test_a_plain_function_on_a_vfio_driver_is_shown() -> None:
    assert shown(rows(replace(PLAIN, vfio_bound=True))) == [str(PLAIN.address)]


def test_a_plain_function_that_was_touched_is_shown() -> None:
    assert shown(rows(PLAIN, touched=frozenset({PLAIN.address}))) == [str(PLAIN.address)]
    assert shown(rows(replace(PLAIN, driver_override="vfio-pci"))) == [str(PLAIN.address)]


def test_a_named_pf_comes_with_its_vfs_and_nothing_else() -> None:
    assert shown(rows(a_pf(0, vfs=1), a_pf(1)), pf_address(0)) == ["0000:01:00.0", "0000:01:10.0"]


def test_a_named_vf_comes_alone() -> None:
    assert shown(rows(a_pf(0, vfs=2)), PciAddress(0, 1, 0x10, 2)) == ["0000:01:10.2"]


def test_what_was_named_and_is_not_there_is_told() -> None:
    gone = PciAddress(0, 0x7F, 0, 0)
    assert chosen(tuple(rows(a_pf(0))), frozenset({gone}), everything=False) == ((), (gone,))


def test_a_row_knows_its_modules_and_its_subsystem() -> None:
    pf, vf = rows(a_pf(0, vfs=1))
    assert (pf.modules, pf.vfio_drivers, pf.could_drive) == (("igb",), ("vfio-pci",), ("igb",))
    assert (vf.vfio_drivers, vf.could_drive) == (("igbvf_vfio", "vfio-pci"), ("igbvf_vfio",))
    assert (pf.ids.subsystem_vendor, pf.ids.subsystem_device) == ("8086", "a03c")


def test_a_vf_is_indented_below_its_pf_and_not_without_it() -> None:
    found = rows(a_pf(0, vfs=1))
    assert function_table(tuple(found)).splitlines()[2].startswith("  0000:01:10.0")
    assert function_table(tuple(found[1:])).splitlines()[1].startswith("0000:01:10.0")


def test_what_the_machine_needs_is_told_once_and_first() -> None:
    needed = replace(PLAIN, needed_for="the file system on / is on it")
    holders = (
        Holder(address=PLAIN.address, cause=Cause.NEEDED, said="the file system on / is on it"),
        Holder(address=PLAIN.address, cause=Cause.UNREADABLE, said="/proc/1/fd could not be read"),
    )
    table = function_table(tuple(rows(needed, in_use=InUse(holders=holders))))
    assert table.endswith("needed: the file system on / is on it; unknown: /proc/1/fd could not be read")


def test_every_kind_of_function_has_the_same_keys_as_json() -> None:
    needed = replace(PLAIN, needed_for="the file system on / is on it")
    pf, vf, plain = map(row_json, rows(a_pf(0, vfs=1), needed))
    assert list(pf) == list(vf) == list(plain)
    keys = ("address", "pf", "index", "totalVfs", "numVfs", "neededFor")
    assert [pf[key] for key in keys] == ["0000:01:00.0", None, None, 7, 1, None]
    assert [vf[key] for key in keys] == ["0000:01:10.0", "0000:01:00.0", 0, None, 0, None]
    assert [plain[key] for key in keys] == ["0000:05:00.0", None, None, None, 0, "the file system on / is on it"]
