"""pci.ids gives numbers their names."""

from virtfn_host.core.tell.pci_ids import Ids, Names, PciIds

TEXT = """\
#
#	List of PCI ID's
#
8086  Intel Corporation
	10c9  82576 Gigabit Network Connection
		103c 31ef  NC362i Integrated Dual port
		8086 a03c  Gigabit ET Dual Port
	10ca  82576 Virtual Function
1af4  Red Hat, Inc.
	1041  Virtio 1.0 network device

C 01  Mass storage controller
	08  Non-Volatile memory controller
		02  NVM Express
C 02  Network controller
	00  Ethernet controller
"""
IGB = Ids(vendor="8086", device="10c9", class_code="020000", subsystem_vendor="8086", subsystem_device="a03c")


def named(*ids: Ids) -> list[Names]:
    found = PciIds(TEXT.splitlines(keepends=True), ids)
    return [found.names(i) for i in ids]


def test_vendor_device_subsystem_and_class_have_names() -> None:
    (names,) = named(IGB)
    assert names == Names(
        vendor="Intel Corporation",
        device="82576 Gigabit Network Connection",
        subsystem="Gigabit ET Dual Port",
        class_name="Ethernet controller",
    )
    assert str(names) == "Ethernet controller: Intel Corporation 82576 Gigabit Network Connection"


def test_an_unknown_device_still_has_its_vendor_and_class() -> None:
    (names,) = named(Ids(vendor="1af4", device="9999", class_code="010802"))
    assert str(names) == "Non-Volatile memory controller: Red Hat, Inc."


def test_an_unknown_subclass_has_the_name_of_its_class() -> None:
    (names,) = named(Ids(vendor="ffff", device="9999", class_code="02ff00"))
    assert names == Names(class_name="Network controller")


def test_a_device_of_another_vendor_is_not_mixed_up() -> None:
    first, second = named(IGB, Ids(vendor="1af4", device="10c9", class_code="ff0000"))
    assert first.device == "82576 Gigabit Network Connection"
    assert second == Names(vendor="Red Hat, Inc.")


def test_no_file_gives_no_names() -> None:
    assert str(PciIds((), ()).names(IGB)) == ""
