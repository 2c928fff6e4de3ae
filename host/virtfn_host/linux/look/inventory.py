"""read_inventory(sysfs) -> Inventory: one look at every function that can be handed out, of any class and vendor.

One bad device, attribute, name or group never fails the list: it becomes one `unreadable` entry, and no reader of the
inventory guesses. Reads that may hang behind another program's blocked write (`driver_override` on Linux 6.1) or behind
a driver that hangs (`touch/ports.py`) go through a reader with a deadline.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from virtfn_host.core.checks.ports import Port
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.link import INFINIBAND_CLASS
from virtfn_host.core.values.model import (
    Function,
    GroupMember,
    Inventory,
    IommuGroup,
    Pf,
    Unreadable,
    Vf,
    own_fields,
    vfs_of,
)
from virtfn_host.core.values.parts import Part
from virtfn_host.linux.errors import NetlinkError, SysfsReadError
from virtfn_host.linux.look.identity import identity_of
from virtfn_host.linux.look.lacks import (
    does_without_iommu,
    lacks,
    mtu_of,
    nodes_beside,
    rdma_of,
    with_links_seen,
    without_iommu,
)
from virtfn_host.linux.look.needs import needed_for
from virtfn_host.linux.look.other_names import AskedNames, with_other_names
from virtfn_host.linux.look.own_drivers import own_drivers
from virtfn_host.linux.look.permanent import with_permanent_macs
from virtfn_host.linux.look.preflight import loadable_drivers
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.netlink.shown import with_links
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.rdma import is_exclusive
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.overrides import Override, overrides_of
from virtfn_host.linux.touch.ports import ports_of
from virtfn_host.linux.touch.reader import Reader

BRIDGE = "06"
"""Base class of bridges and ports (PCI Code and ID Assignment Specification)."""


@dataclass(slots=True)
class _Look:
    sysfs: OneLook
    reader: Reader | None
    needs: bool = False
    """Whether to look also for what this machine needs a function."""
    netlink: Netlink | None = None
    guids: Netlink | None = None
    """Tells the GUIDs of InfiniBand VFs, where link settings are not asked for."""
    unreadable: list[Unreadable] = field(default_factory=list)
    ahead: dict[PciAddress, Override] = field(default_factory=dict)
    """`driver_override` of some functions, read in one go."""

    def read_ahead(self, addresses: Iterable[PciAddress]) -> None:
        """Ask for the override of all of these in one message; meanwhile read what is needed next."""
        wanted = [address for address in addresses if address not in self.ahead]

        def meanwhile() -> None:
            for address in wanted:
                with contextlib.suppress(SysfsReadError, ValueError):  # the later read raises it again
                    self.sysfs.bound_driver(address)
                    self.sysfs.group(address)

        self.ahead |= overrides_of(self.sysfs, wanted, self.reader, meanwhile)

    def override(self, address: PciAddress) -> str | None:
        """Return `driver_override`."""
        if address not in self.ahead:
            self.read_ahead([address])
        if isinstance(found := self.ahead[address], SysfsReadError):
            self.lose(address, found)
            return None
        return found

    def ports(self, address: PciAddress) -> tuple[Port, ...]:
        """Read the own netdevs of a function that is not a VF; none if they are unknown."""
        try:
            return ports_of(self.sysfs, address, self.reader)
        except SysfsReadError as error:
            self.lose(address, error)
            return ()

    def lose(self, device: PciAddress, error: SysfsReadError) -> None:
        """Note that something of a function could not be read."""
        self.unreadable.append(Unreadable(device=device, path=error.path, error=error.answer))

    def netdevs(self, vf: PciAddress) -> tuple[str, ...]:
        """Read the netdevs of a VF; none if they are unknown.

        A pod may give the one that it holds a name that is no text. That must not hold up the PF and its other VFs, so
        it is only a part that is not known: the VF itself is in use and not usable (`checks/healthy.py`).
        """
        try:
            return vf_netdevs(self.sysfs, vf)
        except SysfsReadError as error:
            self.lose_netdev(vf, error)
            return ()

    def lose_netdev(self, vf: PciAddress, error: SysfsReadError) -> None:
        """Note once that the netdev of a VF could not be read."""
        lost = Unreadable(device=vf, path=error.path, error=error.answer, part=Part.NETDEV)
        if lost not in self.unreadable:
            self.unreadable.append(lost)

    def links(self, pf: Pf) -> Pf:
        """Return the PF with the link settings of its VFs, if this look asks for them, or needs their GUIDs."""
        guids = self.guids if pf.class_code.startswith(INFINIBAND_CLASS) else None
        netlink = self.netlink or guids
        if netlink is None:
            return pf
        try:
            return with_links(pf, self.sysfs, netlink, self.reader, self.lose_netdev)
        except NetlinkError as error:
            path, part = self.sysfs.device(pf.address, "net"), Part.GUID if self.netlink is None else None
            self.unreadable.append(Unreadable(device=pf.address, path=path, error=str(error), part=part))
            return pf


def read_inventory(
    sysfs: Sysfs,
    reader: Reader | None = None,
    netlink: Netlink | None = None,
    only: Iterable[PciAddress] | None = None,
    asked: AskedNames | None = None,
    guids: Netlink | None = None,
    macs: Netlink | None = None,
) -> Inventory:
    """Look at the machine once.

    Args:
        reader: takes the reads that may hang.
        netlink: tells link settings of VFs.
        only: look at these functions and their VFs alone, and not at what the machine needs; enough for `verify`.
        asked: names of netdevs, which may be alternative names of some.
        guids: tells the GUIDs of InfiniBand VFs, without which they are of no use.
        macs: tells permanent MACs that sysfs does not show; None: those are not looked at.

    Raises:
        SysfsReadError: not even the list of PCI devices can be read.
    """
    sysfs = OneLook.of(sysfs)
    wanted = list(sysfs.functions()) if only is None else sorted(only)
    look = _Look(sysfs, reader, only is None, netlink, guids)
    look.read_ahead(wanted)
    functions: list[Function] = []
    vfs: set[PciAddress] = set()
    for address in wanted:
        # VFs come after their PF.
        function = None if address in vfs else _guarded(look, address, _function)
        if function is not None:
            functions.append(function)
            vfs |= {vf.address for vf in vfs_of(function)}
    functions = with_links_seen(functions, sysfs, reader, look.unreadable)
    if asked is not None:
        functions = with_other_names(functions, asked, look.unreadable)
    if macs is not None:
        functions = with_permanent_macs(functions, sysfs, macs, look.unreadable)
    groups = tuple(_groups(look, functions))
    return Inventory(
        boot_id=sysfs.boot_id(),
        kernel=sysfs.kernel_release(),
        drivers=registered_drivers(sysfs),
        functions=tuple(sorted(functions, key=lambda function: function.address)),
        groups=groups,
        unreadable=tuple(look.unreadable),
        loadable=_loadable(sysfs, functions),
        noiommu=does_without_iommu(sysfs),
        noiommu_groups=tuple(group.number for group in groups if without_iommu(sysfs, group.number)),
        nodes_beside=nodes_beside(sysfs),
        rdma_exclusive=is_exclusive(sysfs),
    )


def _loadable(sysfs: OneLook, functions: Iterable[Function]) -> tuple[str, ...] | None:
    """Return the drivers that modules on disk bring: vfio drivers, and the functions' own that are not loaded."""
    vfio = loadable_drivers(sysfs)
    if vfio is None:
        return None
    own = own_drivers(sysfs, (function.address for function in functions)) - set(registered_drivers(sysfs))
    return tuple(sorted({*vfio, *own}))


def _groups(look: _Look, functions: Iterable[Function]) -> Iterator[IommuGroup]:
    """The groups of all functions. One that cannot be read is an unreadable entry of each PF with members in it."""
    owners: dict[int, set[PciAddress]] = {}
    for function in functions:
        for number in {member.iommu_group for member in function.family}:
            if number is not None:
                owners.setdefault(number, set()).add(function.address)
    for number in sorted(owners):
        try:
            yield read_group(look.sysfs, number)
        except SysfsReadError as error:
            for owner in sorted(owners[number]):
                look.lose(owner, error)


def registered_drivers(sysfs: Sysfs) -> tuple[str, ...]:
    """Registered PCI drivers. If the list cannot be read it is empty: a plan then loads drivers that may be there,
    which changes nothing."""
    try:
        return sysfs.names(sysfs.sys / "bus/pci/drivers") or ()
    except SysfsReadError:
        return ()


def _guarded(look: _Look, address: PciAddress, read: Callable[[_Look, PciAddress], Function | None]) -> Function | None:
    try:
        return read(look, address)
    except SysfsReadError as error:
        look.lose(address, error)
    except ValueError as error:
        path = str(look.sysfs.device(address))
        look.unreadable.append(Unreadable(device=address, path=path, error=f"not what a kernel writes: {error}"))
    return None


def _function(look: _Look, address: PciAddress) -> Function | None:
    sysfs = look.sysfs
    class_code = sysfs.hex_digits(address, "class")
    total = sysfs.number(sysfs.device(address, "sriov_totalvfs"))
    # A bridge only leads to other functions. A VF is listed with its PF.
    if not class_code or class_code.startswith(BRIDGE) or sysfs.link(sysfs.device(address, "physfn")) is not None:
        return None
    addresses = {} if total is None else sysfs.vf_addresses(address)
    look.read_ahead(addresses.values())
    ids = _vf_ids(sysfs, addresses)
    driver = sysfs.bound_driver(address)  # before its netdevs: where it cannot be read, they cannot be found either
    ports = look.ports(address)
    netdevs = tuple(port.netdev for port in ports)
    own = Function(
        address=address,
        vendor=sysfs.hex_digits(address, "vendor"),
        device=sysfs.hex_digits(address, "device"),
        class_code=class_code,
        driver=driver,
        netdevs=netdevs,
        numa_node=sysfs.numa_node(address),
        iommu_group=sysfs.group(address),
        driver_override=look.override(address),
        vfio_bound=sysfs.vfio_bound(address),
        needed_for=needed_for(sysfs, address) if look.needs else None,
        identity=identity_of(sysfs, address, ports),
        mtu=mtu_of(sysfs, address, netdevs),
    )
    own = replace(own, lacks=lacks(sysfs, own, look.unreadable), rdma=rdma_of(sysfs, own, look.unreadable))
    if total is None:
        return own
    pf = Pf(
        **own_fields(own),
        total_vfs=total,
        autoprobe=sysfs.switch(sysfs.device(address, "sriov_drivers_autoprobe")) is not False,
        vfs=tuple(_vf(look, own, index, addresses[index], ids) for index in sorted(addresses)),
    )
    return look.links(pf)


def _vf_ids(sysfs: Sysfs, addresses: dict[int, PciAddress]) -> tuple[str, str]:
    """Vendor and device ID of the VFs of one PF: one register of the PF has them for all (PCIe 6.0, 9.3.3.11)."""
    if not addresses:
        return "", ""
    first = addresses[min(addresses)]
    return sysfs.hex_digits(first, "vendor"), sysfs.hex_digits(first, "device")


def _vf(look: _Look, pf: Function, index: int, address: PciAddress, ids: tuple[str, str]) -> Vf:
    sysfs = look.sysfs
    driver, vfio_bound = sysfs.bound_driver(address), sysfs.vfio_bound(address)
    # Only a network driver makes netdevs.
    netdevs = () if driver is None or vfio_bound else look.netdevs(address)
    vf = Vf(
        address=address,
        pf=pf.address,
        index=index,
        vendor=ids[0],
        device=ids[1],
        class_code=pf.class_code,
        numa_node=pf.numa_node,
        driver=driver,
        driver_override=look.override(address),
        iommu_group=sysfs.group(address),
        vfio_bound=vfio_bound,
        netdevs=netdevs,
        mtu=mtu_of(sysfs, address, netdevs),
    )
    missing, rdma = lacks(sysfs, vf, look.unreadable), rdma_of(sysfs, vf, look.unreadable)
    return replace(vf, lacks=missing, rdma=rdma) if missing or rdma else vf


def vf_netdevs(sysfs: Sysfs, address: PciAddress) -> tuple[str, ...]:
    """Return the netdevs of a VF in the network namespace that this sysfs was mounted in: all are its own.

    Raises:
        SysfsReadError: they cannot be listed.
    """
    return sysfs.names(sysfs.net_folder(address)) or ()


def read_group(sysfs: Sysfs, number: int) -> IommuGroup:
    """Read an IOMMU group and the drivers of its members."""
    return IommuGroup(
        number=number,
        members=tuple(
            GroupMember(address=a, driver=sysfs.bound_driver(a), vfio_bound=sysfs.vfio_bound(a))
            for a in sorted(sysfs.group_members(number))
        ),
    )


def read_one(
    sysfs: Sysfs, address: PciAddress, netlink: Netlink | None = None, reader: Reader | None = None
) -> Function | None:
    """Read one function, and its VFs if it is a PF, as they are now, but not its link; None where there is none.

    Parts that only tell whether a container could use a function need not be known. A VF whose netdev is not known
    shows no link settings.

    Raises:
        SysfsReadError: something else of it cannot be read.
    """
    look = _Look(OneLook(sysfs), reader, False, netlink)
    found = _function(look, address)
    if (lost := next((it for it in look.unreadable if it.part is None), None)) is not None:
        raise SysfsReadError(lost.path, OSError(lost.error))
    return found
