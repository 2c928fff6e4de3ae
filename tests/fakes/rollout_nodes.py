"""The nodes of `rollout_law.py`: what happens on each PF, and what the agent says of it. Policies have a PF each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Body = dict[str, Any]
SLOTS = ("vf0", "vf1", "other")
"""Functions of each node."""
OF_SLOT = {"vf0": "p", "vf1": "q"}
"""Which policy changes them; the third is of a PF that no policy changes."""


@dataclass
class Pod:
    """A pod that holds one function of a node."""

    uid: str
    name: str
    node: str
    slot: str
    daemon: bool
    budget: bool
    """Whether a PodDisruptionBudget forbids its eviction."""
    hangs: bool
    """Whether a finalizer keeps it when it is deleted."""
    until: datetime | None = None
    """When it should have ended; None: it is not being deleted."""

    @property
    def ending(self) -> bool:
        return self.until is not None


@dataclass
class Part:
    """One policy on one node."""

    done: int = 0
    """The generation that is carried out."""
    changing: bool = False
    """Whether functions are being taken away at this moment."""
    withdrawn: bool = False
    half: bool = False
    """Whether the old VFs are gone and new ones could not be made."""
    failed: bool = False
    cursed: bool = False
    """Whether each change fails; while there is none, a lasting failure without work is reported."""
    wants: bool = False
    held: bool = False
    """Whether somebody holds what is to be changed, as the agent saw it last."""
    evicts: bool = False
    was_left: bool = False
    """Whether labels took the policy away during this change: it counts no more, also if they bring it back (0038)."""

    @property
    def free(self) -> bool:
        return self.wants and not self.held and not self.half

    @property
    def disturbs(self) -> bool:
        return self.changing or self.withdrawn or self.half

    @property
    def disruptive(self) -> bool:
        return self.wants and not self.half and (self.evicts or self.changing or not self.held)

    def rest(self) -> None:
        self.withdrawn = self.changing = self.half = self.was_left = False

    def says(self, rng: random.Random, *, may: bool) -> tuple[str, str]:
        """Return state and reason."""
        if self.failed:
            return ("Failed", "BindFailed") if rng.random() < 0.6 else ("Changing", "Changing")  # it tries again
        if self.wants and self.held and not self.evicts and not self.changing:
            return "Blocked", "VfsInUse"
        if self.wants:
            return "Changing", ("Evicting" if self.evicts else "Changing") if may else "WaitingForTurn"
        return ("Failed", "NotOffered") if self.cursed else ("Ready", "Converged")


@dataclass
class Node:
    """A node: its SriovNode in the API server, and what its agent knows, wants and does."""

    body: Body
    seen: Body
    """The object as its agent saw it last."""
    pool: str
    """Its label."""
    parts: dict[str, Part]
    cordoned: bool = False
    process: str = ""
    """The policy of which a process of no pod holds a function, too."""
    dead: bool = False
    stops: dict[str, int] = field(default_factory=dict)
    """Generations of policies that failed in its turn, as the controller has seen and written, until they are well."""
    excused: int = 0
    """The generation that took its turn away as silent; until its agent sees that, it counts for nothing."""

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def answered(self) -> int:
        """The generation that its status is about."""
        return int(self.body.get("status", {}).get("observedGeneration", 0))

    @property
    def may(self) -> bool:
        """Whether it has its turn, as far as it knows."""
        return bool(self.seen.get("spec", {}).get("mayChange"))

    def rest(self) -> None:
        """Without a turn nothing is withdrawn and nothing of what exists is taken away."""
        for part in self.parts.values():
            part.rest()

    def status(self, rng: random.Random, pods: Sequence[tuple[str, str]]) -> Body:
        """Return its status; the pods are those to be evicted, each with the policy that asks for it."""
        asked = [(entry, self.parts[entry["name"]]) for entry in self.seen["spec"]["policies"]]
        outcomes = []
        for entry, part in asked:
            state, reason = part.says(rng, may=self.may)
            outcomes.append(
                {**{key: entry[key] for key in ("name", "uid", "generation")}, "state": state, "reason": reason}
            )
        plan: Body = {"steps": 3, "disruptive": any(part.disruptive for _, part in asked)}
        if pods:
            withdrawn = self.may and all(part.withdrawn for _, part in asked if part.evicts)
            named = [{"device": policy, "namespace": "default", "name": name} for policy, name in pods]
            plan["evict"] = {"withdrawn": withdrawn, "pods": named}
        wants = {"plan": plan} if any(part.wants for _, part in asked) else {}
        return {"observedGeneration": self.seen["metadata"]["generation"], "policies": outcomes, **wants}


def generations(spec: Body) -> dict[str, int]:
    """Return the policies of a spec."""
    return {entry["name"]: entry["generation"] for entry in spec.get("policies", ())}
