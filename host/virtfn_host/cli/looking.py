"""The verbs that only look: list, explain, inventory, plan, verify."""

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from virtfn_host.cli.deciding import complain, concerns_links, nothing_matches, resolved, status
from virtfn_host.cli.machine import journal_of, look, look_once, netlink_of, sysfs_of, tell_of_blocked_write
from virtfn_host.cli.options import BLOCKED, DONE, NOTHING_MATCHES, REFUSED
from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import read_policies
from virtfn_host.cli.show import explanation, function_table, missing
from virtfn_host.cli.show_plan import plan_text
from virtfn_host.core.tell.as_json import explanation_json, row_json
from virtfn_host.core.tell.explain import Explanation, explain
from virtfn_host.core.tell.listing import Lookup, Row, chosen, ids, listing
from virtfn_host.core.tell.made_up import made_up
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import names_macs, netdevs_named
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.errors import JournalUnreadableError
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.linux.look.surroundings import modalias, read_aliases, read_function, read_surroundings
from virtfn_host.linux.netlink.asks import Addresses
from virtfn_host.linux.read.pci_ids import read_pci_ids
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.use.lock import holders

NO_SRIOV = "no function of this machine can make VFs: none has SR-IOV (sriov_totalvfs)"


def show_list(options: argparse.Namespace, output: Output) -> int:
    """Print the functions of this machine."""
    sysfs = sysfs_of(options)
    inventory, in_use = look(sysfs, output, macs=options.json or options.verbose)
    lookup = Lookup(
        modalias=lambda address: modalias(sysfs, address),
        aliases=read_aliases(sysfs),
        touched=_touched(options, output),
    )
    every = listing(inventory, in_use, lookup)
    rows, lost = chosen(every, frozenset(options.addresses), everything=options.all)
    if options.json or options.verbose:
        rows = _named(options.root, rows)
    if options.json:
        output.document({"functions": [row_json(row) for row in rows], "unreadable": encode(inventory.unreadable)})
    elif rows:
        output.say(function_table(rows, names=options.verbose, paint=output.paint))
    output.complain_of((Reason.NO_MATCHING_DEVICE, missing(address)) for address in lost)
    output.complain_of((Reason.UNREADABLE, f"{it.device}: {it.path}: {it.error}") for it in inventory.unreadable)
    if not inventory.pfs:
        hint = "" if rows or not every else "; --all shows the functions that can be handed out whole"
        output.complain(NO_SRIOV + hint, None if rows else Reason.NO_MATCHING_DEVICE)
    return DONE if rows and not lost else NOTHING_MATCHES


def _named(root: Path, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    pci_ids = read_pci_ids(root, {row.ids for row in rows})
    return tuple(replace(row, names=pci_ids.names(row.ids)) for row in rows)


def _touched(options: argparse.Namespace, output: Output) -> frozenset[PciAddress]:
    """Return the functions in the journal; if it cannot be read, complain and go on: the list is useful without it."""
    try:
        return frozenset(original.address for original in journal_of(options).originals())
    except JournalUnreadableError as error:
        output.complain(str(error), error.reason)
        return frozenset()


def show_explain(options: argparse.Namespace, output: Output) -> int:
    """Print what one function is, who uses it, and whether it can be handed out."""
    sysfs = sysfs_of(options)
    with netlink_of(sysfs) as netlink:
        inventory = look_once(sysfs, guids=netlink, macs=netlink)
    tell_of_blocked_write(sysfs, inventory, output)
    with closing(Reader()) as reader:
        described = read_function(sysfs, options.address, inventory, reader)
    if described is None:
        text = f"{options.address}: no such PCI function; `virtfn list --all` shows those of this machine"
        output.failed(text, Reason.NO_MATCHING_DEVICE)
        return NOTHING_MATCHES
    with netlink_of(sysfs) as netlink:
        assigned = Addresses(netlink)
        users = holders(sysfs, options.address, name_processes=True, open_files=True, addresses=assigned)
    found = explain(described, inventory, read_surroundings(sysfs), users)
    numbers = ids(described.function, described.modalias)
    names = read_pci_ids(options.root, {numbers}).names(numbers)
    if options.json:
        output.document({**explanation_json(found), "ids": encode(numbers), "names": encode(names)})
    else:
        output.say(explanation(found, names, paint=output.paint))
    return _verdict(found)


def _verdict(found: Explanation) -> int:
    if found.possible:
        return DONE
    return BLOCKED if {hindrance.reason for hindrance in found.hindrances} == {Reason.VFS_IN_USE} else REFUSED


def show_inventory(options: argparse.Namespace, output: Output) -> int:
    """Print one look at this machine as a document."""
    output.document(made_up(encode(look_once(sysfs_of(options)))))
    return DONE


def show_plan(options: argparse.Namespace, output: Output) -> int:
    """Print the steps that `apply` would take."""
    policies = read_policies(options.file, output.complain)
    links = concerns_links(options, policies)
    inventory, in_use = look(sysfs_of(options), output, links=links, policies=policies)
    resolution = resolved(options, policies, inventory)
    made = plan(inventory, resolution.desired, in_use)
    if options.json:
        output.document({"plan": encode(made), "rejected": encode(resolution.rejected)})
    elif made.steps or not (made.blocked or resolution.rejected):
        output.say(plan_text(made))
    complain(output, made, resolution)
    return status(made, resolution)


def show_verify(options: argparse.Namespace, output: Output) -> int:
    """Print how this machine differs from what the policies ask."""
    policies = read_policies(options.file, output.complain)
    sysfs = sysfs_of(options)
    with netlink_of(sysfs) as netlink:
        asked = asked_names(netdevs_named(policies), netlink)
        links = netlink if concerns_links(options, policies) else None
        inventory = look_once(sysfs, links, asked=asked, guids=netlink, macs=netlink if names_macs(policies) else None)
    resolution = resolved(options, policies, inventory)
    mismatches = verify(resolution.desired, inventory)
    if options.json:
        output.document({"mismatches": encode(mismatches), "rejected": encode(resolution.rejected)})
    troubles = [(r.reason, r.message) for r in resolution.rejected] + [(m.reason, m.message) for m in mismatches]
    for reason, message in troubles:
        output.say(f"{output.paint.bad(reason)}: {message}")
    if not troubles:
        output.say(output.paint.good(f"{Reason.CONVERGED}: everything is as the policies ask"))
    if nothing_matches(resolution):
        return NOTHING_MATCHES
    return REFUSED if troubles else DONE
