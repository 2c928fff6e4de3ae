"""A VF whose netdevs cannot be listed costs that VF only: its PF and the PF's other VFs are bound, served, given back.

A pod with NET_ADMIN may leave the netdev of its VF with such a name. The link settings of that VF are not known then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clocked_node import Clocked, set_up
from inventories import NEW_LINK

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

NAMES = ["\udcff\udcfe", "e\x1b[31mX", "a\u202eb"]
LINKS: list[dict[str, Any]] = [{"vlan": 100}, {"mac": "Stable"}, {"trust": True}]
CASES = [(NAMES[0], None), *zip(NAMES, LINKS, strict=True)]


@pytest.fixture
def clocked(fake_node: type[FakeNode]) -> Clocked:
    """A node with three VFs on their network driver, which another program made."""
    made = Clocked(fake_node("igbvf", "igbvf", "igbvf"))
    set_up(made)
    return made


def ask(clocked: Clocked, indexes: str | None, link: dict[str, Any] | None = None) -> None:
    """Ask for these VFs on vfio-pci, without a count; each call is an edit. None: the policy goes."""
    clocked.generation += 1
    pool = {"resourceName": "fast", "driver": "vfio-pci", "indexes": indexes, **({"link": link} if link else {})}
    spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"pools": [pool]}}
    policy = policy_config(name="fast", uid="fast", generation=clocked.generation, spec=spec) if indexes else None
    policies = (policy,) if isinstance(policy, PolicyConfig) else ()
    clocked.agent.see(clocked.node.ask(NodeConfig(policies=policies)))


def rename(clocked: Clocked, index: int, name: str) -> None:
    """Give the netdev of a VF another name."""
    (netdev,) = Path(clocked.node.kernel.devices, str(clocked.node.vfs[index]), "net").iterdir()
    netdev.rename(netdev.with_name(name))


def entry(clocked: Clocked) -> Any:
    assert clocked.node.original is not None
    return clocked.node.original


@pytest.mark.parametrize(("name", "link"), CASES)
async def test_the_other_vfs_are_bound_and_set(clocked: Clocked, name: str, link: dict[str, Any] | None) -> None:
    rename(clocked, 2, name)
    ask(clocked, "0-1", link)
    await clocked.turns(6)
    assert clocked.node.drivers == ["vfio-pci", "vfio-pci", "igbvf"]
    assert clocked.ready[:2] == ("True", "Converged")
    assert [healthy for _, healthy in clocked.offered()] == [True, True]
    assert [vf.link is None for vf in entry(clocked).vfs] == [False, False, True]


@pytest.mark.parametrize(("name", "link"), CASES)
async def test_the_other_vfs_stay_on_offer(clocked: Clocked, name: str, link: dict[str, Any] | None) -> None:
    ask(clocked, "0-1", link)
    await clocked.turns(6)
    rename(clocked, 2, name)
    await clocked.turns(2)
    assert clocked.ready[:2] == ("True", "Converged")
    assert [healthy for _, healthy in clocked.offered()] == [True, True]


@pytest.mark.parametrize("link", LINKS)
async def test_the_vf_itself_waits_and_the_status_names_the_file(clocked: Clocked, link: dict[str, Any]) -> None:
    rename(clocked, 2, NAMES[0])
    ask(clocked, "0,2", link)
    await clocked.turns(6)
    assert clocked.node.drivers == ["vfio-pci", "igbvf", "igbvf"]
    assert clocked.ready[0] == "False"
    assert f"{clocked.node.vfs[2]}/net could not be read" in clocked.ready[2]
    assert "shows none" not in clocked.ready[2]
    rename(clocked, 2, "eth9")
    await clocked.turns(6)
    assert clocked.ready[:2] == ("True", "Converged")
    ask(clocked, None)
    await clocked.turns(6)
    assert (clocked.ready[:2], clocked.node.original) == (("True", "Converged"), None)


@pytest.mark.parametrize(("name", "link"), CASES)
async def test_the_other_vfs_are_given_back_and_the_pf_is_forgotten(
    clocked: Clocked, name: str, link: dict[str, Any] | None
) -> None:
    ask(clocked, "0-1", link)
    await clocked.turns(6)
    rename(clocked, 2, name)
    ask(clocked, None)
    await clocked.turns(6)
    assert clocked.node.drivers == ["igbvf"] * 3
    assert (clocked.ready[:2], clocked.node.original) == (("True", "Converged"), None)


@pytest.mark.parametrize("before", [replace(NEW_LINK, vlan=50), replace(NEW_LINK, vlan=50, trust=True)])
@pytest.mark.parametrize("then", [{"vlan": 100}, {"vlan": 100, "trust": False}])
async def test_settings_that_were_unknown_at_the_first_touch_are_noted_before_they_are_changed(
    clocked: Clocked, before: Any, then: dict[str, Any]
) -> None:
    vf = clocked.node.vfs[2]
    clocked.node.kernel.links[vf] = before
    rename(clocked, 2, NAMES[0])
    ask(clocked, "0")
    await clocked.turns(6)
    rename(clocked, 2, "eth9")
    ask(clocked, "0,2", then)
    await clocked.turns(6)
    assert clocked.node.kernel.links[vf].vlan == 100
    ask(clocked, None)
    await clocked.turns(6)
    assert clocked.node.drivers == ["igbvf"] * 3
    made = clocked.node.kernel.links[vf]
    assert (made.vlan, made.trust) == (before.vlan, before.trust)
    assert (clocked.ready[:2], clocked.node.original) == (("True", "Converged"), None)


async def test_settings_that_virtfn_has_made_are_never_noted_as_the_original(clocked: Clocked) -> None:
    """An entry without them may be of a version that could not read them, and the VF is virtfn's since."""
    ask(clocked, "2", {"vlan": 100})
    await clocked.turns(6)
    journal = clocked.node.host.machine.journal
    noted = entry(clocked)
    journal._write([replace(noted, vfs=tuple(replace(vf, link=None) for vf in noted.vfs))], journal.claims())
    ask(clocked, "0,2", {"vlan": 100})
    await clocked.turns(6)
    assert [vf.link is None for vf in entry(clocked).vfs] == [False, False, True]
