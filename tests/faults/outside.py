"""What other programs and administrators do to a node, on the fake kernel and on the real one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest.mock import patch

from faulty_node import FaultyNode
from hardware import open_vfio

from virtfn_host.core.values.address import PciAddress
from virtfn_host.executor import Executor


def run(*words: str) -> None:
    """Run an administrator's command; only on a real machine."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@contextmanager
def nothing(_: FaultyNode) -> Iterator[None]:
    """Do nothing: the policies alone are the fault."""
    yield


@contextmanager
def device_held(node: FaultyNode) -> Iterator[None]:
    """Hold the first VF open through vfio, as a pod does."""
    with node.lab.used(node.vf()):
        yield


@contextmanager
def device_fd_alone_held(node: FaultyNode) -> Iterator[None]:
    """Hold the device open, with group and container closed again."""
    if node.fake:
        with node.lab.used(node.vf()):
            yield
        return
    device, group, container = open_vfio(node.sysfs, node.vf())
    os.close(group)
    os.close(container)
    yield
    os.close(device)


@contextmanager
def write_blocked(node: FaultyNode) -> Iterator[None]:
    """Write 0 to sriov_numvfs, as another program, while a VF is open: the write blocks until the VF is released."""
    with node.lab.used(node.vf()):
        node.lab.outsider(node.sysfs.device(node.pf, "sriov_numvfs"), "0")
        yield
    node.lab.outsiders_end()


@contextmanager
def group_held(node: FaultyNode) -> Iterator[None]:
    """Hold only the group of the first VF open."""
    group = node.sysfs.group(node.vf())
    assert group is not None
    if node.fake:
        vf = node.vf()
        node.fake.open_group(vf)
        yield
        node.fake.close_device(vf)
        return
    held = os.open(node.sysfs.group_node(group), os.O_RDWR | os.O_CLOEXEC)
    yield
    os.close(held)


@contextmanager
def opened_by_a_process(node: FaultyNode, path: str) -> Iterator[None]:
    """Let process 4242 of the fake /proc have this file open."""
    folder = node.root / "proc/4242/fd"
    (folder / "3").symlink_to(path)
    yield
    (folder / "3").unlink()


@contextmanager
def before_apply(act: Callable[[], None]) -> Iterator[None]:
    """Act between every plan and its apply, in the agent and in `virtfn`."""

    def late(*words: object, **more: object) -> object:
        act()
        return original(*words, **more)  # type: ignore[arg-type]

    original = Executor.carry_out
    with patch.object(Executor, "carry_out", late):
        yield


# --- netdevs ---------------------------------------------------------------------------------------------------------


def netdev(node: FaultyNode, address: PciAddress) -> str:
    """Return the only netdev of a function."""
    (name,) = node.sysfs.names(node.sysfs.device(address, "net")) or ()
    return name


@contextmanager
def netdev_up(node: FaultyNode) -> Iterator[None]:
    """Set the netdev of the first VF up."""
    name = netdev(node, node.vf())
    if node.fake:
        flags = Path(node.sysfs.device(node.vf(), "net", name, "flags"))
        flags.write_text("0x1003\n")
        yield
        flags.write_text("0x1002\n")
        return
    run("ip", "link", "set", name, "up")
    yield
    run("ip", "link", "set", name, "down")


@contextmanager
def netdev_with_a_master(node: FaultyNode) -> Iterator[None]:
    """Give the netdev of the first VF a master: a VRF, as a bridge or bond would be."""
    name = netdev(node, node.vf())
    if node.fake:
        master = Path(node.sysfs.device(node.vf(), "net", name, "master"))
        master.symlink_to("../../vrf9")
        yield
        master.unlink()
        return
    run("ip", "link", "add", "vrf9", "type", "vrf", "table", "9")
    run("ip", "link", "set", name, "master", "vrf9")
    yield
    run("ip", "link", "del", "vrf9")


def netdev_elsewhere(which: str) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Return a context with the netdev of `{vf}` or `{other}` in another network namespace, as after a CNI plugin."""

    @contextmanager
    def moved(node: FaultyNode) -> Iterator[None]:
        address = PciAddress.parse(node.named(which))
        name = netdev(node, address)
        if node.fake:
            there, away = Path(node.sysfs.device(address, "net", name)), node.root / "moved"
            there.rename(away)
            yield
            away.rename(there)
            return
        run("ip", "netns", "add", "faults")
        run("ip", "link", "set", name, "netns", "faults")
        yield
        run("ip", "netns", "exec", "faults", "ip", "link", "set", name, "netns", "1")
        run("ip", "netns", "del", "faults")

    return moved


@contextmanager
def default_route(node: FaultyNode) -> Iterator[None]:
    """Set the machine's default route through the second PF."""
    name = netdev(node, node.other)
    if node.fake:
        route = node.root / "proc/1/net/route"
        route.parent.mkdir(parents=True, exist_ok=True)
        route.write_text(f"Iface (and what else the kernel says there)\n{name} 00000000 0 1 0 0 0 00000000\n")
        link = node.root / f"sys/class/net/{name}"
        link.parent.mkdir(parents=True)
        link.symlink_to(f"../../devices/pci0000:00/{node.other}/net/{name}")
        yield
        route.unlink()
        return
    run("ip", "link", "set", name, "up")
    run("ip", "route", "add", "default", "dev", name)
    yield
    run("ip", "route", "del", "default", "dev", name)
    run("ip", "link", "set", name, "down")


@contextmanager
def somebodys_vf(node: FaultyNode) -> Iterator[None]:
    """Make a VF of the second PF, as another program."""
    node.raw(node.sysfs.device(node.other, "sriov_numvfs"), "1")
    yield
    node.raw(node.sysfs.device(node.other, "sriov_numvfs"), "0")


# --- drivers and cards -----------------------------------------------------------------------------------------------


def unbind(node: FaultyNode, address: PciAddress) -> None:
    """Unbind a function from its driver."""
    node.raw(node.sysfs.device(address, "driver/unbind"), str(address))


def bind(node: FaultyNode, address: PciAddress, driver: str) -> None:
    """Bind a function by hand."""
    node.raw(node.sysfs.driver(driver, "bind"), str(address))


@contextmanager
def pf_without_driver(node: FaultyNode, pf: PciAddress) -> Iterator[None]:
    """Unbind a PF from its driver; bind it again as the repair."""
    _unbind_pf(node, pf)
    yield
    bind(node, pf, "igb")


def _unbind_pf(node: FaultyNode, pf: PciAddress) -> None:
    if node.fake:
        node.fake._set_num_vfs(pf, 0)
    unbind(node, pf)


def reload_pf(node: FaultyNode, pf: PciAddress) -> None:
    """Unbind a PF and bind it again: its VFs are gone."""
    _unbind_pf(node, pf)
    bind(node, pf, "igb")


def remove_pf(node: FaultyNode, pf: PciAddress) -> None:
    """Remove a PF, as a hot-unplug does."""
    if node.fake:
        node.fake.remove_pf(pf)
    else:
        node.raw(node.sysfs.device(pf, "remove"), "1")


def put_back(node: FaultyNode, pf: PciAddress) -> None:
    """Add the same card again."""
    if node.fake:
        node.fake.add_pf(pf)
    else:
        node.raw("/sys/bus/pci/rescan", "1")


@contextmanager
def mounted_over(path: str, source: str, *more: str) -> Iterator[None]:
    """Bind-mount `source` over `path` on a real machine; remount it with the options, if any."""
    run("mount", "--bind", source, path)
    if more:
        run("mount", "-o", ",".join(("remount", "bind", *more)), path)
    yield
    run("umount", path)
