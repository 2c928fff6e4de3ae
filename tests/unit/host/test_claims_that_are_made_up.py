"""The host process notes a claim only if the machine shows what it says, whatever the plan says; honest ones pass."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inventories import a_policy
from kernel import FakeKernel

from virtfn_host.core.turn.claims import seen_of
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.identity import Claim, Identity, Seen
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Bind, FunctionRef, NoteClaims, SetDriverOverride, Unbind, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.journal import MOST_BYTES
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.process.protocol import Look

PF, OTHER, FREE = PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0), PciAddress(0, 9, 0, 0)
NETDEV, OTHERS_NETDEV, MAC = "eth1v00", "eth2v00", "52:54:00:00:01:00"
SERIAL = "3c-fd-fe-ff-ff-12-34-56"
WHOLE = FunctionRef(pf=PF, index=None, address=PF)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    made = FakeKernel(tmp_path / "root", pfs=2)
    made.register("vfio-pci")
    made.give_serial(PF, SERIAL)
    return made


@pytest.fixture
def machine(kernel: FakeKernel) -> Machine:
    return kernel.machine()


def naming(whole: bool = False, **matcher: Any) -> PolicyConfig:
    asked = a_policy(devices=(DeviceMatcher(**matcher),))
    request = WholeRequest(resource_name="virtfn.dev/whole", driver="vfio-pci")
    return replace(asked, count=None, pools=(), whole=request) if whole else asked


def turn_notes(machine: Machine, *policies: PolicyConfig, look: Look | None = None) -> dict[PciAddress, NoteClaims]:
    """What an agent would have noted now."""
    look = look or Look()
    asked = asked_names(look.netdevs, machine.netlink)
    inventory = read_inventory(machine.sysfs, asked=asked, macs=machine.netlink if look.macs else None)
    journal = machine.journal
    desired = resolve(NodeConfig(policies=policies), inventory, journal.originals(), journal.claims()).desired
    return {note.address: NoteClaims(pf=note.address, claims=note.claims) for note in desired.notes}


def looks_now(machine: Machine, address: PciAddress) -> Seen:
    function = read_inventory(machine.sysfs, only=[address]).find(address)
    assert function is not None
    return seen_of(function, None)


def claim(seen: Seen, uid: str = "u") -> Claim:
    return Claim(policy="fast", uid=uid, generation=1, seen=seen)


def noted(machine: Machine, *steps: NoteClaims) -> StepResult:
    return apply(plan_of(steps), machine).results[-1]


def expect_refused(result: StepResult, text: str) -> None:
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.STALE_SNAPSHOT)
    assert text in result.message


MADE_UP: dict[str, tuple[dict[str, Any], str]] = {
    "another's netdev, nothing of the card": ({"netdevs": (NETDEV,), "identity": Identity()}, "netdevs, identity"),
    "another's netdev": ({"netdevs": (NETDEV,)}, "netdevs"),
    "another's netdev beside its own": ({"netdevs": (OTHERS_NETDEV, NETDEV)}, "netdevs"),
    "another's MAC": ({"identity": Identity(mac=MAC)}, "identity"),
    "a serial number": ({"identity": Identity(mac="52:54:00:00:02:00", serial=SERIAL)}, "identity"),
    "a slot": ({"identity": Identity(mac="52:54:00:00:02:00", slot="7")}, "identity"),
    "nothing of the card": ({"identity": Identity()}, "identity"),
    "another driver": ({"driver": "ixgbe"}, "driver"),
    "other ids": ({"vendor": "15b3", "device": "101d"}, "vendor, device"),
    "another class": ({"class_code": "030000"}, "classCode"),
    "another NUMA node": ({"numa_node": 7}, "numaNode"),
    "64 long names": ({"netdevs": tuple(f"{n:03}" + "\u20ac" * 252 for n in range(64))}, "netdevs"),
    "another address": ({"address": PF}, "address"),
}


@pytest.mark.parametrize(("change", "named"), MADE_UP.values(), ids=MADE_UP.keys())
def test_a_look_that_the_machine_does_not_show_is_refused(machine: Machine, change: dict[str, Any], named: str) -> None:
    seen = looks_now(machine, OTHER)
    result = noted(machine, NoteClaims(pf=OTHER, claims=(claim(seen), claim(replace(seen, **change), "u2"))))
    expect_refused(result, f"the claim of policy fast says something else than this machine shows: {named}; nothing")
    assert machine.journal.claims() == ()


@pytest.mark.parametrize("address", [FREE, PciAddress(0, 1, 0x10, 0)], ids=["no card", "a VF"])
def test_a_claim_on_no_function_that_can_be_claimed_is_refused(
    kernel: FakeKernel, machine: Machine, address: PciAddress
) -> None:
    kernel._set_num_vfs(PF, 1)
    seen = replace(looks_now(machine, PF), address=address)
    expect_refused(noted(machine, NoteClaims(pf=address, claims=(claim(seen),))), "is not there any more")
    assert machine.journal.claims() == ()


def test_a_good_agent_afterwards_leaves_the_function_alone(machine: Machine) -> None:
    asked = naming(netdev=NETDEV)
    evil = Claim(policy=asked.name, uid=asked.uid, generation=1, seen=looks_now(machine, OTHER))
    made_up = replace(evil.seen, netdevs=(NETDEV,), identity=Identity())
    noted(machine, NoteClaims(pf=OTHER, claims=(replace(evil, seen=made_up),)))
    assert list(turn_notes(machine, asked)) == [PF]


def named_also(kernel: FakeKernel) -> None:
    kernel.other_names.update({NETDEV: ("uplink0", "enp1s0")})


def enslaved(kernel: FakeKernel) -> None:
    folder = kernel.devices / str(PF) / "net" / NETDEV
    (folder / "addr_assign_type").write_text("3\n")
    (folder / "address").write_text("52:54:00:00:77:77\n")
    folder.rename(folder.parent / "slave0")


def enslaved_and_named_also(kernel: FakeKernel) -> None:
    enslaved(kernel)
    kernel.other_names["slave0"] = ("uplink0",)


def hidden(kernel: FakeKernel) -> None:
    folder = kernel.devices / str(PF) / "net"
    folder.rename(folder.parent / "elsewhere")
    folder.write_text("")


def on_vfio(kernel: FakeKernel) -> None:
    kernel._unbind(PF)
    (kernel.devices / str(PF) / "driver_override").write_text("vfio-pci\n")
    kernel._bind("vfio-pci", PF)


HONEST: dict[str, tuple[Callable[[FakeKernel], None], PolicyConfig, Look]] = {
    "as it is": (lambda _: None, naming(netdev=NETDEV), Look()),
    "by an alternative name": (named_also, naming(netdev="uplink0"), Look(netdevs=("uplink0",))),
    "with alternative names that nothing asks for": (named_also, naming(netdev=NETDEV), Look()),
    "by the permanent MAC, in a bond": (enslaved, naming(permanent_mac=MAC), Look(macs=True)),
    "in a bond, and no policy names a MAC": (enslaved, naming(netdev="slave0"), Look()),
    "by both": (
        enslaved_and_named_also,
        naming(netdev="uplink0", permanent_mac=MAC),
        Look(macs=True, netdevs=("uplink0",)),
    ),
    "with netdevs that cannot be listed": (hidden, naming(serial_number=SERIAL), Look()),
    "without a driver": (lambda kernel: kernel._unbind(PF), naming(whole=True, address=PF), Look()),
    "on vfio-pci before virtfn came": (on_vfio, naming(whole=True, driver="vfio-pci"), Look()),
}


@pytest.mark.parametrize(("change", "asked", "look"), HONEST.values(), ids=HONEST.keys())
def test_what_the_agent_sees_is_noted(
    kernel: FakeKernel, machine: Machine, change: Callable[[FakeKernel], None], asked: PolicyConfig, look: Look
) -> None:
    change(kernel)
    step = turn_notes(machine, asked, look=look)[PF]
    result = noted(machine, step)
    assert (result.outcome, machine.journal.claims()) == (Outcome.DONE, step.claims), result.message


def test_a_function_that_is_handed_out_is_noted_as_it_was_before(machine: Machine) -> None:
    steps = (
        Unbind(function=WHOLE, expects="igb"),
        SetDriverOverride(function=WHOLE, value="vfio-pci", expects=None),
        Bind(function=WHOLE, driver="vfio-pci"),
    )
    assert {result.outcome for result in apply(plan_of(steps), machine).results} == {Outcome.DONE}
    step = turn_notes(machine, naming(whole=True, netdev=NETDEV))[PF]
    assert (step.claims[0].seen.driver, step.claims[0].seen.netdevs) == ("igb", (NETDEV,))
    assert noted(machine, step).outcome is Outcome.DONE
    vfio = replace(step.claims[0], seen=replace(step.claims[0].seen, netdevs=("eth7",)))
    expect_refused(noted(machine, NoteClaims(pf=PF, claims=(vfio,))), "netdevs")


def test_a_rename_after_the_look_is_refused_and_the_next_look_is_noted(kernel: FakeKernel, machine: Machine) -> None:
    asked = naming(vendor="8086", address=PF)
    step = turn_notes(machine, asked)[PF]
    folder = kernel.devices / str(PF) / "net"
    (folder / NETDEV).rename(folder / "ens1f0")
    expect_refused(noted(machine, step), "netdevs; nothing was noted; look and plan again")
    assert noted(machine, turn_notes(machine, asked)[PF]).outcome is Outcome.DONE


def test_a_claim_that_is_noted_stays_beside_a_new_one_and_without_its_card(
    kernel: FakeKernel, machine: Machine
) -> None:
    old = claim(looks_now(machine, PF))
    noted(machine, NoteClaims(pf=PF, claims=(old,)))
    folder = kernel.devices / str(PF) / "net"
    (folder / NETDEV).rename(folder / "ens1f0")
    new = claim(looks_now(machine, PF), "u2")
    assert noted(machine, NoteClaims(pf=PF, claims=(old, new))).outcome is Outcome.DONE
    kernel.remove_pf(PF)
    assert noted(machine, NoteClaims(pf=PF, claims=(old,))).outcome is Outcome.DONE
    expect_refused(noted(machine, NoteClaims(pf=PF, claims=(old, new))), "is not there any more")
    assert machine.journal.claims() == (old,)


def test_what_becomes_known_of_a_card_is_added_to_a_claim_of_another_look(kernel: FakeKernel, machine: Machine) -> None:
    seen = replace(looks_now(machine, PF), netdevs=("as0",), identity=Identity(mac=MAC))
    machine.journal.note_claims(PF, (claim(seen),))
    known = replace(seen, identity=looks_now(machine, PF).identity)
    made_up = replace(seen, identity=replace(known.identity, slot="7"))
    expect_refused(noted(machine, NoteClaims(pf=PF, claims=(claim(made_up),))), "netdevs, identity")
    for other in (claim(known, "u2"), replace(claim(known), policy="other"), replace(claim(known), generation=2)):
        expect_refused(noted(machine, NoteClaims(pf=PF, claims=(other,))), "netdevs")
    assert noted(machine, NoteClaims(pf=PF, claims=(claim(known),))).outcome is Outcome.DONE


def moved(machine: Machine, seen: Seen) -> NoteClaims:
    """The claim of another look, at another address with what that one shows."""
    now = looks_now(machine, OTHER)
    return NoteClaims(pf=OTHER, claims=(claim(replace(now, netdevs=seen.netdevs, identity=now.identity)),))


def test_a_claim_follows_its_card_to_another_address(kernel: FakeKernel, machine: Machine) -> None:
    seen = looks_now(machine, PF)
    machine.journal.note_claims(PF, (claim(seen),))
    expect_refused(noted(machine, moved(machine, seen)), "netdevs")
    for address in (PF, OTHER):
        kernel.remove_pf(address)
    kernel.add_pf(OTHER, mac=MAC, serial=SERIAL)
    assert noted(machine, moved(machine, seen)).outcome is Outcome.DONE


def test_a_claim_does_not_follow_to_a_twin_while_its_card_is_there(kernel: FakeKernel, machine: Machine) -> None:
    kernel.give_serial(OTHER, SERIAL)
    for address in (PF, OTHER):  # of InfiniBand, for example: no MAC is known
        (netdev,) = (kernel.devices / str(address) / "net").iterdir()
        (netdev / "address").write_text("")
    seen = looks_now(machine, PF)
    machine.journal.note_claims(PF, (claim(seen),))
    assert seen.identity == replace(looks_now(machine, OTHER).identity, slot=seen.identity.slot)
    expect_refused(noted(machine, moved(machine, seen)), "netdevs")
    kernel.remove_pf(PF)
    assert noted(machine, moved(machine, seen)).outcome is Outcome.DONE


def long_claims(seen: Seen, number: int) -> tuple[Claim, ...]:
    """Claims as an earlier version noted them: 100 KB each, as text of ASCII."""
    made_up = replace(seen, netdevs=("\u20ac" * 255,) * 64)
    return tuple(claim(made_up, f"{n}" + "\u20ac" * 250) for n in range(number))


@pytest.mark.parametrize("name", ["fast", ""])
def test_claims_leave_room_for_originals(machine: Machine, name: str) -> None:
    seen = looks_now(machine, PF)
    many = long_claims(replace(seen, address=FREE), 10)
    machine.journal._write((), many)
    new = tuple(Claim(policy=name, uid="\u20ac" * 255, generation=n, seen=seen) for n in range(32))
    assert noted(machine, NoteClaims(pf=PF, claims=new[:8])).outcome is Outcome.DONE
    result = noted(machine, NoteClaims(pf=PF, claims=new))
    expect_refused(result, f"the claim of policy {name} is not noted: the journal would have more than {MOST_BYTES}")
    assert result.message.endswith(" bytes of claims; delete some policies")
    assert set(machine.journal.claims()) == {*many, *new[:8]}
    found = read_inventory(machine.sysfs, only=[OTHER]).find(OTHER)
    assert found is not None
    machine.journal.remember(found)
    assert [entry.address for entry in machine.journal.originals()] == [OTHER]


def test_a_claim_ends_also_where_there_are_too_many(machine: Machine) -> None:
    long = long_claims(looks_now(machine, PF), 16)
    machine.journal._write((), long)
    assert noted(machine, NoteClaims(pf=PF, claims=long[1:])).outcome is Outcome.DONE
    assert noted(machine, NoteClaims(pf=PF, claims=())).outcome is Outcome.DONE


def test_a_journal_that_is_too_long_says_what_makes_it_shorter(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtfn_host.linux.documents.LIMIT", 100)
    result = noted(machine, NoteClaims(pf=PF, claims=(claim(looks_now(machine, PF)),)))
    assert result.reason is Reason.JOURNAL_UNREADABLE
    assert "longer than 100 bytes" in result.message
    assert "delete policies, or restore functions, that this node does not need" in result.message
    assert "writable" not in result.message
