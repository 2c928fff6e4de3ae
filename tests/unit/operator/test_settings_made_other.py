"""A link setting or MTU that a driver accepts and does not make is told, and the settings of its PF are left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clocked_node import driver_reloaded, rebooted, set_up

from virtfn_host.core.turn.tries import LIMIT
from virtfn_host.core.values.model import VfLink

if TYPE_CHECKING:
    from clocked_node import Clocked

IGNORED: Callable[[VfLink], VfLink] = lambda asked: VfLink()  # noqa: E731
ROUNDED: Callable[[VfLink], VfLink] = lambda asked: replace(  # noqa: E731
    asked, max_tx_rate=None if asked.max_tx_rate is None else asked.max_tx_rate // 50 * 50
)
OTHER_VLAN: Callable[[VfLink], VfLink] = lambda asked: replace(asked, vlan=asked.vlan and 1)  # noqa: E731

LINKS = [
    (IGNORED, {"vlan": 100}, "vlan 100 qos 0, eth1v00 vf 0 shows vlan 0 qos 0"),
    (IGNORED, {"vlan": 100, "vlanQos": 3}, "vlan 100 qos 3, eth1v00 vf 0 shows vlan 0 qos 0"),
    (IGNORED, {"spoofCheck": False}, "spoofchk off, eth1v00 vf 0 shows spoofchk on"),
    (IGNORED, {"trust": True}, "trust on, eth1v00 vf 0 shows trust off"),
    (IGNORED, {"mac": "Stable"}, "mac "),
    (ROUNDED, {"maxTxRate": 333}, "max_tx_rate 333, eth1v00 vf 0 shows max_tx_rate 300"),
    (OTHER_VLAN, {"vlan": 7}, "vlan 7 qos 0, eth1v00 vf 0 shows vlan 1 qos 0"),
]


def ask(clocked: Clocked, *, count: int = 2, link: dict[str, Any] | None = None, mtu: int | None = None) -> None:
    """Ask for one pool with these settings; each call is an edit."""
    pool = {"resourceName": "fast", "driver": "vfio-pci", **({"link": link} if link else {})}
    clocked.policies(("fast", count, [pool]), mtu=mtu)


def settings(clocked: Clocked) -> int:
    return sum("rtnetlink" in path for path, _ in clocked.node.kernel.writes)


@pytest.mark.parametrize(("makes", "link", "text"), LINKS)
async def test_a_setting_that_a_driver_does_not_make_is_told_and_its_vfs_are_not_offered(
    clocked: Clocked, makes: Callable[[VfLink], VfLink], link: dict[str, Any], text: str
) -> None:
    set_up(clocked)
    clocked.node.kernel.instead.link = makes
    ask(clocked, link=link)
    await clocked.turns(8)
    status, reason, message = clocked.ready
    assert (status, reason) == ("False", "DriverMadeOther")
    assert f"asked for {text}" in message
    assert "though the kernel accepted it; ask for what its driver can do, or leave it out" in message
    assert clocked.outcome()[:2] == ("Failed", "DriverMadeOther")
    assert [healthy for _, healthy in clocked.offered()] == [False, False]
    assert settings(clocked) == 2, "one for each VF, and not again at once"
    assert clocked.node.drivers == ["vfio-pci"] * 2, "nothing else waits"


@pytest.mark.parametrize(("most", "asked"), [(4000, 9000), (1500, 9000), (8999, 9000)])
async def test_so_is_an_mtu(clocked: Clocked, most: int, asked: int) -> None:
    clocked.node.kernel.instead.mtu = lambda value, _: min(value, most)
    ask(clocked, mtu=asked)
    await clocked.turns(8)
    status, reason, message = clocked.ready
    assert (status, reason) == ("False", "DriverMadeOther")
    assert f"asked for mtu {asked}, eth1v00 shows mtu {most} though the kernel accepted it" in message
    assert [healthy for _, healthy in clocked.offered()] == [False, False]
    assert settings(clocked) == 1


@pytest.mark.parametrize("link", [{"vlan": 100}, {"trust": True}])
async def test_the_time_between_two_tries_grows_to_an_hour_whoever_restarts(
    clocked: Clocked, link: dict[str, Any]
) -> None:
    clocked.node.kernel.instead.link = IGNORED
    ask(clocked, count=1, link=link)
    tries: list[float] = []
    while len(tries) < 9:
        before = settings(clocked)
        await clocked.turns(1, 60.0)
        if settings(clocked) != before:
            tries.append(clocked.now)
            clocked.start()
            clocked.node.host.restart()
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, LIMIT, LIMIT]


@pytest.mark.parametrize("link", [{"vlan": 100}, {"trust": True}, {"spoofCheck": False}])
async def test_a_driver_that_makes_it_at_last_ends_the_pauses(clocked: Clocked, link: dict[str, Any]) -> None:
    clocked.node.kernel.instead.link = IGNORED
    ask(clocked, link=link)
    await clocked.turns(30, 60.0)
    clocked.node.kernel.instead.link = lambda asked: asked
    await clocked.hours(1)
    assert clocked.ready[:2] == ("True", "Converged")
    assert [healthy for _, healthy in clocked.offered()] == [True, True]
    assert clocked.node.host.machine.tries.tried() == ()


@pytest.mark.parametrize("changes", [driver_reloaded, set_up, rebooted])
async def test_it_is_tried_at_once_when_the_pf_changes(clocked: Clocked, changes: Callable[[Clocked], None]) -> None:
    clocked.node.kernel.instead.link = IGNORED
    ask(clocked, link={"vlan": 100})
    await clocked.hours(3)
    before = settings(clocked)
    changes(clocked)
    await clocked.turns(3, 1.0)
    assert settings(clocked) == before + 2


async def test_an_edit_is_carried_out_at_once(clocked: Clocked) -> None:
    clocked.node.kernel.instead.link = ROUNDED
    set_up(clocked)
    ask(clocked, link={"maxTxRate": 333})
    await clocked.hours(3)
    ask(clocked, link={"maxTxRate": 350})
    await clocked.turns(3, 1.0)
    assert clocked.ready[:2] == ("True", "Converged")


async def test_a_driver_that_is_changed_meanwhile_is_put_right_at_once(clocked: Clocked) -> None:
    clocked.node.kernel.instead.link = IGNORED
    ask(clocked, link={"vlan": 100})
    await clocked.hours(3)
    clocked.node.unbind(1)
    await clocked.turns(3, 1.0)
    assert clocked.node.drivers == ["vfio-pci"] * 2


@pytest.mark.parametrize("most", [1500, 4000])
async def test_the_end_of_the_policy_gives_the_mtu_back_only_where_it_was_changed(clocked: Clocked, most: int) -> None:
    clocked.node.kernel.instead.mtu = lambda value, now: value if value < now else min(value, most)
    ask(clocked, mtu=9000)
    await clocked.turns(8)
    (netdev,) = (clocked.node.kernel.devices / str(clocked.pf) / "net").iterdir()
    if most == 1500:
        Path(netdev, "mtu").write_text("2000\n")  # by an administrator: nothing of ours is to be undone
    clocked.policies()
    await clocked.turns(8, 60.0)
    assert Path(netdev, "mtu").read_text() == ("2000\n" if most == 1500 else "1500\n")
    assert clocked.ready[:2] == ("True", "Converged")


async def test_what_cannot_be_given_back_stays_in_the_journal_and_is_tried_ever_more_rarely(clocked: Clocked) -> None:
    ask(clocked, mtu=4000)
    await clocked.turns(8)
    clocked.node.kernel.instead.mtu = lambda _, now: now
    clocked.policies()
    before = settings(clocked)
    await clocked.hours(8)
    assert settings(clocked) - before <= 15
    assert clocked.ready[1] == "DriverMadeOther"
    assert clocked.node.original is not None
    clocked.node.kernel.instead.mtu = lambda asked, _: asked
    await clocked.hours(2)
    assert clocked.ready[:2] == ("True", "Converged")
    assert clocked.node.original is None
