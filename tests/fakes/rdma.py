"""RDMA devices in a fake kernel's tree, laid out as the kernel does it.

`of_card` is a card's own, as mlx5_ib and irdma make it: `infiniband`, `infiniband_verbs` and `infiniband_mad` are
folders of its PCI function. The kernel's documents of that layout: Documentation/ABI/stable/sysfs-class-infiniband
(files `ibdev`, `port`, `gid_attrs/ndevs`), and drivers/infiniband/hw/{mlx5,irdma}/main.c, where the function is the
parent of the RDMA device. A port of it shows its netdev, too, but that is not needed here.

`of_rxe` is one of rdma_rxe over a netdev, as it was measured on Linux 6.12: everything is in /sys/devices/virtual.
"""

from itertools import count
from pathlib import Path

from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress


class FakeRdma:
    """The RDMA devices of a fake machine. Numbers of nodes are given one after the other, as the kernel does."""

    def __init__(self, kernel: FakeKernel, *, umad: bool = True) -> None:
        """`umad`: whether ib_umad is loaded."""
        self.root = kernel.root
        self._devices = kernel.devices
        self._umad = umad
        self._numbers = count()

    def of_card(
        self, address: PciAddress, name: str, *, ports: int = 1, layer: str = "Ethernet", guid: str = ""
    ) -> tuple[str, ...]:
        """Give a function an RDMA device of its own, and return the names of its nodes.

        Args:
            layer: `Ethernet` or `InfiniBand`.
            guid: of the node; empty: some.
        """
        made = self._make(self._devices / str(address), name, ports)
        device = self._devices / str(address) / "infiniband" / name
        for port in (device / "ports").iterdir():
            (port / "link_layer").write_text(f"{layer}\n")
        if guid:
            (device / "node_guid").write_text(f"{guid}\n")
        return made

    def of_rxe(self, netdev: str, name: str) -> tuple[str, ...]:
        """`rdma link add NAME type rxe netdev NETDEV`; return the names of its nodes."""
        virtual = self.root / "sys/devices/virtual"
        made = self._make(virtual, name, 1)
        (virtual / "infiniband" / name / "parent").write_text(f"{netdev}\n")
        ndevs = virtual / "infiniband" / name / "ports/1/gid_attrs/ndevs"
        ndevs.mkdir(parents=True)
        (ndevs / "0").write_text(f"{netdev}\n")
        return made

    def move_away(self, address: PciAddress) -> None:
        """`rdma dev set NAME netns POD` in exclusive mode: the folder stays, and shows nothing any more."""
        for device in (self._devices / str(address) / "infiniband").iterdir():
            for file in sorted(device.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            device.rmdir()

    def set_netns(self, mode: str) -> None:
        """`rdma system set netns shared|exclusive`."""
        parameter = self.root / "sys/module/ib_core/parameters/netns_mode"
        parameter.parent.mkdir(parents=True, exist_ok=True)
        parameter.write_text("Y\n" if mode == "shared" else "N\n")

    def load_ucm(self) -> None:
        """`modprobe rdma_ucm`."""
        self._node("rdma_cm")

    def _make(self, folder: Path, name: str, ports: int) -> tuple[str, ...]:
        for port in range(1, ports + 1):
            (folder / "infiniband" / name / "ports" / str(port)).mkdir(parents=True)
        (folder / "infiniband" / name / "node_guid").write_text("b859:9f03:0045:2c1a\n")
        made: list[tuple[str, str, int | None]] = [("infiniband_verbs", f"uverbs{next(self._numbers)}", None)]
        for port in range(1, ports + 1) if self._umad else ():
            number = next(self._numbers)
            made += [("infiniband_mad", f"{kind}{number}", port) for kind in ("umad", "issm")]
        for kind, node, its_port in made:
            (folder / kind / node).mkdir(parents=True)
            (folder / kind / node / "ibdev").write_text(f"{name}\n")
            (folder / kind / node / "dev").write_text("231:0\n")
            (folder / kind / node / "uevent").write_text(f"MAJOR=231\nMINOR=0\nDEVNAME=infiniband/{node}\n")
            if its_port is not None:
                (folder / kind / node / "port").write_text(f"{its_port}\n")
            self._node(node)
        return tuple(node for _, node, _ in made)

    def _node(self, name: str) -> None:
        path = self.root / "dev/infiniband" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
