"""The verb rollout: how far a policy is carried out, and pausing it.

A pause is an annotation of the policy (decision 0038). It is written by a patch of that annotation alone.
"""

import argparse

from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.asked import fleet_of, policy_in
from virtfn_kubectl.cluster import AskError, Cluster
from virtfn_kubectl.errors import MistakeError, NotThereError
from virtfn_kubectl.judge.rollout import PolicyRollout, rollout_of
from virtfn_kubectl.names import policy_name
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import DONE, status_of
from virtfn_kubectl.tell.rollout_text import paused_text, rollout_text
from virtfn_operator.api import GROUP, POLICIES
from virtfn_operator.api.policy import PAUSED, read_policy


def rollout(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print how far a policy is carried out, or pause or resume it."""
    fleet = fleet_of(cluster)
    found = rollout_of(fleet, policy_in(fleet, policy_name(options.policy)))
    if options.action == "status":
        screen.document({**encode(found), "complete": found.complete})
        screen.say(rollout_text(found, screen.paint))
        return status_of(found.verdict.stand)
    return _let(found, cluster, screen, paused=options.action == "pause")


def _let(found: PolicyRollout, cluster: Cluster, screen: Screen, *, paused: bool) -> int:
    if found.verdict.reason == Reason.BEING_DELETED:
        raise MistakeError(f"policy {found.policy} has no rollout to pause or resume: {found.verdict.message}")
    changed = found.paused != paused
    if changed:
        _write(found.policy, cluster, paused=paused)
    beside = {"mayChange": list(found.with_turn), "waiting": list(found.waiting), "stoppedBy": found.stopped_by or None}
    screen.document({"policy": found.policy, "paused": paused, "changed": changed, **beside})
    screen.say(paused_text(found, paused=paused, changed=changed))
    return DONE


def _write(policy: str, cluster: Cluster, *, paused: bool) -> None:
    word = "pause" if paused else "resume"
    try:
        body = cluster.annotate(f"{POLICIES}.{GROUP}", policy, PAUSED, "true" if paused else None)
    except AskError as error:
        if error.reason == "NotFound":
            raise NotThereError(f"there is no policy {policy} any more: it was deleted meanwhile") from error
        if error.reason == "Forbidden":
            text = f"you may not {word} a rollout, which needs the permissions to get and patch SriovPolicies: {error}"
            raise AskError(text, error.reason) from error
        raise
    if read_policy(body).paused != paused:  # a webhook, or another person at the same time
        raise AskError(f"policy {policy}: the API server took the change, but its answer is not {word}d")
