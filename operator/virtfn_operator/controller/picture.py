"""What the controller knows of all objects: a compact picture that lists, watches and its own writes keep. Pure.

Laws that keep turns as strict as with fresh lists (`known.py` has the first one):

- The answer to a write is known at once, before a watch tells of it.
- A grant without an answer counts as granted until another version of the object is known (`OneKind.promise`).
- A kind that a watch may have missed something of (`gaps`) is listed before anything is decided.
- Where one list shows that the store was restored from a copy, all kinds are listed again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from virtfn_host.core.values.resource_names import Domains
from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.controller.known import Listing, OneKind, number_of
from virtfn_operator.controller.see import Once, SeenObject, see_cordon, see_node, see_policy, see_state


class ObjectKind(StrEnum):
    """The kinds of objects, those that are written by their plural names."""

    POLICY = POLICIES
    STATE = NODES
    NODE = "nodes"
    CORDON = "cordoned nodes"
    """Nodes once more, but only while they are cordoned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is known of one object now."""

    kind: ObjectKind
    name: str
    seen: SeenObject | None
    """None where it is gone."""


class Picture:
    """Objects of all kinds; not thread-safe."""

    def __init__(self, domains: Domains | None = None) -> None:
        shared = Once()
        self.objects = {
            ObjectKind.POLICY: OneKind(lambda body: see_policy(body, domains)),
            ObjectKind.STATE: OneKind(lambda body: see_state(body, shared)),
            ObjectKind.NODE: OneKind(lambda body: see_node(body, shared)),
            ObjectKind.CORDON: OneKind(see_cordon),
        }
        self.gaps = dict.fromkeys(ObjectKind)
        """Kinds that must be listed, the one whose list failed last first."""
        self.outdated: set[ObjectKind] = set()
        """Kinds whose watch began before the store was restored. It hears nothing for a while, and then some of it."""

    def listed(self, kind: ObjectKind, listing: Listing, version: str) -> tuple[str, ...]:
        """Take over a whole list; return the names of objects that were known otherwise."""
        self.gaps.pop(kind, None)
        changed = listing.end(version)
        if listing.restored:
            self.went_back(number_of(version))
        return changed

    def went_back(self, version: int) -> None:
        """Take note that the store was restored from a copy of this version.

        The kinds share the store and its versions. A watch that goes on from a version which the store does not have
        yet hears nothing, and nobody tells it so; therefore these kinds are listed again.
        """
        self.outdated |= set(ObjectKind)
        self.gaps |= dict.fromkeys(kind for kind, objects in self.objects.items() if objects.newest > version)

    @property
    def cordoned(self) -> frozenset[str]:
        """The names of cordoned Nodes."""
        return frozenset(self.objects[ObjectKind.CORDON].known)

    def changes(self) -> list[Change]:
        """Return what changed since the last call, as it is now."""
        found = [change for kind in ObjectKind for change in self._some(kind, self.objects[kind].changed)]
        for objects in self.objects.values():
            objects.changed = {}
        return found

    def everything(self) -> list[Change]:
        """Return all that is known."""
        return [change for kind in ObjectKind for change in self._some(kind, self.objects[kind].known)]

    def _some(self, kind: ObjectKind, names: Iterable[str]) -> Iterator[Change]:
        known = self.objects[kind].known
        for name in names:
            yield Change(kind=kind, name=name, seen=known[name].seen if name in known else None)
