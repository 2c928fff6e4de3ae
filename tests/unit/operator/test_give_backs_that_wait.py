"""Claims that end stay noted while settings of the PF wait: they say why it is given back, and that it is to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clocked_node import set_up
from inventories import NEW_LINK

if TYPE_CHECKING:
    from clocked_node import Clocked

POOL = {"resourceName": "fast", "driver": "vfio-pci"}
DELETED = "policy fast was deleted"


def claims(clocked: Clocked) -> list[str]:
    return sorted(claim.policy for claim in clocked.node.host.machine.journal.claims())


async def given_back_in_part(clocked: Clocked, most: int) -> None:
    """End a policy whose MTU the driver does not lower as far as it was."""
    set_up(clocked)
    clocked.policies(("fast", 2, [POOL]), mtu=4000)
    await clocked.turns(8)
    clocked.node.kernel.instead.mtu = lambda asked, now: max(asked, most)
    clocked.policies()
    await clocked.turns(4)


@pytest.mark.parametrize("most", [4000, 3000, 1501])
async def test_the_cause_is_told_until_all_is_given_back(clocked: Clocked, most: int) -> None:
    await given_back_in_part(clocked, most)
    for _ in range(8):
        await clocked.turns(2, 600.0)
        assert claims(clocked) == ["fast"]
        assert DELETED in clocked.ready[2]
        assert clocked.ready[:2] == ("False", "DriverMadeOther")
    clocked.node.kernel.instead.mtu = lambda asked, _: asked
    await clocked.hours(2)
    assert (claims(clocked), clocked.node.original) == ([], None)
    assert clocked.ready[:2] == ("True", "Converged")


@pytest.mark.parametrize("count", [99, 64])
async def test_a_policy_that_is_refused_on_the_pf_ends_no_give_back(clocked: Clocked, count: int) -> None:
    await given_back_in_part(clocked, 4000)
    clocked.policies(("other", count, [POOL]))
    await clocked.turns(4)
    assert clocked.outcome("other")[0] == "Rejected"
    assert clocked.ready[:2] == ("False", "DriverMadeOther")
    clocked.node.kernel.instead.mtu = lambda asked, _: asked
    await clocked.hours(2)
    assert (claims(clocked), clocked.node.original) == ([], None)


@pytest.mark.parametrize("link", [{"vlan": 100}, {"trust": True}])
async def test_a_claim_that_ends_beside_one_that_lacks_a_setting_ends_with_the_pause(
    clocked: Clocked, link: dict[str, Any]
) -> None:
    set_up(clocked)
    first = ("lacks", 2, [{**POOL, "resourceName": "lacks", "indexes": "0", "link": link}])
    clocked.policies(first, ("fast", 2, [{**POOL, "indexes": "1"}]))
    await clocked.turns(6)
    assert claims(clocked) == ["fast", "lacks"]
    clocked.node.kernel.instead.link = lambda asked: type(asked)()
    clocked.node.kernel.links[clocked.node.vfs[0]] = NEW_LINK  # by another program
    await clocked.turns(2)
    clocked.policies(first)
    await clocked.turns(4)
    assert clocked.node.drivers == ["vfio-pci", None]
    clocked.node.kernel.instead.link = lambda asked: asked
    await clocked.hours(2)
    assert clocked.ready[:2] == ("True", "Converged")
    assert claims(clocked) == ["lacks"]
