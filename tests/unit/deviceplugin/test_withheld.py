"""The log names each published function that the kubelet is not offered, and why; none of them fills it."""

import re
from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest
from plugin_node import BOOT, FAST, SLOW, Node

from virtfn_deviceplugin.withheld import AGAIN, NAMED, Withheld
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, with_reason
from virtfn_host.core.values.reasons import Reason

UNBOUND, ELSEWHERE = "should be on vfio-pci, but it is on no driver", "should be on vfio-pci, but it is on igbvf"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "published, but not offered" in record.getMessage()]


# --- which lines -----------------------------------------------------------------------------------------------------


class Plugin:
    """What a plugin says whose looks come two seconds after each other."""

    def __init__(self, functions: int = 4) -> None:
        self.now = 100.0
        self.withheld = Withheld(lambda: self.now)
        devices = [
            PoolDevice(
                address=PciAddress(0, 1, n // 8, n % 8), driver="vfio-pci", numa_node=None, healthy=True, reason=None
            )
            for n in range(functions)
        ]
        self.pools = tuple(DevicePool(resource_name=name, devices=tuple(devices)) for name in (FAST, SLOW))

    def look(self, found: dict[int, str], *, of: str = FAST, seconds: float = 2.0) -> None:
        """Look at the functions; those of these numbers are not as promised."""
        self.now += seconds
        true = tuple(
            replace(pool, devices=self._true(pool, found if pool.resource_name == of else {})) for pool in self.pools
        )
        self.withheld.tell(PoolSet(boot_id=BOOT, pools=self.pools), PoolSet(boot_id=BOOT, pools=true))

    def _true(self, pool: DevicePool, found: dict[int, str]) -> tuple[PoolDevice, ...]:
        return tuple(
            with_reason(device, Reason.DRIFTED, found[n]) if n in found else device
            for n, device in enumerate(pool.devices)
        )


@pytest.fixture
def plugin() -> Plugin:
    return Plugin()


def test_what_lasts_is_told_once(plugin: Plugin, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(1000):
        plugin.look({1: UNBOUND})
    assert lines(caplog) == [f"{FAST}: published, but not offered: 0000:01:00.1 {UNBOUND}"]


def test_each_function_is_told_of_when_it_goes(plugin: Plugin, caplog: pytest.LogCaptureFixture) -> None:
    plugin.look({1: UNBOUND})
    plugin.look({1: UNBOUND, 2: ELSEWHERE})
    plugin.look({1: UNBOUND}, of=SLOW)
    assert [line.partition(": published, but not offered: ")[::2] for line in lines(caplog)] == [
        (FAST, f"0000:01:00.1 {UNBOUND}"),
        (FAST, f"0000:01:00.2 {ELSEWHERE}"),
        (SLOW, f"0000:01:00.1 {UNBOUND}"),
    ]


@pytest.mark.parametrize("functions", [NAMED + 1, 64, 2048])
def test_many_that_go_at_once_are_one_line(functions: int, caplog: pytest.LogCaptureFixture) -> None:
    Plugin(functions).look(dict.fromkeys(range(functions), UNBOUND))
    (line,) = lines(caplog)
    assert line.count(UNBOUND) == NAMED
    assert line.endswith(f"; and {functions - NAMED} more")


CHANGING: dict[str, Callable[[int], dict[int, str]]] = {
    "comes and goes": lambda n: {1: UNBOUND} if n % 2 else {},
    "has another cause each time": lambda n: {1: (UNBOUND, ELSEWHERE)[n % 2]},
    "has a cause that is new each time": lambda n: {1: f"cannot be looked at: {n}"},
    "comes, goes, and has other causes": lambda n: ({}, {1: UNBOUND}, {1: ELSEWHERE})[n % 3],
}


@pytest.mark.parametrize("changing", CHANGING.values(), ids=CHANGING)
def test_one_that_changes_at_each_look_is_told_of_once_a_minute_and_hides_no_other(
    plugin: Plugin, changing: Callable[[int], dict[int, str]], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(300):
        plugin.look(changing(number) | ({3: UNBOUND} if number > 200 else {}))
    told = lines(caplog)
    assert 5 <= sum("0000:01:00.1" in line for line in told) <= 600 / AGAIN + 1
    assert sum("0000:01:00.3" in line for line in told) == 1


@pytest.mark.parametrize("seconds", [AGAIN, 10 * AGAIN])
def test_one_that_goes_again_later_is_told_of_again(
    plugin: Plugin, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    plugin.look({1: UNBOUND})
    plugin.look({})
    plugin.look({}, seconds=seconds)
    plugin.look({1: UNBOUND})
    assert len(lines(caplog)) == 2


def test_another_cause_is_told_in_the_end(plugin: Plugin, caplog: pytest.LogCaptureFixture) -> None:
    """A function that is bound elsewhere is on no driver for a moment."""
    plugin.look({1: UNBOUND})
    for _ in range(40):
        plugin.look({1: ELSEWHERE})
    assert [line.rpartition(" on ")[2] for line in lines(caplog)] == ["no driver", "igbvf"]


def test_what_the_agent_itself_withholds_is_not_told(plugin: Plugin, caplog: pytest.LogCaptureFixture) -> None:
    (fast, slow) = plugin.pools
    plugin.pools = (replace(fast, devices=plugin._true(fast, {1: "has no device node"})), slow)
    plugin.look({1: "has no device node"})
    assert lines(caplog) == []


# --- which causes, on a node -----------------------------------------------------------------------------------------


def unbound(node: Node, vf: PciAddress) -> None:
    node.kernel.write(node.kernel.devices / str(vf) / "driver/unbind", str(vf))


def bound_elsewhere(node: Node, vf: PciAddress) -> None:
    unbound(node, vf)
    node.kernel.write(node.kernel.devices / str(vf) / "driver_override", "igbvf")
    node.kernel.write(node.kernel.drivers / "igbvf/bind", str(vf))


def without_its_node(node: Node, vf: PciAddress) -> None:
    (node.kernel.root / "dev/vfio" / node.kernel.node(vf)).unlink()


def without_the_container_node(node: Node, vf: PciAddress) -> None:
    (node.kernel.root / "dev/vfio/vfio").unlink()


def with_an_odd_group(node: Node, vf: PciAddress) -> None:
    group = node.kernel.devices / str(vf) / "iommu_group"
    group.unlink()
    group.symlink_to("../groups/words")


def with_an_endless_node(node: Node, vf: PciAddress) -> None:
    path = node.kernel.root / "dev/vfio" / node.kernel.node(vf)
    path.unlink()
    path.symlink_to(path.name)


CAUSES = {
    unbound: "should be on vfio-pci, but it is on no driver",
    bound_elsewhere: "should be on vfio-pci, but it is on igbvf",
    without_its_node: "is on vfio-pci and has no device node",
    without_the_container_node: "is on vfio-pci and has no /dev/vfio/vfio beside it",
    with_an_odd_group: "cannot be looked at: .*iommu_group.*words",
    with_an_endless_node: "cannot be looked at: .*/dev/vfio/.* could not be read: Too many levels of symbolic links",
}


@pytest.mark.parametrize(("spoil", "said"), CAUSES.items(), ids=[spoil.__name__ for spoil in CAUSES])
@pytest.mark.parametrize("served", [True, False], ids=["while it is served", "before it is served"])
async def test_the_log_and_a_refused_pod_have_the_cause(
    node: Node, spoil: Callable[[Node, PciAddress], None], said: str, served: bool, caplog: pytest.LogCaptureFixture
) -> None:
    node.publish(node.pool())
    pools = node.pools.read_text()
    if served:
        await node.all_healthy()
    else:
        node.publish()
    odd = node.vfs()[0]
    spoil(node, odd)
    node.pools.write_text(pools)
    await node.kubelet.until(lambda: any(re.search(f"{odd} {said}", line) for line in lines(caplog)))
    await node.kubelet.until(lambda: node.kubelet.health(FAST).get(str(odd)) == "Unhealthy")
    with pytest.raises(grpc.aio.AioRpcError, match=f"{odd} of {FAST} is withdrawn: Drifted: {said}"):
        await node.kubelet.allocate(FAST, str(odd))
