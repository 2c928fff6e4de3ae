"""Shortens a status that the API server refuses, level by level. Pure.

A node without a status looks dead. So texts and lists for people are left out first. What the controller decides by
(generation, plan with the pods to evict, how each policy stands, conditions, boot and pools for the start-up taint) and
every count stay.
"""

import json
from collections.abc import Mapping
from typing import Any

from virtfn_operator.api.bounds import cut_text
from virtfn_operator.api.conditions import READY
from virtfn_operator.api.foreign import entries, mapping, text

SIZE_LIMIT = 512 * 1024
"""Bytes of a status as JSON, at most: the API server's store takes 1.5 MiB with the spec."""

LEVELS = 3
"""The whole status, one with short texts, one without texts and lists for people."""

SHORT, FEW = 256, 8
"""Characters of a message, and entries of a list for people, on the second level."""

WHY_LIMIT = 300


def fitting(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status, or its largest level that stays below `SIZE_LIMIT`."""
    if (size := len(json.dumps(status))) <= SIZE_LIMIT:
        return status
    why = f"the status has {size} bytes, more than {SIZE_LIMIT}; shortened"
    less = shortened(status, 1, why)
    return less if len(json.dumps(less)) <= SIZE_LIMIT else shortened(status, 2, why)


def refused(error: str) -> str:
    """The sentence that tells people of a status that the API server refused."""
    return f"the status was refused by the API server: {cut_text(error, WHY_LIMIT)}; shortened"


def shortened(status: Mapping[str, Any], level: int, why: str) -> dict[str, Any]:
    """A smaller status; its Ready condition says that it was shortened.

    Args:
        level: 1 cuts texts and lists, 2 leaves only verdicts, counts and what the controller acts on.
    """
    conditions = [_condition(it, why) for it in entries(status.get("conditions"), FEW)]
    plan = mapping(status.get("plan"))
    less: dict[str, Any] = {
        "observedGeneration": status.get("observedGeneration", 0),
        "policies": [_policy(it, level) for it in entries(status.get("policies"), 1024)],
        "conditions": conditions,
        "bootId": cut_text(text(status.get("bootId")), 64),
        "pools": [_pool(it) for it in entries(status.get("pools"), 1024)],
        "summary": {**mapping(status.get("summary")), "pools": cut_text(_pools(status), SHORT)},
    }
    if "needs" in status:
        less["needs"] = status["needs"]
    if plan:
        less["plan"] = {key: plan[key] for key in ("steps", "disruptive", "waiting", "evict") if key in plan}
    if level == 1:
        less |= {key: cut_text(text(status.get(key)), 64) for key in ("agentVersion", "kernel")}
        less["functions"] = [_function(it) for it in entries(status.get("functions"), 256)]
        less["rejected"] = [_short(it) for it in entries(status.get("rejected"), FEW)]
    return less


def _pools(status: Mapping[str, Any]) -> str:
    return text(mapping(status.get("summary")).get("pools"))


def _condition(condition: Mapping[str, Any], why: str) -> dict[str, Any]:
    message = cut_text(text(condition.get("message")), SHORT)
    ours = condition.get("type") == READY
    return {
        **condition,
        "reason": cut_text(text(condition.get("reason")), 64),
        "message": f"{message} ({why})" if ours else message,
    }


def _policy(outcome: Mapping[str, Any], level: int) -> dict[str, Any]:
    if level == 1:
        return _short(outcome)
    return {key: outcome[key] for key in ("name", "uid", "generation", "state", "reason") if key in outcome}


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "message": cut_text(text(entry.get("message")), SHORT)}


def _pool(pool: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pool.items() if key != "withheld"}


def _function(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function without holders and with few runs: there are many runs only where holders differ."""
    kept = {key: value for key, value in function.items() if key not in ("heldBy", "vfs", "policies", "notes")}
    runs = [{k: v for k, v in run.items() if k != "heldBy"} for run in entries(function.get("vfs"), FEW)]
    return {**kept, "vfs": runs}
