"""The configuration of the SR-IOV network device plugin (sriovdp): config.json, or a ConfigMap that has it.

Facts: it is Go, so keys have no case, null is absent, and unknown keys are ignored. Each entry of `resourceList` takes
the VFs that fit all its selectors and no earlier entry. It binds no driver and makes no VF.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from virtfn_host.core.translate.asked import Asked, Nodes, Translation
from virtfn_host.core.translate.item import JSON_LIMIT, Item, UnfitError, inside, needed
from virtfn_host.core.translate.meeting import COMPARED_LIMIT, may_share_vfs
from virtfn_host.core.translate.policies import MOST_NAMES, written
from virtfn_host.core.translate.selectors import resource
from virtfn_host.core.translate.words import also, called, mapping_of
from virtfn_host.core.values.fields import shown

PREFIX = "intel.com"
"""Domain of a resource name without resourcePrefix; the plugin's flag --resource-prefix says another."""

MOST_TARGETS = 16_384
"""Most matchers of one file: each of a thousand nodes may have a configuration of its own."""

_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""A node's name as the value of a label."""

_AS_FOUND = (
    "The device plugin offers VFs as it finds them. A policy binds all VFs that it names to its pool's driver, and"
    " without `count` leaves their number alone."
)


def translate_sriovdp(documents: Sequence[object], prefix: str = PREFIX) -> Translation:
    """Translate the documents of a file: one configuration, or one ConfigMap with one for each node.

    Raises:
        UnfitError: there is no configuration in it, or the plugin would refuse it.
    """
    found = [configs for n, document in enumerate(documents) if (configs := _configs(Item(document, (n,))))]
    if not found:
        what = called(documents[0] if documents else None)
        raise UnfitError((0,), f"want config.json with a resourceList, or a ConfigMap that has it; this is {what}")
    if len(found) > 1:
        raise UnfitError(found[1][0][0].place, "a second configuration; give each in a file of its own")
    asked: list[Asked] = []
    for config, nodes in found[0]:
        asked += _ordered(_resources(config, nodes, prefix))
        if sum(len(one.targets) for one in asked) > MOST_TARGETS:
            raise UnfitError(config.place, f"more than {MOST_TARGETS} devices; split the file")
    return Translation(results=tuple(written(asked)), notes=(_AS_FOUND,))


# --- where the configuration is --------------------------------------------------------------------------------------


def _configs(document: Item) -> list[tuple[Item, Nodes]]:
    """Return the configurations of one document, each with its nodes; none: it is another document."""
    fields = mapping_of(document.value)
    if fields.get("kind") == "List" and isinstance(fields.get("items"), list):
        return [found for item in document.at("items", fields["items"]).items() for found in _configs(item)]
    if fields.get("kind") == "ConfigMap":
        return _of_config_map(document)
    return [(document, Nodes())] if any(str(key).lower() == "resourcelist" for key in fields) else []


def _of_config_map(document: Item) -> list[tuple[Item, Nodes]]:
    """Return one configuration for all nodes, or one for each: then the keys are the names of nodes."""
    data = needed(document.fields(), "data", document)
    texts = data.fields()
    everywhere = [key for key in texts if key.endswith(".json")]
    if len(everywhere) > 1 or (everywhere and len(texts) > 1):
        raise data.unfit(
            f"has {' and '.join(map(shown, sorted(texts)[:3]))}; leave in only the one that the plugin reads"
        )
    if not texts:
        raise data.unfit("is empty")
    if everywhere:
        return [(texts[everywhere[0]], Nodes())]
    alike: dict[object, list[str]] = {}
    for key, item in texts.items():
        if not _NODE.fullmatch(key):
            raise item.unfit("is neither a file like config.json nor the name of a node")
        alike.setdefault(item.text(JSON_LIMIT), []).append(key)
    return [
        (texts[names[0]], Nodes(names=tuple(names[first : first + MOST_NAMES])))
        for names in alike.values()
        for first in range(0, len(names), MOST_NAMES)
    ]


def _resources(config: Item, nodes: Nodes, prefix: str) -> list[Asked]:
    if not isinstance(config.value, str):
        return _list(config, nodes, prefix)
    inner = config.document()
    with inside(config, config.value):
        return [replace(one, place=config.place) for one in _list(inner, nodes, prefix)]


def _list(config: Item, nodes: Nodes, prefix: str) -> list[Asked]:
    listed = needed(config.folded(), "resourceList", config)
    entries = listed.items()
    if not entries:
        raise listed.unfit("is empty")
    found: dict[str, Asked] = {}
    for n, entry in enumerate(entries):
        one = replace(resource(entry, prefix), nodes=nodes, rank=n)
        if (first := found.setdefault(one.resource, one)) is not one:
            raise entry.unfit(f"{one.resource} is there twice, first in {first.source}")
    return list(found.values())


# --- several resources -----------------------------------------------------------------------------------------------


def _ordered(asked: Sequence[Asked]) -> list[Asked]:
    """Say which resources of a node want the same VFs, and keep the plugin's order: an earlier one comes first.

    Where the plugin divides VFs by something else, resources with ranges come before those without: a pool without
    `indexes` takes all that is left.
    """
    if sum(len(one.targets) for one in asked) > COMPARED_LIMIT:
        raise UnfitError(asked[-1].place, f"more than {COMPARED_LIMIT} devices; split the file")
    pairs = [pair for pair in combinations(asked, 2) if may_share_vfs(*pair)]
    if not pairs:
        return list(asked)
    ranges_first = any(_open_ended(one) and one.chosen_by != other.chosen_by for one, other in pairs)
    order = sorted(asked, key=lambda one: (ranges_first and _open_ended(one), one.rank))
    place = {one.rank: n for n, one in enumerate(order)}
    found = {one.rank: replace(one, priority=len(order) - n) for n, one in enumerate(order)}
    for pair in pairs:
        first, second = sorted(pair, key=lambda one: place[one.rank])
        told = _told(found[first.rank], found[second.rank], undecided=(bool(first.open), bool(second.open)))
        found[first.rank], found[second.rank] = told
    return [found[one.rank] for one in order]


def _told(first: Asked, second: Asked, undecided: tuple[bool, bool]) -> tuple[Asked, Asked]:
    """Add to two resources that may want the same VFs what becomes of that; the first has precedence."""
    if any(undecided):
        before, after = undecided
        return (first if before else _warned(first, second)), (second if after else _warned(second, first))
    if _open_ended(first) and _open_ended(second) and first.chosen_by != second.chosen_by:
        return _left_open(first, second), _left_open(second, first)
    note = f"VFs that {first.resource} names too go to that, which comes first"
    return first, replace(second, notes=also(second.notes, note))


def _warned(asked: Asked, other: Asked) -> Asked:
    note = f"{other.resource}, which you must decide, may mean VFs of the same PFs; then give each pool `indexes`"
    return replace(asked, notes=also(asked.notes, note))


def _open_ended(asked: Asked) -> bool:
    return not asked.targets or any(target.indexes is None for target in asked.targets)


def _left_open(asked: Asked, other: Asked) -> Asked:
    text = f"{other.resource} takes VFs of the same PFs, and a policy chooses by index: give each pool `indexes`"
    return replace(asked, open=also(asked.open, text))
