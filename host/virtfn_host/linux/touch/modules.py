"""Loads kernel modules with kmod's modprobe, which knows soft dependencies. No other file starts a foreign program.

Busybox's modprobe ignores soft dependencies: it loads vfio-pci without vfio_iommu_type1, and the pod gets ENODEV when
it sets up its container (measured by hand on Linux 6.1 and 6.12). kmod's modprobe accepts a path as a module (from
version 31 on) and options from the environment (MODPROBE_OPTIONS). So it gets a name behind `--` and an environment of
ours.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from virtfn_host.core.checks.refusals import module_way_out
from virtfn_host.core.values.names import modalias, module_name
from virtfn_host.linux.errors import ModuleMissingError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.child import ENVIRONMENT

ALSO = {"vfio-pci": ("vfio_iommu_type1",)}
"""Modules loaded by name as well, because not every distribution's module declares the soft dependency."""

CONTAINERS = "class/misc/vfio"
"""The device of /dev/vfio/vfio, once vfio is loaded. A kernel without vfio groups has no containers, and needs none of
ALSO."""

ANSWER = 500
"""Characters of modprobe's answer that a message quotes."""


class Modules(Protocol):
    """Loads modules by the name of their driver."""

    def load(self, driver: str, deadline: float) -> None:
        """Load the module of a driver.

        Raises:
            ModuleMissingError: there is no such module, or it does not load.
        """


class Modprobe:
    """The machine's own modprobe."""

    def __init__(self, sysfs: Sysfs | None = None, root: Path = Path("/")) -> None:
        """Use the machine's files below `root`. If the /sys there is not that of the running kernel, nothing is
        loaded: modprobe would change the running kernel instead.
        """
        self._sysfs = sysfs or Sysfs()
        self._root = root

    def load(self, driver: str, deadline: float) -> None:
        """See Modules; `driver` may also be a function's modalias."""
        modprobe = shutil.which("modprobe", path=ENVIRONMENT["PATH"])
        if modprobe is None:
            raise ModuleMissingError(f"cannot load the module of {driver}: there is no modprobe here; install kmod")
        command = [modprobe, *self._elsewhere(driver), "--"]
        _run(command, driver, deadline)
        if os.path.exists(self._sysfs.sys / CONTAINERS):
            for module in ALSO.get(driver, ()):
                _run(command, module, deadline)

    def _elsewhere(self, driver: str) -> list[str]:
        """modprobe's options for the modules of another root."""
        if self._root == Path("/"):
            return []
        if not _is_sysfs(self._sysfs.sys):
            text = f"{self._sysfs.sys} is not the /sys of the running kernel"
            raise ModuleMissingError(f"cannot load the module of {driver}: {text}; load it there by hand")
        return ["-d", str(self._root.absolute())]


def _run(command: list[str], module: str, deadline: float) -> None:
    try:
        name = modalias(module) if ":" in module else module_name(module)
    except ValueError as error:
        raise ModuleMissingError(f"not given to modprobe: {error}") from error
    try:
        started = subprocess.Popen(
            [*command, name],
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ModuleMissingError(f"modprobe {name} could not be started: {error.strerror or error}") from error
    with started as process:
        try:
            _, told = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired as error:
            process.kill()
            _leave(process)
            raise ModuleMissingError(f"modprobe {name} has not returned in {deadline:.0f} s") from error
    if process.returncode != 0:
        answer = " ".join(told.decode(errors="replace").split())[:ANSWER] or f"exit {process.returncode}"
        raise ModuleMissingError(f"modprobe {name}: {answer}; {module_way_out(answer)}")


def _leave(process: subprocess.Popen[bytes]) -> None:
    """Wait a second for a killed process; one that is blocked in the kernel ends later."""
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.returncode = -9


def _is_sysfs(path: Path) -> bool:
    """Whether a sysfs is mounted there: every sysfs of a machine belongs to the running kernel. proc(5): mountinfo."""
    real = os.path.realpath(path)
    try:
        with open("/proc/self/mountinfo", errors="surrogateescape") as lines:
            mounts = [line.partition(" - ") for line in lines]
    except OSError:
        return False
    return any(left.split()[4] == real and right.split()[0] == "sysfs" for left, _, right in mounts)
