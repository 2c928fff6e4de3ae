"""Over time a card looks otherwise, comes back elsewhere, or meets the journal of an earlier boot.

What a policy claimed stays the policy's, and what virtfn did not make in this boot is left alone.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import moves
import pytest
from hardware import Lab
from inventories import a_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import names_macs
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.linux.use.lock import evidence

VFS = 3
POOL = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")
Change = Callable[[Lab, PciAddress], AbstractContextManager[None]]


def asks_for(matcher: DeviceMatcher) -> PolicyConfig:
    return a_policy(count=VFS, devices=(matcher,), pools=(POOL,))


def turn(lab: Lab, *policies: PolicyConfig) -> Resolution:
    """Look, decide and write, as an agent does in a turn; every step succeeds."""
    names = [matcher.netdev for policy in policies for matcher in policy.devices if matcher.netdev is not None]
    netlink, journal = lab.machine.netlink, lab.machine.journal
    macs = netlink if names_macs(policies) else None
    inventory = read_inventory(lab.sysfs, netlink=netlink, asked=asked_names(names, netlink), macs=macs)
    resolution = resolve(NodeConfig(policies=policies), inventory, journal.originals(), journal.claims())
    report = apply(plan(inventory, resolution.desired, evidence(lab.sysfs, inventory)), lab.machine)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    return resolution


def vfs(lab: Lab, pf: PciAddress) -> list[tuple[PciAddress, str | None, int | None]]:
    """Address, driver and group of each VF; one that was made anew has another group."""
    found = lab.sysfs.vf_addresses(pf)
    return [(found[index], lab.sysfs.bound_driver(found[index]), lab.sysfs.group(found[index])) for index in found]


def reasons(resolution: Resolution) -> list[Reason]:
    return [one.reason for one in resolution.rejected]


def given_back(lab: Lab) -> None:
    """End all policies, and check that nothing of them is left."""
    turn(lab)
    turn(lab)
    assert [vfs(lab, pf) for pf in lab.pfs] == [[]] * len(lab.pfs)
    assert [one.address for one in lab.machine.journal.originals() if one.address in lab.pfs] == []
    assert lab.machine.journal.claims() == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (moves.renamed, [Reason.CLAIM_KEPT]),
        (moves.in_a_namespace, [Reason.CLAIM_KEPT]),
        (moves.in_a_bond, []),
        (moves.down, []),
    ],
)
def test_a_policy_that_names_a_netdev_keeps_its_vfs_whatever_becomes_of_it(
    lab: Lab, change: Change, told: list[Reason]
) -> None:
    policy = asks_for(DeviceMatcher(netdev=lab.netdev(lab.pf)))
    turn(lab, policy)
    before = vfs(lab, lab.pf)
    assert [driver for _, driver, _ in before] == ["vfio-pci"] * VFS
    with change(lab, lab.pf):
        for _ in range(2):
            assert reasons(turn(lab, policy)) == told
            assert vfs(lab, lab.pf) == before
    assert reasons(turn(lab, policy)) == []
    assert vfs(lab, lab.pf) == before
    given_back(lab)


@pytest.mark.parametrize("change", [moves.renamed, moves.in_a_namespace, moves.in_a_bond])
def test_a_policy_that_ends_meanwhile_gives_back(lab: Lab, change: Change) -> None:
    turn(lab, asks_for(DeviceMatcher(netdev=lab.netdev(lab.pf))))
    with change(lab, lab.pf):
        given_back(lab)


@pytest.mark.parametrize("change", [moves.renamed, moves.in_a_bond, moves.down])
def test_a_permanent_mac_stays(lab: Lab, change: Change) -> None:
    mac = mac_of(lab, lab.pf)
    policy = asks_for(DeviceMatcher(permanent_mac=mac))
    turn(lab, policy)
    before = vfs(lab, lab.pf)
    with change(lab, lab.pf):
        assert Reason.NO_MATCHING_DEVICE not in reasons(turn(lab, policy))
        assert vfs(lab, lab.pf) == before
    given_back(lab)


def mac_of(lab: Lab, pf: PciAddress) -> str:
    """Its permanent MAC. A netdev that was in a bond once has an address that was set, so sysfs alone does not tell."""
    found = read_inventory(lab.sysfs, macs=lab.machine.netlink).pf(pf)
    assert found is not None
    assert found.identity.mac is not None
    return found.identity.mac


def test_a_driver_that_is_bound_anew_gets_its_vfs_again(lab: Lab) -> None:
    policy = asks_for(DeviceMatcher(netdev=lab.netdev(lab.pf)))
    turn(lab, policy)
    moves.driver_anew(lab, lab.pf)
    assert vfs(lab, lab.pf) == []
    turn(lab, policy)
    assert [driver for _, driver, _ in vfs(lab, lab.pf)] == ["vfio-pci"] * VFS
    given_back(lab)


def test_a_card_at_another_address_is_found_by_what_it_is(lab: Lab) -> None:
    policy = asks_for(DeviceMatcher(permanent_mac=mac_of(lab, lab.pf)))
    turn(lab, policy)
    with moves.elsewhere(lab, lab.pf) as new:
        assert vfs(lab, new) == []
        assert reasons(turn(lab, policy)) == []
        assert [driver for _, driver, _ in vfs(lab, new)] == ["vfio-pci"] * VFS
        given_back(lab)


def test_a_card_that_came_to_another_address_is_not_that_of_a_policy_that_names_the_place(lab: Lab) -> None:
    policy = asks_for(DeviceMatcher(address=lab.pf))
    turn(lab, policy)
    with moves.elsewhere(lab, lab.pf) as new:
        lab.make(new, 2)
        before = vfs(lab, new)
        (told,) = turn(lab, policy).rejected
        assert told.reason is Reason.DEVICE_GONE
        assert f"is at {new} now" in told.message
        assert vfs(lab, new) == before
        lab.raw(lab.sysfs.device(new, "sriov_numvfs"), "0")
    turn(lab, policy)
    assert len(vfs(lab, lab.pf)) == VFS
    given_back(lab)


@pytest.mark.parametrize("made", [1, 4])
def test_what_another_program_made_after_a_reboot_stays(lab: Lab, made: int) -> None:
    moves.in_boot(lab, 0)
    turn(lab, asks_for(DeviceMatcher(address=lab.pf)))
    assert len(lab.machine.journal.originals()) == 1
    moves.rebooted(lab)
    lab.make(lab.pf, made)
    before = vfs(lab, lab.pf)
    for _ in range(2):
        turn(lab)
        assert vfs(lab, lab.pf) == before
    assert lab.machine.journal.claims() == ()
