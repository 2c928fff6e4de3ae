"""How many nodes of each policy are in which state, for the metrics: as the statuses say after this pass. Pure.

Only policies that changed or are written are looked at, because a pass must not cost as much as there are policies.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from virtfn_operator.api import POLICIES
from virtfn_operator.api.foreign import mapping, number
from virtfn_operator.controller.decide import Write
from virtfn_operator.controller.picture import Change, ObjectKind
from virtfn_operator.controller.see import SeenPolicy

STATES = ("ready", "changing", "blocked", "failed", "withoutDevice")
"""Fields of a policy's `status.nodes`; `matching` is no state."""

PolicyNodes = Mapping[tuple[str, ...], int]
"""Number of nodes by policy and state."""


class PolicyFigures:
    """The numbers of all policies."""

    def __init__(self) -> None:
        self._nodes: dict[str, Mapping[str, Any]] = {}
        self._numbers: dict[tuple[str, ...], int] = {}

    @property
    def policy_nodes(self) -> PolicyNodes:
        """The numbers as they are now."""
        return dict(self._numbers)

    def take(self, changes: Iterable[Change]) -> None:
        """Note what the statuses say of policies that changed."""
        for change in changes:
            if change.kind is ObjectKind.POLICY:
                seen = change.seen
                self._set(change.name, _nodes(seen.body) if isinstance(seen, SeenPolicy) else {})

    def written(self, writes: Iterable[Write]) -> None:
        """Note what is written to statuses now."""
        for write in writes:
            if write.plural == POLICIES:
                self._set(write.name, {**self._nodes.get(write.name, {}), **_nodes(write.patch)})

    def _set(self, name: str, nodes: Mapping[str, Any]) -> None:
        if nodes:
            self._nodes[name] = nodes
            self._numbers |= {(name, state): number(nodes.get(state)) or 0 for state in STATES}
            return
        self._nodes.pop(name, None)
        for state in STATES:
            self._numbers.pop((name, state), None)


def _nodes(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(mapping(body).get("status")).get("nodes"))
