"""The node as the loop sees it: look at it, carry out a plan, publish what pods are offered.

A plan that displaces functions is carried out in two beats (see `virtfn_operator.agent`): withdraw the functions from
new pods, wait until the kubelet stops offering them, look again, and apply only what the second look still allows.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from virtfn_host.core.turn.kept import verified
from virtfn_host.core.turn.policy import names_macs, netdevs_named
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.turn.tries import judged
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, NodeConfig
from virtfn_host.core.values.holders import Cause, Pod
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.names import LABEL
from virtfn_host.core.values.offered import Allocation, Ledger, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report, StepResult
from virtfn_host.core.values.resource_names import Domains
from virtfn_host.core.values.steps import MOST_CLAIMS, Blocked, Plan, describe, pf_of
from virtfn_host.linux.clock import since_boot
from virtfn_host.metrics import Durations
from virtfn_host.process.client import HostRefused, HostUnreachable
from virtfn_host.process.protocol import Look
from virtfn_operator.agent.damping import Damping
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.in_use import covered, in_use, settled
from virtfn_operator.agent.leaving import evicting
from virtfn_operator.agent.not_offered import Offers
from virtfn_operator.agent.offering import Offering
from virtfn_operator.agent.ports import (
    Files,
    HostProcess,
    Kubelet,
    KubeletUnreachableError,
    LedgerUnreadableError,
    OwnNode,
    Patience,
)
from virtfn_operator.agent.recall import recalled, unsure
from virtfn_operator.agent.users import Users, notes_on
from virtfn_operator.api.node_spec import offered_here

logger = logging.getLogger(__name__)


class NodeMachine:
    """Host process, kubelet and pool file of one node."""

    def __init__(
        self,
        *,
        host: HostProcess,
        kubelet: Kubelet,
        files: Files,
        patience: Patience,
        now: Callable[[], float] = since_boot,
        wall: Callable[[], float] = time.time,
        domains: Domains = frozenset(),
    ) -> None:
        self._host = host
        self._kubelet = kubelet
        self._files = files
        self._patience = patience
        self._now = now
        self._wall = wall
        self._domains = domains
        self._damping = Damping()
        self._users = Users()
        self._offering = Offering(kubelet=kubelet, files=files, patience=patience, now=now, wall=wall)
        self._published: PoolSet | None = None
        self._recalled = False
        """Whether that is what the status said, not the pool file."""
        self._settled: frozenset[Allocation] = frozenset()
        self._had_ledger = False
        """Whether there was a ledger of this boot. One that could not be read may have been none: its folder, say."""
        self._unread: tuple[str, ...] = ()
        self._kept: KeptConfig | None = None
        """What the host process was last asked to keep for the next boot."""
        self._unkept = ""
        """Why it could not be kept, as logged."""
        self.last_step = 0.0
        """Loop time when a step last ended: a plan of many PFs may take an hour, and the process is well meanwhile."""
        self.carried = 0
        """Number of steps that ended since the start of the process."""
        self.steps: Counter[tuple[str, ...]] = Counter()
        """The same by kind and outcome."""
        self.applies = Durations()
        """How long the steps of each plan took."""

    async def look(self, config: NodeConfig | None) -> Found:
        """Look at the machine and decide; without a config nothing is desired and nothing is planned.

        Raises:
            HostUnreachable: the host process does not answer.
        """
        links = config is not None and any(pool.link is not None for p in config.policies for pool in p.pools)
        # An edit that waits may drop them: what is on offer must still have them.
        links = links or any(device.link is not None for pool in self.published.pools for device in pool.devices)
        named = () if config is None else netdevs_named(config.policies)
        macs = config is not None and names_macs(config.policies)
        asked = self._users.to_ask(self._now())
        observation = await self._host.observe(Look(links=links, netdevs=tuple(named), macs=macs, users_of=asked))
        left = await self._left()  # before the pods are read: what it shows could not be given to a pod after that
        pods = await self._pods(observation.inventory.boot_id)
        found = await asyncio.to_thread(_decide, config, observation, pods, self._now())
        taken = self._users.look(found.in_use, asked, self._now())
        notes = notes_on(taken, found.in_use, found.resolution.desired, found.inventory)
        found = replace(found, left=left, taken=taken, notes=found.notes + notes)
        return self._damping.judge(found, now=self._now(), wall=self._wall())

    @property
    def asks(self) -> bool:
        """Whether the next look tells more: who has open what no pod is known to have."""
        return bool(self._users.to_ask(self._now()))

    async def _left(self) -> frozenset[PciAddress]:
        """Return what was published as unhealthy and is not offered any more; nothing while the kubelet is silent."""
        unhealthy = [(p.resource_name, d.address) for p in self.published.pools for d in p.devices if not d.healthy]
        if not unhealthy:
            return frozenset()
        try:
            offered = (await self._kubelet.offered()).devices
        except KubeletUnreachableError:
            return frozenset()
        return frozenset(address for name, address in unhealthy if str(address) not in offered.get(name, ()))

    async def _pods(self, boot_id: str) -> "_Pods":
        """Ask the kubelet first, then read the ledger: so a pod that has left the ledger is in the kubelet's list."""
        asked_at = self._now()
        listed, ledger, kubelet_error, ledger_error = None, None, None, None
        try:
            listed = await self._kubelet.allocated()
        except KubeletUnreachableError as error:
            kubelet_error = str(error)
        try:
            ledger = await self._files.ledger()
        except LedgerUnreadableError as error:
            ledger_error = str(error)
        ours = ledger is not None and ledger.boot_id == boot_id
        if self._had_ledger and not ours:
            ledger_error = ledger_error or GONE_LEDGER
        self._had_ledger |= ours
        if listed is not None and ledger is not None:
            self._settled = settled(ledger, listed, asked_at, self._settled)
            ledger = replace(ledger, allocations=tuple(e for e in ledger.allocations if e not in self._settled))
        return _Pods(
            listed=listed, asked_at=asked_at, kubelet_error=kubelet_error, ledger=ledger, ledger_error=ledger_error
        )

    async def remember(self, status: Mapping[str, Any], found: Found) -> None:
        """Read once what was published before this process, from the pool file, else from the node's status; and how
        that stood with the kubelet."""
        self._offering.remember(status, found.inventory.boot_id)
        if self._published is None:
            self._published = await self._files.published()
            self._recalled = self._published is None
            self._published = self._published or self._recall(status, found)

    def _recall(self, status: Mapping[str, Any], found: Found) -> PoolSet | None:
        recall = recalled(status, found.inventory)
        for line in recall.unread if recall.unread != self._unread else ():
            logger.warning("a part of the node's own status cannot be read and is ignored: %.300s", line)
        self._unread = recall.unread
        return recall.pools

    @property
    def published(self) -> PoolSet:
        """The pools that pods are offered now."""
        return self._published or PoolSet(boot_id="", pools=())

    @property
    def withdrawn(self) -> frozenset[PciAddress]:
        """What is published as withdrawn for a change, of the machine or of its pool."""
        devices = (device for pool in self.published.pools for device in pool.devices)
        return frozenset(device.address for device in devices if device.reason is Reason.RECONFIGURING)

    async def publish(self, found: Found, withdrawn: Set[PciAddress] = frozenset()) -> None:
        """Offer what `found` allows, the withdrawn functions as unhealthy; write the pool file only if it changed."""
        desired, previous = found.resolution.desired, self.published
        offered = await asyncio.to_thread(
            pools,
            desired=desired,
            inventory=found.inventory,
            in_use=found.in_use,
            plan=found.plan,
            previous=unsure(previous, found.config, desired, found.inventory) if self._recalled else previous,
            withdrawn=withdrawn,
            left=found.left,
            taken=found.taken,
        )
        offered = _allowed(offered, self._domains)
        # Read the file each time: if it was removed or damaged, new pods must not wait for the next change.
        if offered != self._published or offered != await self._files.published():
            await self._files.publish(offered)
            self._published, self._recalled = offered, False

    async def keep(self, found: Found) -> None:
        """Have kept for the next boot what this look shows as carried out. A failure is logged once, and tried again
        after the next look: pods that run now do not need it."""
        kept = verified(found.config, found.resolution.desired, found.mismatches, found.inventory)
        if found.halted or kept == self._kept:
            return
        try:
            await self._host.keep(kept)
        except (HostRefused, HostUnreachable) as error:
            if str(error) != self._unkept:
                logger.warning("the config is not kept for the next boot: %s", error)
            self._unkept = str(error)
            return
        self._kept, self._unkept = kept, ""

    async def compare(self, node: OwnNode) -> None:
        """Compare what was published with what the kubelet offers, and with what the own Node shows."""
        await self._offering.look(self.published, node)

    @property
    def offers(self) -> Offers:
        """How the published pools stood with the kubelet when they were last compared."""
        return self._offering.last

    async def carry_out(self, found: Found, *, may_change: bool) -> Done:
        """Apply what may be applied now; PFs of which nothing is displaced need neither a turn nor withdrawal."""
        if found.halted:
            return Done()
        calm = found.plan.calm
        reports = (await self._apply(calm, found),) if calm.steps else ()
        touched = frozenset(found.plan.displaces) | found.leaving.functions
        if touched and may_change and (obstacle := await self._offering.elsewhere(self.published, touched)) is not None:
            return Done(reports=reports, obstacle=obstacle, stale=bool(reports))
        if not (found.plan.displaces and may_change):
            withdrawn = await self._withdraw(found) if may_change else frozenset()
            return Done(reports=reports, stale=bool(reports), withdrawn=withdrawn)
        if found.lock_error is not None:
            obstacle = _obstacle(min(found.plan.displaces), Reason.UNREADABLE, f"not touched: {found.lock_error}")
            return Done(reports=reports, obstacle=obstacle, stale=bool(reports))
        changed = await self._change(found)
        return replace(changed, reports=reports + changed.reports, stale=True)

    async def _withdraw(self, found: Found) -> frozenset[PciAddress]:
        """Withdraw what pods are to be evicted from; return it when the kubelet has stopped to offer it."""
        functions = found.leaving.functions
        if not functions:
            return functions
        await self.publish(found, functions)
        return functions if await self._without(set(map(str, functions))) else frozenset()

    def stays_withdrawn(self, found: Found, *, may_change: bool) -> frozenset[PciAddress]:
        """Return what stays withdrawn after a round: in its turn, what pods are to be evicted from. While it cannot be
        known who holds it, that is what was withdrawn before."""
        if not may_change or not evicting(found.config):
            return frozenset()
        if found.silence is None:
            return found.leaving.functions
        return self.withdrawn

    async def _change(self, found: Found) -> Done:
        withdrawn = frozenset(found.plan.displaces) | found.leaving.functions
        await self.publish(found, withdrawn)
        if not await self._offered_no_more(withdrawn):
            text = f"the kubelet still offers it after {self._patience.withdraw:.0f} s; is the device plugin running?"
            return Done(obstacle=_obstacle(min(withdrawn), Reason.VFS_IN_USE, text))
        again = await self.look(found.config)
        if more := set(again.plan.displaces) - withdrawn:
            text = "would be disturbed too, but was not withdrawn from pods; the machine moved meanwhile"
            return Done(obstacle=_obstacle(min(more), Reason.STALE_SNAPSHOT, text))
        if again.halted or not again.plan.steps:
            return Done(withdrawn=withdrawn)
        return Done(reports=(await self._apply(again.plan, again),), withdrawn=withdrawn)

    async def _offered_no_more(self, withdrawn: Set[PciAddress]) -> bool:
        names = {str(address) for address in withdrawn}
        try:
            async with asyncio.timeout(self._patience.withdraw):
                while not await self._without(names):
                    await asyncio.sleep(self._patience.poll)
        except TimeoutError:
            return False
        return True

    async def _without(self, names: Set[str]) -> bool:
        try:
            return not names & await self._kubelet.allocatable()
        except KubeletUnreachableError as error:
            logger.warning("%s", error)
            return False

    async def _apply(self, steps: Plan, found: Found) -> Report:
        asking = {pf.address: _short(pf.policies) for pf in found.resolution.desired.pfs}
        steps = replace(steps, pfs=tuple(replace(part, policies=asking.get(part.pf, ())) for part in steps.pfs))
        for part in steps.pfs:
            if part.cause is not None and part.steps:
                logger.info("%s is given back, all or in part: %s", part.pf, part.cause, extra={"pf": str(part.pf)})
        report = await self._host.apply(steps, lambda result: self._note(result, asking))
        self._damping.repaired(report, now=self._now())
        self.applies.took(sum(result.seconds for result in report.results))
        logger.info("%d steps: %d done", len(report.results), sum(r.outcome is Outcome.DONE for r in report.results))
        return report

    def _note(self, result: StepResult, asking: Mapping[PciAddress, tuple[str, ...]]) -> None:
        self.last_step = asyncio.get_running_loop().time()
        self.carried += 1
        self.steps[type(result.step).__name__, str(result.outcome)] += 1
        _log(result, ",".join(asking.get(pf_of(result.step), ())))


LOST_LEDGER = (
    "the device plugin found its ledger unreadable or missing; everything counts as in use until the kubelet has "
    "listed its pods after that"
)
GONE_LEDGER = (
    "the device plugin's ledger of this boot is gone: another program removed it; the device plugin writes it anew, so "
    "check the plugin if this stays"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pods:
    """What the kubelet and the device plugin's ledger tell of pods, or why they cannot be read."""

    listed: Mapping[str, tuple[Pod, ...]] | None
    asked_at: float
    """When the kubelet was asked, in seconds since boot."""
    kubelet_error: str | None
    ledger: Ledger | None
    ledger_error: str | None


def _decide(config: NodeConfig | None, observation: Observation, pods: _Pods, now: float) -> Found:
    """Derive everything from one look. Runs in a thread: a node with 2,048 VFs must not hold up the event loop."""
    inventory = observation.inventory
    if pods.ledger_error is None and not covered(pods.ledger, inventory.boot_id, pods.asked_at):
        pods = replace(pods, ledger_error=LOST_LEDGER)
    holders = in_use(
        inventory=inventory,
        evidence=observation.evidence,
        pods=pods.listed if pods.ledger_error is None else None,
        ledger=pods.ledger,
        now=now,
        also=observation.stuck.held if observation.stuck else (),
        unknown=Cause.KUBELET_SILENT if pods.kubelet_error is not None else Cause.LEDGER_UNREADABLE,
    )
    if config is None:
        resolution = Resolution(desired=Desired(pfs=()), rejected=())
    else:
        resolution = resolve(config, inventory, observation.originals, observation.claims)
    config = config or NodeConfig(policies=())
    tried = judged(config, observation, resolution.desired, holders, now)
    return Found(
        config=config,
        observation=observation,
        in_use=holders,
        kubelet_error=pods.kubelet_error,
        ledger_error=pods.ledger_error,
        resolution=Resolution(desired=tried.desired, rejected=resolution.rejected + tried.rejected),
        plan=tried.plan,
        mismatches=verify(tried.desired, inventory),
        notes=tried.notes,
        repair_in=tried.due_in,
    )


def _allowed(offered: PoolSet, domains: Domains) -> PoolSet:
    """The pools whose resource names this installation allows; the status names the others and says why."""
    return replace(offered, pools=tuple(pool for pool in offered.pools if offered_here(pool.resource_name, domains)))


def _obstacle(device: PciAddress, reason: Reason, text: str) -> Blocked:
    return Blocked(device=device, reason=reason, message=f"{device}: {text}", holders=())


def _short(policies: Sequence[str]) -> tuple[str, ...]:
    """Return names that the host process takes: what is only for its log must not have a plan refused."""
    return tuple(name[:LABEL] for name in policies[:MOST_CLAIMS])


def _log(result: StepResult, policy: str) -> None:
    level = {Outcome.DONE: logging.INFO, Outcome.FAILED: logging.WARNING, Outcome.NOT_TRIED: logging.DEBUG}
    fields = {"policy": policy, "pf": str(pf_of(result.step)), "step": type(result.step).__name__}
    fields["outcome"] = str(result.outcome)
    text = f"{describe(result.step)}: {result.outcome}" + (
        f": {result.message}" if result.outcome is not Outcome.DONE else ""
    )
    logger.log(level[result.outcome], "%s", text, extra=fields)
