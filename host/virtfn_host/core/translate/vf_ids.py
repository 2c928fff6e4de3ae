"""Device IDs of VFs, and of the PFs that make them.

The network device plugin selects VFs by their own device ID; a policy names the PF. The pairs are those of Linux and
DPDK: their drivers' tables of IDs (igb, ixgbe, i40e, ice, mlx4, mlx5, bnxt, qede, octeontx2, qat, dfl-pci; baseband
acc, vrb, fpga_5gnr_fec, fpga_lte_fec), with the names in pci.ids. An ID that is not here is no error: the user is asked
for the PF.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_I40E = "0cf8 0d58 104e 104f 1572 1580 1581 1583 1584 1585 1586 1587 1588 1589 158a 158b 15ff"
_ICE = (
    "124c 124d 124e 124f 12d1 12d2 12d3 12d4 151d 1591 1592 1593 1599 159a 159b 188a 188b 188c 188d 188e 1890 1891"
    " 1892 1893 1894 1897 1898 1899 579c 579d 579e 579f"
)
_82599 = "10f7 10f8 10f9 10fb 10fc 1507 1514 1517 151c 1529 152a 154a 154d 1557 1558"

_PAIRS = (
    ("8086", "10ca", "10c9 10e6 10e7 10e8 150a 150d 1518 1526"),  # 82576
    ("8086", "1520", "1521 1522 1523 1524"),  # I350
    ("8086", "10ed", _82599),
    ("8086", "1515", "1528 1560"),  # X540
    ("8086", "1565", "1563 15d1"),  # X550
    ("8086", "15a8", "15aa 15ab 15ac 15ad 15ae"),  # X552
    ("8086", "154c", _I40E),  # X710, XL710, XXV710
    ("8086", "37cd", "37ce 37cf 37d0 37d1 37d2 37d3"),  # X722
    ("8086", "1889", _ICE),  # E810, E822, E823, E825, E830
    ("15b3", "1004", "1003 1007"),  # ConnectX-3
    ("15b3", "1012", "1011"),  # Connect-IB
    ("15b3", "1014", "1013"),  # ConnectX-4
    ("15b3", "1016", "1015"),  # ConnectX-4 Lx
    ("15b3", "1018", "1017"),  # ConnectX-5
    ("15b3", "101a", "1019"),  # ConnectX-5 Ex
    ("15b3", "101c", "101b"),  # ConnectX-6
    ("15b3", "101e", "101d 101f 1021 1023 a2d6 a2dc"),  # ConnectX-6 Dx and Lx, 7, 8, BlueField-2 and -3
    ("15b3", "a2d3", "a2d2"),  # BlueField
    ("14e4", "16dc", "16d7"),  # BCM57414
    ("14e4", "1806", "1750"),  # BCM57508
    ("1077", "1664", "1654"),  # QL45000
    ("177d", "b203", "b200"),  # OCTEON TX2
    ("177d", "b103", "b100"),
    ("177d", "b603", "b600"),
    ("177d", "b903", "b900"),
    ("177d", "ba03", "ba00"),
    ("8086", "0443", "0435"),  # QAT DH895xCC
    ("8086", "37c9", "37c8"),  # QAT C62x
    ("8086", "4941", "4940"),  # QAT 4xxx
    ("8086", "4943", "4942"),
    ("8086", "4945", "4944"),
    ("8086", "0d5d", "0d5c"),  # ACC100
    ("8086", "57c1", "57c0"),  # VRB1
    ("8086", "0d90", "0d8f"),  # FPGA 5GNR FEC
    ("8086", "5050", "5052"),  # FPGA LTE FEC
    ("8086", "09c5", "09c4"),  # PAC with Arria 10
    ("8086", "0b2c", "0b2b"),  # PAC D5005
    ("8086", "bcbf", "bcbd"),
    ("8086", "bcc1", "bcc0"),
)

PFS_OF = {(vendor, vf): tuple(pfs.split()) for vendor, vf, pfs in _PAIRS}
"""Vendor and device ID of a VF to the device IDs of its PFs."""

_PFS = frozenset((vendor, pf) for (vendor, _), pfs in PFS_OF.items() for pf in pfs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A device as a matcher names it."""

    vendor: str
    device: str
    whole: bool


def known_devices(vendors: Iterable[str], device: str) -> tuple[Known, ...]:
    """Return the PFs of a VF's device ID, or the function itself if it is a PF's; nothing: the ID is not known.

    Args:
        vendors: possible vendors; none: every vendor.
        device: the device ID of a VF or a PF.
    """
    wanted = frozenset(vendors)
    found = [
        Known(vendor=vendor, device=pf, whole=False)
        for (vendor, vf), pfs in PFS_OF.items()
        if vf == device and (not wanted or vendor in wanted)
        for pf in pfs
    ]
    found += [
        Known(vendor=vendor, device=pf, whole=True)
        for vendor, pf in sorted(_PFS)
        if pf == device and (not wanted or vendor in wanted)
    ]
    return tuple(found)
