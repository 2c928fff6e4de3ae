"""Loads kernel modules by kmod's modprobe, which knows soft dependencies; nothing else here starts programs.

Busybox's modprobe ignores soft dependencies: vfio-pci then comes without vfio_iommu_type1, and the pod gets ENODEV when
it sets up its container (measured).
"""

import os
import shutil
import subprocess
from typing import Protocol

from virtfn_host.linux.errors import ModuleMissingError

ALSO = {"vfio-pci": ("vfio_iommu_type1",)}
"""Asked for by name, because not every distribution's module carries the soft dependency."""

CONTAINERS = "/sys/class/misc/vfio"
"""/dev/vfio/vfio, once vfio is loaded. A kernel whose vfio has no groups has no containers and none of ALSO either."""


class Modules(Protocol):
    """Loads a module by the name of its driver."""

    def load(self, driver: str, deadline: float) -> None:
        """Make the driver known to the kernel.

        Raises:
            ModuleMissingError: there is no such module, or it does not load.
        """


class Modprobe:
    """The machine's own modprobe."""

    def load(self, driver: str, deadline: float) -> None:
        """See Modules."""
        modprobe = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if modprobe is None:
            raise ModuleMissingError(f"cannot load the module of {driver}: there is no modprobe here; install kmod")
        self._run(modprobe, driver, deadline)
        if os.path.exists(CONTAINERS):
            for module in ALSO.get(driver, ()):
                self._run(modprobe, module, deadline)

    def _run(self, modprobe: str, module: str, deadline: float) -> None:
        try:
            done = subprocess.run([modprobe, module], capture_output=True, text=True, timeout=deadline, check=False)
        except subprocess.TimeoutExpired as error:
            raise ModuleMissingError(f"modprobe {module} has not returned in {deadline:.0f} s") from error
        if done.returncode != 0:
            answer = " ".join(done.stderr.split()) or f"exit {done.returncode}"
            raise ModuleMissingError(f"modprobe {module}: {answer}; install the module or name another driver")
