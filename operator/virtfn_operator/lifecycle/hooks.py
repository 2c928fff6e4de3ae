"""Carries out the chart's hooks: asks the API server, has it decided, writes, waits and tells. Each hook is one run.

A hook that cannot do its work ends with an error that says what to do next, and Helm stops there. What remains on nodes
is no error: it is listed, and the uninstallation goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from virtfn_operator.api import NODES
from virtfn_operator.api.bounds import cut_text
from virtfn_operator.api.foreign import mapping, text
from virtfn_operator.api.lease import RENEW_DEADLINE
from virtfn_operator.apiserver.gate import UNANSWERED
from virtfn_operator.apiserver.kube import Kube, ours
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.clock import micro_timestamp
from virtfn_operator.lifecycle.crds import Fate, established, judge
from virtfn_operator.lifecycle.leaving import NOT_ASKED, Cleaned, Left, NodeLeft, cleaned, giving_up, left_on, said
from virtfn_operator.settings import HookSettings

MANAGER = "virtfn-hook"
"""Manager of the CRDs' fields, and holder of the lease while devices are given back."""

CLEANER = "clean-nodes"
"""Component of the pods that clean the nodes."""

TRIES = 60.0
"""Seconds for which a request is repeated that the API server does not answer or does not want now."""

LOOK = 2.0
"""Seconds between two looks at the nodes, or as many as a look takes, times four."""

ABSENT_LOOKS, ABSENT_PAUSE = 3, 5.0
"""Answers 404 in a row after which something does not exist, and the seconds between two of them."""

ESTABLISHED = 30.0
"""Seconds until the API server must serve a new CRD."""

PARALLEL = 16
PAGE = 250

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

SHOWN = 100
"""Lines about nodes that are printed; the SriovNodes tell the rest."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class HookFailedError(Exception):
    """A hook could not do its work; the message says what to do next."""


@dataclass(slots=True)
class _Absence:
    """Whether something does not exist. One answer 404 does not say so, because it may be wrong or late: then nothing
    would be given back. It is believed when it is repeated, and never of what was seen before."""

    seen: bool = False
    looks: int = 0

    async def unless_absent(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Return the answer; None: it does not exist.

        Raises:
            KubeError: as `ask`; for a 404 that is not believed yet, one after which `_repeated` asks again.
        """
        try:
            found = await ask()
        except KubeError as error:
            self.looks = self.looks + 1 if error.absent else 0
            if not error.absent:
                raise
            if self.looks >= ABSENT_LOOKS and not self.seen:
                return None
            raise KubeError(UNANSWERED, str(error), retry_in=max(ABSENT_PAUSE, error.retry_in)) from error
        self.looks = 0
        return found


async def upgrade_crds(settings: HookSettings) -> None:
    """Apply the chart's CRDs where they are newer than the cluster's.

    Raises:
        HookFailedError: a CRD is not as the chart needs it; nothing else of the chart was changed.
    """
    found = await asyncio.to_thread(lambda: sorted((p.stem, p.read_text()) for p in settings.crds.glob("*.yaml")))
    if not found:
        raise HookFailedError(f"no CRD is in {settings.crds}; the ConfigMap virtfn-upgrade-crds should have them")
    async with Kube(settings.api, connections=2) as kube:
        for stem, manifest in found:
            name = f"{stem}.virtfn.dev"
            try:
                await _upgrade(kube, name, manifest)
            except KubeError as error:
                raise HookFailedError(
                    f"the CRD {name} was not upgraded: {error}. Nothing but CRDs was changed. Mend what it says and run"
                    " the upgrade again; or apply the chart's folder crds yourself (kubectl apply --server-side"
                    " --force-conflicts -f crds/) and run it with hooks.upgradeCrds.enabled=false"
                ) from error


async def _upgrade(kube: Kube, name: str, manifest: str) -> None:
    path = f"{CRDS}/{name}"
    now = await _repeated(partial(_Absence().unless_absent, partial(kube.read, path)))
    then = await _repeated(partial(kube.apply, path, manifest, manager=MANAGER, dry_run=True))
    judged = judge(name, now, then)
    if judged.fate is Fate.CONFLICT:
        raise HookFailedError(
            f"the CRD was not upgraded, because that would take something away: {judged.message}. Nothing but CRDs was"
            " changed. If no object uses what the cluster's one has, apply the chart's folder crds yourself (kubectl"
            " apply --server-side --force-conflicts -f crds/) and run the upgrade again; else use a chart that has both"
        )
    logger.info("%s", judged.message)
    if judged.fate is not Fate.APPLY:
        return
    await _repeated(partial(kube.apply, path, manifest, manager=MANAGER))
    until = time.monotonic() + ESTABLISHED
    while not established(await _repeated(partial(kube.read, path))):
        if time.monotonic() > until:
            raise KubeError(0, f"the API server does not serve it after {ESTABLISHED:.0f} s")
        await asyncio.sleep(LOOK / 4)


async def give_back(settings: HookSettings) -> None:
    """Have every node give its functions back; list what is left after the time limit. Policies stay as they are.

    The lease keeps the controllers from asking for anything meanwhile. It is not renewed: should this process or the
    uninstallation end half-way, the lease runs out and a controller asks for everything again.

    Raises:
        HookFailedError: the API server did not let the nodes be asked.
    """
    async with Kube(settings.api, connections=PARALLEL) as kube:
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        try:
            if await _repeated(partial(_take, kube, lease, settings)):
                logger.info("the controllers were told to stand by; the last one to lead ends within seconds")
                await asyncio.sleep(RENEW_DEADLINE)
            found = await _given_back(kube, time.monotonic() + settings.timeout)
        except KubeError as error:
            await _give_up(kube, f"{lease}/{settings.lease}")
            raise HookFailedError(
                f"the nodes could not be asked to give their functions back: {error}. Nothing was uninstalled. Mend"
                " what it says and run `helm uninstall` again; or run it with --no-hooks, and give back by hand what is"
                " left (`virtfn restore --all` on each node, or a reboot)"
            ) from error
    _tell(found)


async def _given_back(kube: Kube, until: float) -> list[NodeLeft]:
    told: dict[str, NodeLeft] = {}
    refused: dict[str, str] = {}
    absence = _Absence()
    while True:
        began = time.monotonic()
        found = await _repeated(partial(_ask, kube, refused, absence))
        for one in found:
            if told.get(one.node) != one and one.left is not Left.NOTHING and one.lines != (NOT_ASKED,):
                logger.info("node %s: %s", one.node, cut_text("; ".join(one.lines), 500))
            told[one.node] = one
        if all(one.left is Left.NOTHING for one in found) or time.monotonic() >= until:
            return found
        await asyncio.sleep(max(LOOK, 4 * (time.monotonic() - began)))


async def _ask(kube: Kube, refused: dict[str, str], absence: _Absence) -> list[NodeLeft]:
    """Look at every node once, and ask those that were not asked; there may be thousands, so only a page is kept.

    Args:
        refused: why nodes could not be asked, by node, from this look and earlier ones.
        absence: of SriovNodes, from earlier looks.
    """
    found: list[NodeLeft] = []
    patches: dict[str, Mapping[str, Any]] = {}

    def take(items: list[dict[str, Any]]) -> None:
        found.extend(left_on(body) for body in items)
        patches.update({text(body["metadata"]["name"]): patch for body in items if (patch := giving_up(body))})

    await _each_node(kube, take, absence)
    await _side_by_side(partial(_asked, kube, name, patch, refused) for name, patch in patches.items())
    return [
        NodeLeft(node=one.node, left=Left.SOMETHING, lines=(refused[one.node],)) if one.node in refused else one
        for one in found
    ]


async def _asked(kube: Kube, name: str, patch: Mapping[str, Any], refused: dict[str, str]) -> None:
    """Ask one node; note it where the API server does not take what it has of it, which is no reason to stop."""
    try:
        await kube.patch(ours(NODES, name), patch)
        refused.pop(name, None)
    except KubeError as error:
        if error.absent:
            return
        final = error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
        if not final and not (error.held and name in refused):
            raise
        if final:
            refused[name] = f"it cannot be asked to give back: {error}"


async def _take(kube: Kube, leases: str, settings: HookSettings) -> bool:
    """Take the lease from whoever has it; return whether a controller had it."""
    lasts = int(settings.timeout + RENEW_DEADLINE + TRIES)
    now = micro_timestamp()
    spec = {"holderIdentity": MANAGER, "leaseDurationSeconds": lasts, "acquireTime": now, "renewTime": now}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": settings.lease}}
    found = await _read_or_none(kube, f"{leases}/{settings.lease}")
    if found is None:
        await kube.create(leases, {**body, "spec": spec})
        return False
    holder = mapping(found.get("spec")).get("holderIdentity")
    await kube.replace(f"{leases}/{settings.lease}", {**body, "metadata": found["metadata"], "spec": spec})
    return holder not in ("", None, MANAGER)


async def _give_up(kube: Kube, lease: str) -> None:
    """Leave the lease to the controllers; it also runs out by itself."""
    try:
        found = await kube.read(lease)
        if mapping(found.get("spec")).get("holderIdentity") == MANAGER:
            await kube.replace(lease, {**found, "spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
    except KubeError as error:
        logger.warning("the lease was not given up, it runs out by itself: %s", error)


async def clean_up(settings: HookSettings) -> None:
    """Wait until the nodes are clean, then delete SriovNodes and the lease; list what is left.

    Raises:
        HookFailedError: the API server did not let something be looked at or deleted.
    """
    async with Kube(settings.api, connections=PARALLEL) as kube:
        try:
            nodes = await _cleaned(kube, settings, time.monotonic() + settings.timeout)
            found = await _repeated(partial(_nodes_left, kube, _Absence()))
            gone = [one.node for one in found if one.left is Left.NOTHING]
            await _side_by_side(partial(_repeated, partial(_delete, kube, ours(NODES, name))) for name in gone)
            lease = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases/{settings.lease}"
            await _repeated(partial(_delete, kube, lease))
        except KubeError as error:
            raise HookFailedError(
                f"virtfn is uninstalled, but not all that it left was removed: {error}. Remove it yourself: `kubectl"
                f" delete svn --all` and `kubectl delete lease -n {settings.namespace} {settings.lease}`; what is left"
                " on nodes is in docs/operate.md"
            ) from error
    _tell(found)
    for pod in nodes.ends:
        logger.warning("pod %s has not ended; it may leave files on its node", pod)
    for node in nodes.waits:
        logger.warning("node %s was not cleaned; docs/operate.md names the files", node)
    if nodes.missing:
        logger.warning(
            "on %d more nodes no pod was started that cleans them; docs/operate.md names the files", nodes.missing
        )
    if any(one.left is not Left.NOTHING for one in found):
        logger.warning(
            "the SriovNodes of these nodes stay as a record, and the journal on each node. Once nothing is held,"
            " `virtfn restore --all` on the node or its reboot gives the rest back; then: kubectl delete svn --all"
        )
    logger.info(
        "policies and CRDs stay, because they are yours; to delete them, too:"
        " kubectl delete crd sriovpolicies.virtfn.dev sriovnodes.virtfn.dev"
    )


async def _cleaned(kube: Kube, settings: HookSettings, until: float) -> Cleaned:
    pods = f"/api/v1/namespaces/{settings.namespace}/pods"
    cleaners = f"/apis/apps/v1/namespaces/{settings.namespace}/daemonsets/{settings.cleaner}"
    query = {"labelSelector": f"app.kubernetes.io/name=virtfn,app.kubernetes.io/instance={settings.release}"}
    while True:
        there = await _repeated(partial(kube.list, pods, query=query))
        cleaner = await _repeated(partial(_Absence().unless_absent, partial(kube.read, cleaners)))
        found = cleaned(there, CLEANER, cleaner)
        if found.done or time.monotonic() >= until:
            return found
        await asyncio.sleep(LOOK)


async def _nodes_left(kube: Kube, absence: _Absence) -> list[NodeLeft]:
    found: list[NodeLeft] = []
    await _each_node(kube, lambda items: found.extend(map(left_on, items)), absence)
    return found


async def _each_node(kube: Kube, take: Callable[[list[dict[str, Any]]], None], absence: _Absence) -> None:
    """Pass on all SriovNodes, page by page; there are none where their CRD was deleted."""

    def page(items: list[dict[str, Any]]) -> None:
        absence.seen = absence.seen or bool(items)
        take(items)

    await absence.unless_absent(partial(kube.each_page, ours(NODES), page, size=PAGE))


async def _read_or_none(kube: Kube, path: str) -> dict[str, Any] | None:
    try:
        return await kube.read(path)
    except KubeError as error:
        if error.absent:
            return None
        raise


async def _delete(kube: Kube, path: str) -> None:
    try:
        await kube.delete(path)
    except KubeError as error:
        if not error.absent:
            raise


async def _side_by_side(asks: Iterable[Callable[[], Awaitable[object]]]) -> None:
    slots = asyncio.Semaphore(PARALLEL)

    async def one(ask: Callable[[], Awaitable[object]]) -> None:
        async with slots:
            await ask()

    await asyncio.gather(*map(one, asks))


async def _repeated(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer; a refusal by the schema or for lack of rights is one, and raised."""
    until = time.monotonic() + TRIES
    while True:
        try:
            return await ask()
        except KubeError as error:
            later = error.exists or error.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
            final = HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR and not later
            if final or time.monotonic() + error.retry_in >= until:
                raise
            if not error.held:
                logger.warning("will try again: %s", error)
            await asyncio.sleep(max(1.0, error.retry_in))


def _tell(found: Iterable[NodeLeft]) -> None:
    first, *lines = said(found)
    logger.info("%s", first)
    for line in lines[:SHOWN]:
        logger.warning("%s", line)
    if len(lines) > SHOWN:
        logger.warning("and %d more; kubectl get svn shows them", len(lines) - SHOWN)
