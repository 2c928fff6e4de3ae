"""A fake kernel: a tree of real files that reacts to writes as real kernels do (tests/contract/ runs on both).

It knows nothing that tests/contract/ does not also check on a real kernel. `FakeWriter` receives writes, `FakeSysfs`
opens of group nodes; everything else is plain reading of plain files.
"""

import errno
import functools
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from groups import FakeGroups
from netlink import FakeNetlink, driver_address
from other_results import OtherResults
from outsider import Outsider
from vfio import FakeVfio

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Stuck, VfLink
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.errors import ModuleMissingError, StuckError, SysfsReadError, SysfsWriteError
from virtfn_host.linux.look.preflight import module_name
from virtfn_host.linux.read.holding import who_blocks
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.rounds import NOBODY
from virtfn_host.linux.touch.writer import MAX_CHILDREN, Answer, Writer

IGB = ("8086", "10c9")
VF_IDS = ("8086", "10ca")
E1000E_IDS = ("8086", "10d3")
NOIOMMU_MODE = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
MATCHING = {IGB: "igb", ("8086", "10e6"): "igb", VF_IDS: "igbvf"}
"""Drivers by the device ids that they match; vfio-pci takes the devices whose override names it."""


class FakeKernel:
    """PFs, VFs, drivers, IOMMU groups and vfio users under `root`."""

    def __init__(
        self,
        root: Path,
        pfs: int = 2,
        total_vfs: int = 7,
        iommu: bool = True,
        *,
        noiommu: bool = False,
        groups: bool = True,
        cdevs: bool = False,
        siblings: int = 0,
    ) -> None:
        """`noiommu`: vfio is told to do without an IOMMU; `groups`, `cdevs`: which device nodes vfio makes; `siblings`:
        functions without VFs that share one IOMMU group.
        """
        self.root = root
        self.iommu = iommu
        if noiommu:
            self.tell_vfio("Y")
        self.groups = FakeGroups(root)
        self.vfio = FakeVfio(root, groups=groups, cdevs=cdevs)
        self.devices = root / "sys/bus/pci/devices"
        self.drivers = root / "sys/bus/pci/drivers"
        self.hidden = False
        """Whether we may not look at the open files of other processes."""
        self.fail: dict[str, int] = {}
        """Errno of the next write to an attribute, by the attribute's name."""
        self.killed_after: int | None = None
        """Writes until the writer is "killed": every later one raises."""
        self.before_write: Callable[[], None] = lambda: None
        """Called before each write, so that others can act in that moment."""
        self.writes: list[tuple[str, str]] = []
        self.links: dict[PciAddress, VfLink] = {}
        """Link settings of VFs, set through their PFs (`netlink.py`); they end with the VF."""
        self.made_up: set[PciAddress] = set()
        """VFs whose MAC their own driver made up."""
        self.addresses: dict[str, tuple[str, ...]] = {}
        """IP addresses by netdev."""
        self.other_names: dict[str, tuple[str, ...]] = {}
        """Alternative names by netdev (`ip link property add`)."""
        self.instead = OtherResults()
        """What drivers make instead of what is asked for."""
        self.now: Callable[[], float] = since_boot
        """Seconds since boot, for the machine of the tests."""
        self.ifindexes = itertools.count(2)
        """What the next netdevs get; 1 is the loopback's."""
        self.macs: dict[PciAddress, str] = {}
        """Permanent MACs of cards that brought one of their own."""
        self.outsider: Outsider | None = None
        """Another program whose write is blocked."""
        for folder in (self.devices, self.drivers):
            folder.mkdir(parents=True)
        (root / "proc/sys/kernel/random").mkdir(parents=True)
        (root / "proc/sys/kernel/random/boot_id").write_text("0b7e\n")
        (root / "proc/sys/kernel/osrelease").write_text("6.1.0\n")
        # For real netlink with this root: it finds our own namespace, whose netdevs are not those of this machine.
        (root / "proc/1/ns").mkdir(parents=True, exist_ok=True)
        (root / "proc/1/ns/net").symlink_to("/proc/self/ns/net")
        (root / "sys/bus/pci/drivers_probe").write_text("")
        for driver in ("igb", "igbvf"):
            self.register(driver)
        for number in range(pfs):
            self._add_pf(PciAddress(0, number + 1, 0, 0), total_vfs)
        shared = self.groups.new() if siblings else None
        for number in range(siblings):
            self._add(PciAddress(0, 0x20, 0, number), E1000E_IDS, "0x020000", shared)

    # --- the machine as the tests see it --------------------------------------------------------------------------

    def machine(self) -> Machine:
        """Return the machine that `apply` works on."""
        sysfs = FakeSysfs(self)
        journal = Journal(self.root / "journal.json", sysfs.boot_id)
        return Machine(
            sysfs=sysfs,
            writer=FakeWriter(self),
            journal=journal,
            modules=FakeModules(self),
            netlink=FakeNetlink(self),
            now=lambda: self.now(),
        )

    def register(self, driver: str) -> None:
        """Load a driver."""
        folder = self.drivers / driver
        folder.mkdir(exist_ok=True)
        for name in ("bind", "unbind"):
            (folder / name).write_text("")

    def open_device(self, address: PciAddress) -> None:
        """Let another program open a function through vfio, to use it."""
        assert self._driver(address) == "vfio-pci"
        self.vfio.use(address, self.node(address))

    def open_group(self, address: PciAddress) -> None:
        """Let another program open a function's group and no device; EBUSY while the group is open."""
        assert self._driver(address) == "vfio-pci"
        self.vfio.take_group(self.node(address))

    def close_device(self, address: PciAddress) -> None:
        """End the program that has a function open."""
        if (self.devices / str(address)).exists():
            self.vfio.close(address, self.node(address))
        if self.outsider is not None and self.outsider.goes_on():
            self.outsider = None

    @property
    def noiommu(self) -> bool:
        """Whether vfio takes functions without an IOMMU group."""
        switch = self.root / NOIOMMU_MODE
        return switch.exists() and switch.read_text() == "Y\n"

    def tell_vfio(self, mode: str) -> None:
        """Let the administrator switch vfio's mode without an IOMMU: `Y` or `N`."""
        switch = self.root / NOIOMMU_MODE
        switch.parent.mkdir(parents=True, exist_ok=True)
        switch.write_text(f"{mode}\n")

    def node(self, address: PciAddress) -> str:
        """Return the name of the device node of a function's group."""
        group = self._group(address)
        return f"noiommu-{group}" if self._made_by_vfio(address) else f"{-1 if group is None else group}"

    def _made_by_vfio(self, address: PciAddress) -> bool:
        """Whether vfio made a function's group, at the bind, because it has no IOMMU."""
        return (self.devices / str(address) / "iommu_group/name").exists()

    def add_pf(
        self,
        address: PciAddress,
        total_vfs: int = 7,
        ids: tuple[str, str] = IGB,
        *,
        mac: str | None = None,
        serial: str | None = None,
    ) -> None:
        """Hot-plug a card: a new one, the same again, or another one in its place.

        Args:
            mac: its permanent MAC; one that is made of the address if None.
            serial: its serial number; it has none if None.
        """
        self.macs.pop(address, None)
        if mac is not None:
            self.macs[address] = mac
        self._add_pf(address, total_vfs, ids)
        if serial is not None:
            self.give_serial(address, serial)

    def give_serial(self, address: PciAddress, serial: str) -> None:
        """Let a function show a Device Serial Number in its configuration space, behind another capability."""
        number = bytes.fromhex(serial.replace("-", ""))
        space = bytearray(0x1000)
        space[0x100:0x104] = (0x0001 | 1 << 16 | 0x140 << 20).to_bytes(4, "little")  # Advanced Error Reporting
        space[0x140:0x144] = (0x0003 | 1 << 16).to_bytes(4, "little")
        space[0x144:0x148], space[0x148:0x14C] = number[4:][::-1], number[:4][::-1]
        (self.devices / str(address) / "config").write_bytes(space)

    def give_slot(self, address: PciAddress, name: str) -> None:
        """Let firmware name the slot that a function is in."""
        folder = self.root / "sys/bus/pci/slots" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "address").write_text(str(address).rpartition(".")[0] + "\n")

    def mac_of(self, address: PciAddress) -> str:
        """Return the permanent MAC of a function that is no VF."""
        return self.macs.get(address, f"52:54:00:00:{address.bus:02x}:{address.function:02x}")

    def reboot(self, boot_id: str = "0b7f") -> None:
        """Begin another boot: VFs, overrides and autoprobe end, drivers are bound anew, nothing is in use."""
        (self.root / "proc/sys/kernel/random/boot_id").write_text(f"{boot_id}\n")
        for address in sorted(map(PciAddress.parse, os.listdir(self.devices))):
            folder = self.devices / str(address)
            if not (folder / "sriov_totalvfs").exists():
                continue
            total, ids = int((folder / "sriov_totalvfs").read_text()), self._ids(address)
            config = (folder / "config").read_bytes() if (folder / "config").exists() else None
            self.remove_pf(address)
            self._add_pf(address, total, ids)
            if config is not None:
                (folder / "config").write_bytes(config)
        self.groups.renumber()

    def _ids(self, address: PciAddress) -> tuple[str, str]:
        vendor, device = (
            (self.devices / str(address) / name).read_text().strip().removeprefix("0x") for name in ("vendor", "device")
        )
        return vendor, device

    def remove_pf(self, address: PciAddress) -> None:
        """Hot-unplug a card."""
        self._set_num_vfs(address, 0)
        self._remove(address)

    # --- writes ---------------------------------------------------------------------------------------------------

    def write(self, path: Path, value: str) -> None:
        """Make one write(2); raises OSError as the kernel does, and BlockingIOError where it would block for ever."""
        if not path.exists():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.begins(str(path.relative_to(self.root)), value)
        if number := self.fail.pop(path.name, 0):
            raise OSError(number, os.strerror(number))
        self.goes_on(path, value)

    def goes_on(self, path: Path, value: str) -> None:
        """Carry out a write that has begun, including one that was blocked before; raises as `write`."""
        match path.name:
            case "sriov_numvfs":
                self._write_num_vfs(PciAddress.parse(path.parent.name), value)
            case "sriov_drivers_autoprobe":
                self._write_autoprobe(path, value)
            case "driver_override":
                self._write_override(path, value)
            case "drivers_probe":
                self._write_probe(value)
            case "bind":
                self._write_bind(path.parent.name, self._known(value))
            case "unbind":
                self._write_unbind(path.resolve().parent.name, self._known(value))
            case _:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def begins(self, what: str, value: str) -> None:
        """Note a write to a path below `root`, or a link setting; raises InterruptedError if the writer is "killed"."""
        self.before_write()
        if self.killed_after is not None:
            if self.killed_after == 0:
                raise InterruptedError("the writer was killed")
            self.killed_after -= 1
        self.writes.append((what, value))

    def _write_num_vfs(self, pf: PciAddress, value: str) -> None:
        if not value.strip().isdigit() or value != value.strip() + "\n" * value.endswith("\n"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        number, total = int(value), int((self.devices / str(pf) / "sriov_totalvfs").read_text())
        if number > total:
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
        if self.outsider is not None and self.outsider.resizes:
            raise BlockingIOError("a write of another program has the lock of all PCI devices")
        current = len(self._vfs(pf))
        if number == current:
            return
        if self._driver(pf) in (None, "vfio-pci"):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if number and current:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._set_num_vfs(pf, self.instead.number(pf, number, total))

    def _set_num_vfs(self, pf: PciAddress, number: int) -> None:
        if not number:
            vfs = self._vfs(pf)
            for vf in vfs:
                self._would_block(vf)
            for index, vf in enumerate(vfs):
                (self.devices / str(pf) / f"virtfn{index}").unlink()
                self._remove(vf)
        for index in range(len(self._vfs(pf)), number):
            vf = PciAddress(pf.domain, pf.bus, 0x10 + index // 4, index % 4 * 2)
            self._add(vf, VF_IDS, "0x020000")
            (self.devices / str(pf) / f"virtfn{index}").symlink_to(f"../{vf}")
            (self.devices / str(vf) / "physfn").symlink_to(f"../{pf}")
            if (self.devices / str(pf) / "sriov_drivers_autoprobe").read_text() == "1\n":
                self._bind("igbvf", vf)

    def _write_autoprobe(self, path: Path, value: str) -> None:
        if value.strip() not in ("0", "1", "y", "n"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        path.write_text("1\n" if value.strip() in ("1", "y") else "0\n")

    def _write_override(self, path: Path, value: str) -> None:
        if len(value) >= 4096:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if PciAddress.parse(path.parent.name) in self.instead.deaf:
            return
        if value:  # an empty write does not reach the kernel
            path.write_text(value.split("\n")[0] + "\n" if value.strip("\n\0") else "(null)\n")

    def _write_probe(self, value: str) -> None:
        if not value:
            return
        address = self._known(value)
        driver = self._takes(address)
        refused = driver == "vfio-pci" and not (self.iommu or self.noiommu)
        free = driver is not None and self._driver(address) is None and not refused
        if driver is not None and free and (driver := self.instead.driver(address, driver)):
            self._bind(driver, address)

    def _write_bind(self, driver: str, address: PciAddress) -> None:
        if self._driver(address) is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        if self._takes(address) != driver:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if driver == "vfio-pci" and not (self.iommu or self.noiommu):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if (ends_on := self.instead.driver(address, driver)) is not None:
            self._bind(ends_on, address)

    def _write_unbind(self, driver: str, address: PciAddress) -> None:
        if self._driver(address) != driver:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self._would_block(address)
        if driver == "igb":
            self._set_num_vfs(address, 0)
        self._unbind(address)

    def _would_block(self, address: PciAddress) -> None:
        if address in self.vfio.opened:
            raise BlockingIOError(f"{address} is open: the write blocks until its user closes it")

    # --- state ----------------------------------------------------------------------------------------------------

    def _takes(self, address: PciAddress) -> str | None:
        """Return the driver that the kernel would choose for a function."""
        folder = self.devices / str(address)
        override = (folder / "driver_override").read_text().strip()
        if override != "(null)":
            return override if (self.drivers / override).exists() else None
        physfn = folder / "physfn"
        if physfn.exists() and (physfn / "sriov_drivers_autoprobe").read_text() == "0\n":
            return None
        ids = tuple((folder / name).read_text().strip().removeprefix("0x") for name in ("vendor", "device"))
        driver = MATCHING.get((ids[0], ids[1]))
        return driver if driver is not None and (self.drivers / driver).exists() else None

    def _bind(self, driver: str, address: PciAddress) -> None:
        folder = f"{self.devices}/{address}"
        os.symlink(f"../../drivers/{driver}", f"{folder}/driver")
        os.symlink(f"../../devices/{address}", f"{self.drivers}/{driver}/{address}")
        if driver == "vfio-pci":
            if self._group(address) is None and self.noiommu:
                self.groups.join(Path(folder), self.groups.new("vfio-noiommu"))
            self.vfio.bind(address, self.node(address))
            _put(f"{folder}/enable", "0\n")
        else:
            netdev = f"{folder}/net/{self._free_name(f'eth{address.bus}v{address.device}{address.function}')}"
            os.makedirs(netdev)
            _put(f"{netdev}/flags", "0x1002\n")
            _put(f"{netdev}/ifindex", f"{next(self.ifindexes)}\n")
            _put(f"{netdev}/mtu", "1500\n")
            mac, made_up = driver_address(self, address)
            _put(f"{netdev}/address", f"{mac}\n")
            _put(f"{netdev}/addr_assign_type", f"{made_up:d}\n")
            _put(f"{folder}/enable", "1\n")

    def _free_name(self, name: str) -> str:
        """Return a name for a new netdev. If another netdev was renamed to this one, it is another, as in Linux."""
        taken = any(os.path.exists(f"{self.devices}/{folder}/net/{name}") for folder in os.listdir(self.devices))
        return f"{name}_" if taken else name

    def _unbind(self, address: PciAddress) -> None:
        folder = self.devices / str(address)
        driver = self._driver(address)
        (folder / "driver").unlink()
        (self.drivers / str(driver) / str(address)).unlink()
        shutil.rmtree(folder / "net", ignore_errors=True)
        if driver == "vfio-pci":
            self.vfio.unbind(address, self.node(address), alone=self.groups.on_vfio(folder) == 1)
            if self._made_by_vfio(address):
                self.groups.leave(folder)
        (folder / "enable").write_text("0\n")

    def _add_pf(self, address: PciAddress, total_vfs: int, ids: tuple[str, str] = IGB) -> None:
        self._add(address, ids, "0x020000")
        for name, text in (("sriov_totalvfs", total_vfs), ("sriov_drivers_autoprobe", 1), ("sriov_numvfs", 0)):
            _put(f"{self.devices}/{address}/{name}", f"{text}\n")
        for name, number in (("sriov_offset", 0x80), ("sriov_stride", 2)):
            _put(f"{self.devices}/{address}/{name}", f"{number}\n")
        (self.devices / str(address) / "sriov_vf_device").write_text(f"{VF_IDS[1]}\n")
        self._bind("igb", address)

    def _add(self, address: PciAddress, ids: tuple[str, str], class_code: str, group: Path | None = None) -> None:
        folder = f"{self.devices}/{address}"
        os.mkdir(folder)
        attributes = {
            "vendor": f"0x{ids[0]}",
            "device": f"0x{ids[1]}",
            "class": class_code,
            "driver_override": "(null)",
            "numa_node": "-1",
            "enable": "0",
            "modalias": f"pci:v0000{ids[0].upper()}d0000{ids[1].upper()}sv00000000sd00000000bc{class_code[2:4]}sc00i00",
        }
        for name, text in attributes.items():
            _put(f"{folder}/{name}", f"{text}\n")
        if self.iommu:
            self.groups.join(Path(folder), group or self.groups.new())

    def _remove(self, address: PciAddress) -> None:
        self.links.pop(address, None)
        self.made_up.discard(address)
        if self._driver(address) is not None:
            self._unbind(address)
        if self._group(address) is not None:
            self.groups.leave(self.devices / str(address))
        shutil.rmtree(self.devices / str(address))

    def _known(self, value: str) -> PciAddress:
        try:
            address = PciAddress.parse(value.strip())
        except ValueError:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
        if not (self.devices / str(address)).exists():
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return address

    def _driver(self, address: PciAddress) -> str | None:
        try:
            return os.path.basename(os.readlink(f"{self.devices}/{address}/driver"))
        except FileNotFoundError:
            return None

    def _group(self, address: PciAddress) -> int | None:
        return self.groups.number(self.devices / str(address))

    def _vfs(self, pf: PciAddress) -> list[PciAddress]:
        folder = f"{self.devices}/{pf}"
        indexes = sorted(int(name[6:]) for name in os.listdir(folder) if name.startswith("virtfn"))
        return [PciAddress.parse(os.readlink(f"{folder}/virtfn{index}")[3:]) for index in indexes]


def _put(path: str, text: str) -> None:
    """Write a file, without pathlib: the histories write millions of them."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


class FakeSysfs(Sysfs):
    """Reads the tree; an open group node gives EBUSY, and other processes' open files may be hidden."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
        self._kernel = kernel

    def open_group(self, node: str) -> int:
        """See Sysfs: exclusive while it is open."""
        return self._kernel.vfio.open_group(Path(node))

    def names(self, path: str | Path) -> tuple[str, ...] | None:
        """See Sysfs; open files of other processes may be hidden."""
        if self._kernel.hidden and Path(path).name == "fd":
            raise SysfsReadError(str(path), OSError(errno.EACCES, os.strerror(errno.EACCES)))
        return super().names(path)


class FakeWriter(Writer):
    """Hands writes to the fake kernel; a write that would block is stuck until its holder is gone."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(functools.partial(who_blocks, FakeSysfs(kernel)))
        self._kernel = kernel
        self._blocked: tuple[Path, str] | None = None

    def write_each(
        self,
        writes: Sequence[tuple[os.PathLike[str] | str, str]],
        deadline: float,
        at_once: int = MAX_CHILDREN,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Answer]:
        """See Writer."""
        answers = [self._answer(Path(path), value) for path, value in writes]
        meanwhile()
        return answers

    def _answer(self, path: Path, value: str) -> Answer:
        if (stuck := self.stuck()) is not None:
            return StuckError(f"not written: {stuck.text}")
        try:
            self._kernel.write(path, value)
        except BlockingIOError as error:
            if error.errno is not None:  # EAGAIN of a driver, which is an answer
                return SysfsWriteError(os.fspath(path), value, error.errno)
            self._blocked = (path, value)
            who = self._who(os.fspath(path), value)
            return StuckError(f"{error}; {who.text if who else NOBODY}")
        except InterruptedError:
            raise
        except OSError as error:
            return SysfsWriteError(os.fspath(path), value, error.errno or 0)
        return None

    def stuck(self) -> Stuck | None:
        """See Writer; a blocked write is carried out as soon as it can be."""
        if self._blocked is None:
            return None
        path, value = self._blocked
        try:
            self._kernel.goes_on(path, value)
        except BlockingIOError as error:
            who = self._who(str(path), value)
            held = who.functions if who else ()
            return Stuck(path=str(path), value=value, seconds=0, text=f"{error}; {who and who.text}", held=held)
        except OSError:
            pass  # It returned with an errno, so it is not stuck any more.
        self._blocked = None
        return None


class FakeModules:
    """Modules that exist: vfio-pci, all that are registered, and those of `modules.dep`."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def load(self, driver: str, deadline: float) -> None:
        """See Modules."""
        if driver == "vfio-pci" or driver in self._on_disk():
            self._kernel.register(driver)
        elif ":" not in driver and not (self._kernel.drivers / driver).exists():
            answer = f"FATAL: Module {driver} not found"
            raise ModuleMissingError(f"modprobe {driver}: {answer}; install the module or name another driver")

    def _on_disk(self) -> set[str]:
        """The names of modules that are on the disk; in the fake each brings the driver of its name."""
        index = FakeSysfs(self._kernel).modules_folder() / "modules.dep"
        return set(map(module_name, index.read_text().splitlines())) if index.exists() else set()
