"""From policy files to a decision, and from a decision to words and an exit status."""

import argparse
from collections.abc import Sequence

from virtfn_host.cli.machine import journal_of
from virtfn_host.cli.options import BLOCKED, DONE, NOTHING_MATCHES, REFUSED
from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import known_again
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.model import Inventory
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Plan
from virtfn_host.linux.act.journal import has_links


def concerns_links(options: argparse.Namespace, policies: Sequence[PolicyConfig] = ()) -> bool:
    """Return whether a policy asks for link settings or the journal has some to give back; only then are they read."""
    asked = any(pool.link is not None for policy in policies for pool in policy.pools)
    return asked or has_links(journal_of(options).originals())


def resolved(options: argparse.Namespace, policies: Sequence[PolicyConfig], inventory: Inventory) -> Resolution:
    """Return what policies ask of this machine, with the claims that its journal has."""
    journal = journal_of(options)
    claims = journal.claims()
    config = NodeConfig(policies=known_again(policies, claims))
    return resolve(config, inventory, journal.originals(), claims)


def complain(output: Output, made: Plan, resolution: Resolution) -> None:
    """Print what is rejected and what is blocked, each with its reason."""
    output.complain_of((refusal.reason, refusal.message) for refusal in resolution.rejected)
    output.complain_of((blocked.reason, blocked.message) for blocked in made.blocked)


def status(made: Plan, resolution: Resolution) -> int:
    """Return the exit status for what is blocked or rejected."""
    if made.blocked:
        # Blocked for another reason: waiting for a holder would not help.
        return BLOCKED if any(blocked.reason is Reason.VFS_IN_USE for blocked in made.blocked) else REFUSED
    if resolution.rejected:
        return NOTHING_MATCHES if nothing_matches(resolution) else REFUSED
    return DONE


def nothing_matches(resolution: Resolution) -> bool:
    """Return whether the policies match nothing on this machine."""
    reasons = {refusal.reason for refusal in resolution.rejected}
    return bool(reasons) and reasons <= {Reason.NO_MATCHING_DEVICE, Reason.DEVICE_GONE} and not resolution.desired.pfs
