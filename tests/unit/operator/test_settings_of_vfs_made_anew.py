"""While settings of a PF wait, only those of functions that are there do: a VF that is made anew is set with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from clocked_node import set_up

from virtfn_host.core.values.model import VfLink

if TYPE_CHECKING:
    from clocked_node import Clocked

LACKING: Callable[[VfLink], VfLink] = lambda asked: replace(asked, trust=None)  # noqa: E731
ROUNDED: Callable[[VfLink], VfLink] = lambda asked: replace(  # noqa: E731
    asked, max_tx_rate=None if asked.max_tx_rate is None else asked.max_tx_rate // 50 * 50
)


def settings(clocked: Clocked) -> int:
    return sum("rtnetlink" in path for path, _ in clocked.node.kernel.writes)


def shown(clocked: Clocked, index: int) -> tuple[str, str | None]:
    """The MAC of a VF's netdev, and the one that its PF shows."""
    vf = clocked.node.vfs[index]
    (netdev,) = (clocked.node.kernel.devices / str(vf) / "net").iterdir()
    return (netdev / "address").read_text().strip(), clocked.node.kernel.links[vf].mac


def made_anew(clocked: Clocked) -> None:
    """Another program takes the VFs away, or the card loses them in a reset."""
    clocked.node.kernel.write(clocked.node.kernel.devices / str(clocked.pf) / "sriov_numvfs", "0")


@pytest.mark.parametrize(
    ("makes", "lacked"),
    [(LACKING, {"trust": True}), (LACKING, {"trust": True, "spoofCheck": False}), (ROUNDED, {"maxTxRate": 333})],
)
async def test_a_mac_is_set_before_the_bind(
    clocked: Clocked, makes: Callable[[VfLink], VfLink], lacked: dict[str, Any]
) -> None:
    set_up(clocked)
    clocked.node.kernel.instead.link = makes
    clocked.policies(
        ("lacks", 2, [{"resourceName": "lacks", "driver": "vfio-pci", "indexes": "0", "link": lacked}]),
        ("other", 2, [{"resourceName": "other", "driver": "kernel", "indexes": "1", "link": {"mac": "Stable"}}]),
    )
    await clocked.turns(4)
    await clocked.hours(3)
    made_anew(clocked)
    await clocked.turns(4)
    netdev, pf = shown(clocked, 1)
    assert netdev == pf
    assert clocked.outcome("lacks")[:2] == ("Failed", "DriverMadeOther")
    assert clocked.offered("other") == [(str(clocked.node.vfs[1]), True)]
    before = settings(clocked)
    await clocked.turns(4)
    assert settings(clocked) == before, "what the driver did not make waits again"


@pytest.mark.parametrize("mtu", [4000, 9000])
async def test_an_mtu_is_set_after_the_probe(clocked: Clocked, mtu: int) -> None:
    set_up(clocked)
    clocked.node.kernel.instead.link = LACKING
    pool = {"resourceName": "fast", "driver": "kernel", "link": {"trust": True}}
    clocked.policies(("fast", 2, [pool]), mtu=mtu)
    await clocked.turns(4)
    await clocked.hours(3)
    made_anew(clocked)
    await clocked.turns(4)
    for vf in clocked.node.vfs:
        (netdev,) = (clocked.node.kernel.devices / str(vf) / "net").iterdir()
        assert (netdev / "mtu").read_text() == f"{mtu}\n"


async def test_a_vf_that_is_set_ends_no_pause_of_what_was_withheld(clocked: Clocked) -> None:
    clocked.node.kernel.instead.mtu = lambda asked, _: min(asked, 4000)
    clocked.policies(("fast", 2, [{"resourceName": "fast", "driver": "kernel"}]), mtu=9000)
    await clocked.turns(4)
    await clocked.hours(3)
    clocked.node.kernel.instead.mtu = lambda asked, now: asked if now == 1500 else now
    (tried,) = clocked.node.host.machine.tries.tried()
    assert tried.setting is not None
    before = settings(clocked)
    clocked.node.unbind(1)
    await clocked.turns(4)
    assert settings(clocked) - before <= 1, "that of the VF, which was bound anew"
    (later,) = clocked.node.host.machine.tries.tried()
    assert later.setting is not None
    assert later.setting.times >= tried.setting.times
