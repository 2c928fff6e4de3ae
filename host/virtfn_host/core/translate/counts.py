"""How many VFs, and which, where several policies of the SR-IOV network operator mean one PF."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from virtfn_host.core.translate.asked import Asked, Target
from virtfn_host.core.translate.item import UnfitError
from virtfn_host.core.translate.meeting import COMPARED_LIMIT, common_indexes, may_share_node, may_share_pf
from virtfn_host.core.translate.words import also
from virtfn_host.core.values.indexes import Indexes


@dataclass(slots=True)
class _Wish:
    """One target of one policy, with its VFs as the operator counts them."""

    asked: Asked
    target: Target
    named: Indexes | None
    """VFs that it means; None: not known, or none."""
    count: int | None
    shared: bool = False
    """Whether another policy may mean the same PF."""


def settled(asked: Sequence[Asked]) -> list[Asked]:
    """Return the policies in order of precedence, with the number of VFs that the operator would make.

    A policy alone on its PFs stays as it is. Where several may share a PF, each names its VFs by index, and all have
    the same count: policies with different counts would be refused (CountConflict).
    """
    wishes = [_wish(one, target) for one in asked for target in one.targets]
    if len(wishes) > COMPARED_LIMIT:
        raise UnfitError(asked[-1].place, f"more than {COMPARED_LIMIT} selected devices; split the file")
    notes: dict[int, tuple[str, ...]] = {id(one): () for one in asked}
    leader = list(range(len(wishes)))
    for n, m in combinations(range(len(wishes)), 2):
        one, other = wishes[n], wishes[m]
        if not _meet(one, other):
            continue
        one.shared = other.shared = True
        overlap = common_indexes(one.named, other.named)
        if overlap:
            _tell_of_overlap(one.asked, other.asked, notes)
        elif one.asked.resource == other.asked.resource:
            _tell_of_one_resource(one.asked, other.asked, notes)
        if one.asked.rank == other.asked.rank or not overlap:
            _join(leader, n, m)
    _raise_counts(wishes, leader, notes)
    found = [_with(one, wishes, notes[id(one)]) for one in asked]
    return sorted(found, key=lambda one: (one.rank, one.name))


def _with(asked: Asked, wishes: Sequence[_Wish], notes: Sequence[str]) -> Asked:
    targets = tuple(_target(wish) for wish in wishes if wish.asked is asked)
    return replace(asked, targets=targets, notes=(*asked.notes, *dict.fromkeys(notes)))


def first_indexes(count: int) -> Indexes:
    """Return the indexes of the first VFs."""
    return Indexes(((0, count - 1),))


def _wish(asked: Asked, target: Target) -> _Wish:
    named = target.indexes if target.indexes is not None or not target.count else first_indexes(target.count)
    return _Wish(asked=asked, target=target, named=named, count=target.count)


def _meet(one: _Wish, other: _Wish) -> bool:
    return (
        one.asked is not other.asked
        and may_share_pf(one.target, other.target)
        and may_share_node(one.asked.nodes, other.asked.nodes)
    )


def _join(leader: list[int], one: int, other: int) -> None:
    """Put two wishes, and all that were put together with them, under one leader."""
    first, second = leader[one], leader[other]
    if first == second:
        return
    for n, found in enumerate(leader):
        if found == second:
            leader[n] = first


def _raise_counts(wishes: Sequence[_Wish], leader: Sequence[int], notes: dict[int, tuple[str, ...]]) -> None:
    highest: dict[int, int] = {}
    for wish, group in zip(wishes, leader, strict=True):
        highest[group] = max(highest.get(group, 0), wish.count or 0)
    for wish, group in zip(wishes, leader, strict=True):
        if wish.count is not None and wish.count < highest[group]:
            text = f"numVfs {wish.count}: count is {highest[group]}, the highest for these PFs, as the operator has it"
            notes[id(wish.asked)] = also(notes[id(wish.asked)], text)
            wish.count = highest[group]


def _target(wish: _Wish) -> Target:
    indexes = wish.named if wish.shared else wish.target.indexes
    return replace(wish.target, count=wish.count, indexes=indexes)


def _tell_of_one_resource(one: Asked, other: Asked, notes: dict[int, tuple[str, ...]]) -> None:
    for this, that in ((one, other), (other, one)):
        text = (
            f"{that.source} may offer VFs of the same PF as {this.resource}; the operator drops one, virtfn offers both"
        )
        if text not in notes[id(this)]:
            notes[id(this)] = also(notes[id(this)], text)


def _tell_of_overlap(one: Asked, other: Asked, notes: dict[int, tuple[str, ...]]) -> None:
    first, second = (one, other) if one.rank <= other.rank else (other, one)
    if first.rank == second.rank:
        for this, that in ((first, second), (second, first)):
            text = f"{that.source} may name the same VFs with the same priority; name others in one"
            notes[id(this)] = also(notes[id(this)], text)
        return
    text = f"VFs that {first.source} may name too go to that, by priority; the operator would drop them all here"
    notes[id(second)] = also(notes[id(second)], text)
