"""The JSON document of `plan`: every field is always there. A field that changes its meaning makes another version."""

from typing import Any

from virtfn_kubectl.judge.foreseen import Foreseen, NodeForeseen, PolicyForeseen, stand_of
from virtfn_kubectl.read.preview import NodeAnswer, PfSeen

VERSION = 1


def foreseen_document(found: Foreseen) -> dict[str, Any]:
    """Return the document."""
    return {
        "version": VERSION,
        "stand": str(stand_of(found)),
        "policies": [_policy(policy) for policy in found.policies],
        "nodes": [_node(node) for node in found.nodes],
        "unchangedNodes": found.others,
        "unread": list(found.unread),
    }


def _policy(policy: PolicyForeseen) -> dict[str, Any]:
    verdict, rollout = policy.verdict, policy.rollout
    return {
        "name": policy.name,
        "change": policy.change,
        "stand": str(verdict.stand) if verdict else None,
        "reason": verdict.reason if verdict else None,
        "message": verdict.message if verdict else None,
        "matchingNodes": policy.matching,
        "turns": list(rollout.turns),
        "waiting": list(rollout.waiting),
        "paused": rollout.paused,
        "stoppedBy": rollout.stopped_by or None,
        "notGiven": list(policy.rejections),
    }


def _node(node: NodeForeseen) -> dict[str, Any]:
    turn = node.turn
    return {
        "name": node.name,
        "unknown": node.unknown or None,
        "turn": {"atOnce": turn.has, "place": turn.place, "held": turn.held or None} if turn else None,
        **(_answer(node.answer) if node.answer else {"devices": None, "evict": None, "hindered": None, "status": None}),
    }


def _answer(answer: NodeAnswer) -> dict[str, Any]:
    return {
        "devices": [_device(part) for part in answer.pfs],
        "evict": list(answer.evict),
        "hindered": answer.hindered or None,
        "status": dict(answer.status),
    }


def _device(part: PfSeen) -> dict[str, Any]:
    return {
        "device": part.pf,
        "policies": list(part.policies),
        "steps": list(part.steps),
        "disturbs": list(part.displaces),
        "atOnce": part.calm,
        "waits": [{"device": it.device, "reason": it.reason, "message": it.message} for it in part.blocked],
        "stepsWithoutHolders": list(part.later),
    }
