"""A node whose driver makes other than asked, with a clock that is set by hand; and what begins a wish anew on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from virtfn_host.backoff import Allowance
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


class Clocked:
    """A node in memory and its agent."""

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.pf = node.pf.address
        self.now = 1000.0
        self.generation = 1
        node.kernel.now = lambda: self.now
        self.start()

    def start(self) -> None:
        """Start an agent that knows nothing."""
        self.agent = self.node.agent()
        self.agent._reports = Allowance(burst=10_000, every=1.0)  # its time does not pass here
        self.agent._machine._now = lambda: self.now

    def ask(self, *pools: tuple[str, str | None], count: int, driver: str = "vfio-pci") -> None:
        """Ask for pools, each with its indexes or None, in one policy; each call is an edit."""
        offers: list[dict[str, Any]] = [
            {"resourceName": name, "driver": driver, **({"indexes": indexes} if indexes else {})}
            for name, indexes in pools
        ]
        self.policies(("fast", count, offers))

    def policies(self, *policies: tuple[str, int, list[dict[str, Any]]], mtu: int | None = None) -> None:
        self.generation += 1
        further = {} if mtu is None else {"mtu": mtu}
        found = [
            policy_config(
                name=name,
                uid=name,
                generation=self.generation,
                spec={"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": count, "pools": pools, **further}},
            )
            for name, count, pools in policies
        ]
        config = NodeConfig(policies=tuple(one for one in found if isinstance(one, PolicyConfig)))
        self.agent.see(self.node.ask(config))

    async def turns(self, number: int = 6, seconds: float = 4.0) -> None:
        for _ in range(number):
            self.now += seconds
            await self.agent.turn()

    async def hours(self, number: int) -> None:
        """Let hours pass, with a turn every five minutes."""
        await self.turns(number * 12, 300.0)

    def written(self, value: str) -> int:
        return sum(path.endswith("sriov_numvfs") and text == value for path, text in self.node.kernel.writes)

    @property
    def unbound(self) -> int:
        return sum(path.endswith("/unbind") for path, _ in self.node.kernel.writes)

    def offered(self, name: str = "fast") -> list[tuple[str, bool]]:
        pools = self.node.file.pools if self.node.file else ()
        found = [device for pool in pools if pool.resource_name == f"virtfn.dev/{name}" for device in pool.devices]
        return [(str(device.address), device.healthy) for device in found]

    @property
    def ready(self) -> tuple[str, str, str]:
        found = next(c for c in self.node.status["conditions"] if c["type"] == "Ready")
        return found["status"], found["reason"], found["message"]

    def outcome(self, name: str = "fast") -> tuple[str, str, str]:
        found = next(p for p in self.node.status["policies"] if p["name"] == name)
        return found["state"], found["reason"], found["message"]


def edited(clocked: Clocked) -> None:
    clocked.ask(("fast", "0-3"), count=4)


def driver_reloaded(clocked: Clocked) -> None:
    link = clocked.node.kernel.devices / str(clocked.pf) / "driver"
    link.rename(link.with_name("former"))  # so that the new one has another inode on any file system
    link.symlink_to("../../drivers/igb")
    link.with_name("former").unlink()


def set_up(clocked: Clocked) -> None:
    (netdev,) = (clocked.node.kernel.devices / str(clocked.pf) / "net").iterdir()
    (netdev / "flags").write_text("0x1003\n")


def rebooted(clocked: Clocked) -> None:
    clocked.node.kernel._set_num_vfs(clocked.pf, 0)
    (clocked.node.kernel.devices / str(clocked.pf) / "sriov_drivers_autoprobe").write_text("1\n")
    (clocked.node.kernel.root / "proc/sys/kernel/random/boot_id").write_text("0b7f\n")
    clocked.now = 20.0
    clocked.node.host.restart()
    clocked.start()


def other_card(clocked: Clocked) -> None:
    (clocked.node.kernel.devices / str(clocked.pf) / "device").write_text("0x10e6\n")
