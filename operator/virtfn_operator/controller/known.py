"""All objects of one kind as lists, watches and answers to writes told of them. Pure.

An object only ever gets newer. Versions of one kind are compared as numbers, as Kubernetes allows since 1.35 and as all
its versions write them. So an event that was late does not undo the answer to our own write, and a list does not undo
an event that came while it was read. A list that is older than what was known before it began means that the store was
restored from a copy: then the list counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from virtfn_operator.controller.see import Body, SeenObject, SeenPolicy, SeenState, name_of, version_of

REMEMBERED_DELETIONS = 4096


@dataclass(frozen=True, slots=True)
class Latest:
    """One object."""

    version: int
    """0 where it cannot be compared."""
    seen: SeenObject | None
    """None for a policy that is being deleted and cannot be read."""

    def since(self, version: int) -> bool:
        """Whether it is known from after this version."""
        return 0 < version < self.version


class OneKind:
    """All objects of one kind."""

    def __init__(self, see: Callable[[object], SeenObject | None]) -> None:
        self.see = see
        self.known: dict[str, Latest] = {}
        self.gone: dict[str, int] = {}
        """The versions of deletions, the latest ones."""
        self.newest = 0
        """The highest version of the kind that was told; a watch goes on from it."""
        self.changed: dict[str, None] = {}
        """Names of objects that changed since they were last asked for."""

    def tell(self, event: str, body: Body) -> bool:
        """Take over one event of a watch; return whether anything changed that is decided from."""
        name, version = name_of(body), number_of(version_of(body))
        self.newest = max(self.newest, version)
        if event == "BOOKMARK" or self._is_older(name, version):
            return False
        return self.drop(name, version) if event == "DELETED" else self.put(name, Latest(version, self.see(body)))

    def answer(self, body: Body) -> bool:
        """Take over the answer to a write; return whether anything changed that is decided from."""
        name, version = name_of(body), number_of(version_of(body))
        return not self._is_older(name, version) and self.put(name, Latest(version, self.see(body)))

    def promise(self, name: str) -> None:
        """Note that a turn was granted to a SriovNode and that no answer came.

        The grant was good for one version only. So the node counts as granted until another version of it is known.
        """
        known = self.known.get(name)
        if known is not None and isinstance(known.seen, SeenState):
            self.known[name] = Latest(known.version, replace(known.seen, promised=True))
            self.changed[name] = None

    def put(self, name: str, new: Latest) -> bool:
        """Remember an object; return whether it was known otherwise."""
        old = self.known.get(name)
        if old is not None and 0 < old.version == new.version and _is_promised(old):
            return False
        self.known[name] = new
        same = old is not None and old.seen == new.seen
        if not same or isinstance(new.seen, SeenState | SeenPolicy):  # writes to these name the version
            self.changed[name] = None
        return not same

    def drop(self, name: str, version: int = 0) -> bool:
        """Forget an object that was deleted; return whether it was known."""
        if version:
            self.gone[name] = version
            if len(self.gone) > REMEMBERED_DELETIONS:
                del self.gone[next(iter(self.gone))]
        if self.known.pop(name, None) is None:
            return False
        self.changed[name] = None
        return True

    def _is_older(self, name: str, version: int) -> bool:
        known = self.known.get(name)
        return 0 < version < (known.version if known else self.gone.get(name, 0))


class Listing:
    """One list of a kind; it is taken over when it has come to its end."""

    def __init__(self, objects: OneKind) -> None:
        self._objects = objects
        self._newest_before = objects.newest
        self._found: dict[str, Latest] = {}
        self.restored = False
        """Whether the list is older than what was known: the store was restored from a copy."""

    def page(self, items: Iterable[Body]) -> None:
        """Read one page; nothing of its objects is kept that is not needed."""
        for body in items:
            name, new = name_of(body), Latest(number_of(version_of(body)), self._objects.see(body))
            before = self._objects.known.get(name)
            self._found[name] = before if before == new and before.version else new

    def end(self, version: str) -> tuple[str, ...]:
        """Take the list over; return the names of objects that were known otherwise.

        Args:
            version: the resourceVersion of the list.
        """
        objects, at = self._objects, number_of(version)
        restored = self.restored = at < self._newest_before
        objects.newest = at if restored else max(objects.newest, at)
        since = 0 if restored else at
        absent = [name for name, known in objects.known.items() if name not in self._found and not known.since(since)]
        changed = [name for name in absent if objects.drop(name)]
        if restored:
            objects.gone.clear()
        for name, found in self._found.items():
            known = objects.known.get(name)
            newer = known.since(since) if known else 0 < since < objects.gone.get(name, 0)
            if not newer and objects.put(name, found):
                changed.append(name)
        return tuple(sorted(changed))


class Comparison:
    """A list of names and versions, to be compared with what the watches told."""

    def __init__(self, objects: OneKind) -> None:
        self._objects = objects
        self._newest_before = objects.newest
        self._found: dict[str, int] = {}

    def page(self, items: Iterable[Body]) -> None:
        """Note the objects of one page."""
        self._found |= {name_of(body): number_of(version_of(body)) for body in items}

    def missed(self, version: str) -> tuple[str, ...]:
        """Return the names that the watches did not tell as the list has them; a moment later they may have.

        Args:
            version: the resourceVersion of the list. Where it is older than what was known before the list was read,
                the store was restored from a copy, and every object was missed.
        """
        known, gone, at = self._objects.known, self._objects.gone, number_of(version)
        if 0 < at < self._newest_before:
            return tuple(sorted(known.keys() | self._found.keys()))
        missed = [name for name, found in self._found.items() if name in known and known[name].version < found]
        missed += [name for name in self._found if name not in known and not 0 < at < gone.get(name, 0)]
        missed += [name for name, one in known.items() if name not in self._found and not one.since(at)]
        return tuple(sorted(missed))


def number_of(version: str) -> int:
    """Return a resourceVersion as a number; 0 where it is none."""
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 20 else 0


def _is_promised(known: Latest) -> bool:
    return isinstance(known.seen, SeenState) and known.seen.promised
