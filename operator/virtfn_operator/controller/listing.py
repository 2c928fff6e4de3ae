"""Reads whole lists into the picture: at the start, after a gap of a watch, and seldom as a check."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.apiserver.kube import METADATA_ONLY, ONE_METADATA_ONLY, Kube, ours
from virtfn_operator.controller.known import Comparison, Listing
from virtfn_operator.controller.picture import ObjectKind, Picture

PAGE = 250
"""Objects per page. A page of SriovNodes is a megabyte, and ten in memory."""

CHECK_PAGE = 500
"""Objects per page of a check, which reads metadata only."""

CATCH_UP = 5.0
"""Seconds in which a watch must have told what a check found."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a kind is listed and watched."""

    path: str
    of_lists: str
    """The Accept header of lists."""
    of_events: str
    """The Accept header of watches."""
    query: Mapping[str, str] = field(default_factory=dict)
    """What of the kind is listed and watched."""


_WHOLE = "application/json"

SOURCES = {
    ObjectKind.POLICY: Source(path=ours(POLICIES), of_lists=_WHOLE, of_events=_WHOLE),
    ObjectKind.STATE: Source(path=ours(NODES), of_lists=_WHOLE, of_events=_WHOLE),
    ObjectKind.NODE: Source(path="/api/v1/nodes", of_lists=METADATA_ONLY, of_events=ONE_METADATA_ONLY),
    # A watch of metadata does not tell of a cordon. One with this selector does: it tells of a Node that is cordoned as
    # of a new one, and of one that is not any more as of a deleted one. Whole Nodes would be ten times as many bytes.
    ObjectKind.CORDON: Source(
        path="/api/v1/nodes",
        of_lists=METADATA_ONLY,
        of_events=ONE_METADATA_ONLY,
        query={"fieldSelector": "spec.unschedulable=true"},
    ),
}


async def fill(kube: Kube, picture: Picture, kind: ObjectKind) -> None:
    """List one kind.

    Raises:
        KubeError: as `Kube.list`; then nothing is taken over.
    """
    source, listing = SOURCES[kind], Listing(picture.objects[kind])
    version = await kube.each_page(source.path, listing.page, accept=source.of_lists, size=PAGE, query=source.query)
    picture.listed(kind, listing, version)


async def check(kube: Kube, picture: Picture, kind: ObjectKind) -> None:
    """Compare a kind with a fresh list; where something was missed, say so and make it a gap.

    Raises:
        KubeError: as `Kube.list`.
    """
    found = Comparison(picture.objects[kind])
    source = SOURCES[kind]
    version = await kube.each_page(source.path, found.page, accept=METADATA_ONLY, size=CHECK_PAGE, query=source.query)
    if not found.missed(version):
        return
    await asyncio.sleep(CATCH_UP)
    if (missed := found.missed(version)) and kind not in picture.gaps:
        first = ", ".join(missed[:5])
        logger.warning("the watch of %s has missed %d objects (%s); listing again", kind, len(missed), first)
        picture.gaps[kind] = None
