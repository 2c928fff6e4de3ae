"""The wall: refuses what would be fatal, whatever a plan says (functions the machine needs, foreign drivers, modules).

The agent decides, and an attacker who has taken over the agent decides otherwise. So the machine itself is asked here,
at the moment of the step. No function that this machine needs is touched. A function goes only to a vfio driver, to the
driver that it had before the first touch, or to one that this kernel names for it (docs/decisions/0013).
"""

import os

from virtfn_host.core.checks.aliases import VFIO_PCI, driver_of, modules_for
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Original
from virtfn_host.core.values.names import driver_name
from virtfn_host.core.values.steps import FunctionRef
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.errors import DriverRefusedError
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.look.needs import share
from virtfn_host.linux.look.own_drivers import vf_modalias
from virtfn_host.linux.look.preflight import module_name, vfio_modules
from virtfn_host.linux.look.spare import refuse_needed, why_needed
from virtfn_host.linux.look.surroundings import read_aliases
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader

VFIO_CORE = "vfio-pci-core"
"""The module that all vfio drivers of PCI functions use, from Linux 5.16 on; before, vfio-pci was the only driver."""

MODULE_INDEXES = ("modules.dep", "modules.dep.bin")
"""The index of modules that we read, and the one that kmod reads: without the first, kmod may still load any module."""


class Wall:
    """Checks each step of one PF. One look serves all its steps, so each PF needs a new wall."""

    def __init__(self, sysfs: Sysfs, journal: Journal, reader: Reader | None) -> None:
        self._sysfs = sysfs
        self._journal = journal
        self._reader = reader
        self._look = OneLook(sysfs)
        self._modules_alias: str | None = None
        self._of_modules: frozenset[str] | None = None
        self._entries: dict[tuple[PciAddress, bool], Original | None] = {}

    def look(self) -> OneLook:
        """Take a new look that already knows what this machine needs."""
        look = OneLook(self._sysfs)
        share(self._look, look)
        return look

    def expect_spare(self, address: PciAddress) -> None:
        """Refuse a function that this machine needs.

        Raises:
            NeededError: this machine needs it, or may need it.
        """
        refuse_needed(address, why_needed(self._look, address))

    # --- drivers --------------------------------------------------------------------------------------------------

    def expect_driver(self, name: str, function: FunctionRef, address: PciAddress) -> None:
        """Refuse a driver that a function may not be bound to.

        Raises:
            DriverRefusedError: the driver is not allowed for this function.
            HostError: the machine does not say.
        """
        if name == VFIO_PCI or name in self._before(function):
            return
        try:
            driver_name(name)
        except ValueError as error:
            raise DriverRefusedError(f"refused: {error}; nothing was written") from error
        if self._is_vfio(name) or self._is_named_for(name, address):
            return
        text = f"{name} is not a vfio driver, not what {address} had before the first touch, and not named for it by"
        raise DriverRefusedError(f"refused: {text} this kernel's modules.alias; nothing was written")

    def expect_module(self, name: str, pf: PciAddress) -> None:
        """Refuse a module that may not be loaded for a PF and its VFs.

        Where this kernel's modules cannot be seen nothing is refused: modprobe sees none either, and says so.

        Raises:
            DriverRefusedError: no function of this PF may need the module.
            HostError: the machine does not say.
        """
        folder = self._sysfs.modules_folder()
        if not any(os.path.exists(folder / index) for index in MODULE_INDEXES) or self._is_vfio(name):
            return
        entry = self._entry(pf, whole=False)
        functions = (pf, *self._sysfs.vf_addresses(pf).values())
        if name in _drivers_of(entry) or any(self._is_named_for(name, address) for address in functions):
            return
        if self._is_named_by(name, vf_modalias(self._sysfs, pf) or ""):  # VFs that are still to be made
            return
        text = f"module {name} brings no vfio driver and none that {pf} or its VFs had before or this kernel names"
        raise DriverRefusedError(f"refused: {text} for them; nothing was loaded")

    def _is_vfio(self, name: str) -> bool:
        """Whether a driver is a vfio driver: by the kernel's evidence, never by its name."""
        if name == VFIO_PCI:
            return True
        return name in self._vfio_of_modules() or self._vfio_now(name)

    def _vfio_of_modules(self) -> frozenset[str]:
        """Drivers of modules on the disk that have a `vfio_pci:` alias or need vfio-pci-core."""
        if self._of_modules is None:
            found = set(vfio_modules(self._aliases()))
            for line in (self._sysfs.read(self._sysfs.modules_folder() / "modules.dep") or "").splitlines():
                if VFIO_CORE in {module_name(part).replace("_", "-") for part in line.partition(":")[2].split()}:
                    found.add(module_name(line).replace("-", "_"))
            self._of_modules = frozenset(map(driver_of, found))
        return self._of_modules

    def _vfio_now(self, name: str) -> bool:
        """Whether a registered driver uses vfio-pci-core, or has a function on vfio now."""
        sysfs = self._sysfs
        module = sysfs.link(sysfs.driver(name, "module"))
        core = VFIO_CORE.replace("-", "_")
        if module is not None and module in (sysfs.names(sysfs.sys / f"module/{core}/holders") or ()):
            return True
        return any(
            os.path.isdir(sysfs.driver(name, entry, "vfio-dev")) for entry in sysfs.names(sysfs.driver(name)) or ()
        )

    def _before(self, function: FunctionRef) -> frozenset[str]:
        """Driver and override that the journal has of this very function."""
        entry = self._entry(function.pf, whole=function.index is None)
        if entry is None:
            return frozenset()
        if function.index is None:
            own = entry.own
            return frozenset() if own is None else _names(own.driver, own.driver_override)
        vf = next((vf for vf in entry.vfs if vf.index == function.index), None)
        return frozenset() if vf is None else _names(vf.driver, vf.driver_override)

    def _entry(self, pf: PciAddress, *, whole: bool) -> Original | None:
        """The journal's entry of this very card. With `whole` it is kept apart, because `own` may be noted later."""
        if (pf, whole) not in self._entries:
            self._entries[pf, whole] = self._journal.entry(card_of(self._sysfs, pf, self._reader))
        return self._entries[pf, whole]

    def _is_named_for(self, name: str, address: PciAddress) -> bool:
        """Whether a module whose alias fits the function brings this driver."""
        return self._is_named_by(name, self._sysfs.read(self._sysfs.device(address, "modalias")) or "")

    def _is_named_by(self, name: str, text: str) -> bool:
        modules = {module.replace("-", "_") for module in modules_for(self._aliases(), text)}
        if not modules:
            return False
        registered = self._sysfs.link(self._sysfs.driver(name, "module"))
        return (registered or name).replace("-", "_") in modules

    def _aliases(self) -> str:
        if self._modules_alias is None:
            self._modules_alias = read_aliases(self._sysfs)
        return self._modules_alias


def _names(*names: str | None) -> frozenset[str]:
    return frozenset(name for name in names if name is not None)


def _drivers_of(entry: Original | None) -> frozenset[str]:
    """Every driver that the journal has for a PF and its VFs."""
    if entry is None:
        return frozenset()
    own = entry.own.driver if entry.own is not None else None
    return _names(own, *(vf.driver for vf in entry.vfs))
