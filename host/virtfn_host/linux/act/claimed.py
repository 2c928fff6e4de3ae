"""Checks that new claims say of a function what this machine shows, because the journal keeps them for years.

The agent decides which policy has which function. How the function looks it does not decide: a policy keeps a function
that once looked as its matchers say (`core/turn/claims.py`). A look that is made up would give the policy a function
that it never named, and the next agent would believe it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

from virtfn_host.core.turn.claims import carried_on, is_one, is_proven, remembered, seen_of
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import camel
from virtfn_host.core.values.identity import Claim, Seen
from virtfn_host.core.values.model import Function
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.errors import StaleSnapshotError, SysfsReadError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import with_every_name
from virtfn_host.linux.look.permanent import with_permanent_macs


def expect_seen(machine: Machine, pf: PciAddress, claims: Sequence[Claim]) -> None:
    """Refuse claims that the journal does not have, where this machine shows something else than they say.

    One that is refused refuses the whole step: all come from one look, and a claim that is left out would end.

    Raises:
        StaleSnapshotError: the function is not there, or looks otherwise than a claim says.
        SysfsReadError: nothing of it can be read.
    """
    noted = machine.journal.claims()
    new = [claim for claim in claims if claim not in noted]
    if not new:
        return
    if (function := _read(machine, pf)) is None:
        raise StaleSnapshotError(f"{pf} is not there any more; look and plan again")
    looks: list[Seen] = []
    for look in _looks(machine, function, noted):
        looks.append(look)
        new = [claim for claim in new if not _is_borne_out(machine, claim, noted, looks)]
        if not new:
            return
    differ = [camel(f.name) for f in fields(Seen) if getattr(new[0].seen, f.name) != getattr(looks[0], f.name)]
    text = f"the claim of policy {new[0].policy} says something else than this machine shows: {', '.join(differ)}"
    raise StaleSnapshotError(f"{text}; nothing was noted; look and plan again")


def _is_borne_out(machine: Machine, claim: Claim, noted: Sequence[Claim], looks: Sequence[Seen]) -> bool:
    """Whether a claim has a present look, or carries on a noted one, whose function may have moved."""
    return claim.seen in looks or any(
        old.seen.address == claim.seen.address or not _is_there(machine, old) for old in carried_on(claim, noted, looks)
    )


def _is_there(machine: Machine, claim: Claim) -> bool:
    """Whether a function is still where it was claimed, so that its twin elsewhere is not it: halves of one card may
    have one serial number."""
    function = _read(machine, claim.seen.address)
    return function is not None and any(is_proven(claim.seen, look) for look in _looks(machine, function))


def _read(machine: Machine, address: PciAddress) -> Function | None:
    """Read a function as the agent sees it: a file of it that cannot be read is left out."""
    inventory = read_inventory(machine.sysfs, machine.reader, only=[address])
    function = inventory.find(address)
    if function is None and inventory.unreadable:
        raise SysfsReadError(inventory.unreadable[0].path, OSError(inventory.unreadable[0].error))
    return function


def _looks(machine: Machine, function: Function, noted: Sequence[Claim] = ()) -> Iterator[Seen]:
    """How a function looks, the cheap reads first. While it is handed out whole, also with what only noted claims on it
    know."""
    original = machine.journal.entry(function.card)
    for shown in _shown(machine, function):
        yield (look := seen_of(shown, original))
        if original is not None and original.own is not None:
            yield remembered(look, [claim for claim in noted if is_one(claim.seen, look)])


def _shown(machine: Machine, function: Function) -> Iterator[Function]:
    """A function as sysfs shows it, then with what only netlink tells: the agent asks that if a policy needs it."""
    yield function
    if machine.netlink is not None:
        named = with_every_name(function, machine.netlink)
        yield named
        yield from with_permanent_macs([function, named], machine.sysfs, machine.netlink, [])
