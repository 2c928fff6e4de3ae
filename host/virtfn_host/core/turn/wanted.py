"""The state that one PF shall have: from the claims on it so far, or from the journal where it is given back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from virtfn_host.core.checks.aliases import VFIO_PCI
from virtfn_host.core.checks.whole import given_back_own, whole_pf, with_terms
from virtfn_host.core.turn.claims import UNNOTED
from virtfn_host.core.turn.policy import indexes_text
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredPf, DesiredVf, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.extras import NOTHING, Extras
from virtfn_host.core.values.link import wanted_link
from virtfn_host.core.values.model import Function, Original, Pf, Vf, of_index, vfs_of


@dataclass(slots=True)
class PfClaims:
    """The claims on one PF so far, by the policies in order of precedence."""

    count: int | None = None
    count_policy: str = ""
    policies: list[str] = field(default_factory=list)
    vfs: dict[int, tuple[str, PoolRequest]] = field(default_factory=dict)
    whole: WholeRequest | None = None
    mtus: dict[str, int] = field(default_factory=dict)
    """The MTU that a policy asks for, by its name."""
    unsafe: set[str] = field(default_factory=set)
    """Those of the policies that accept vfio without an IOMMU."""

    def note_unsafe(self, policy: PolicyConfig) -> None:
        """Remember whether a policy accepts vfio without an IOMMU."""
        if policy.allow_unsafe_no_iommu:
            self.unsafe.add(policy.name)


def desired_pf(
    pf: Function, claims: PfClaims, refused: list[str], original: Original | None, why_ended: str | None
) -> DesiredPf:
    """Return the desired state of one PF. A refused edit changes nothing: only a PF without policy is given back.

    Args:
        refused: policies that are refused on the PF and may have had it before.
        why_ended: why claims on it ended; None: none did.
    """
    ended = why_ended is not None and (None if refused else True)
    made = _desired_pf(pf, claims, refused, original)
    return _with_cause(replace(made, ended=ended), pf, why_ended)


def _desired_pf(pf: Function, claims: PfClaims, refused: list[str], original: Original | None) -> DesiredPf:
    if claims.whole is not None:
        made = whole_pf(pf, claims.whole.driver, claims.whole.resource_name, claims.policies[0])
        return with_terms(made, unsafe_no_iommu=bool(claims.unsafe), require_link=claims.whole.require_link)
    if claims.policies and isinstance(pf, Pf):
        return _claimed_pf(pf, claims, original)
    if refused or original is None:
        return left_alone(pf.address, refused)
    return _given_back_pf(pf, original)


def left_alone(pf: PciAddress, policies: Sequence[str]) -> DesiredPf:
    """Return the desired state of a PF that stays as it is.

    Args:
        policies: those that have it and are refused on it, or have it while it cannot be read.
    """
    return DesiredPf(address=pf, num_vfs=None, autoprobe=None, vfs=(), policies=tuple(policies), refused=True)


def _with_cause(wanted: DesiredPf, pf: Function, ended: str | None) -> DesiredPf:
    """Return the desired state of a PF with the cause for which all or some of it is given back."""
    if wanted.given_back:
        return replace(wanted, cause=ended or UNNOTED)
    if any(vf.policy is None for vf in wanted.vfs) or (wanted.own is not None and wanted.own.policy is None):
        return replace(wanted, cause=ended or _edited(wanted, pf))
    return wanted


def _edited(wanted: DesiredPf, pf: Function) -> str | None:
    """Return why something is given back though every policy goes on: it names other indexes, or VFs and no whole
    function, or another policy's `count` came to stand."""
    own = wanted.own is not None and wanted.own.policy is None and wanted.own.driver != pf.driver
    indexes = [vf.index for vf in wanted.vfs if vf.policy is None]
    what = [*(["the whole function"] if own else []), *([f"VF {indexes_text(indexes)}"] if indexes else [])]
    who = f"policy {wanted.policies[0]} does not ask" if len(wanted.policies) == 1 else "no policy asks"
    return f"{who} for {' or '.join(what)} any more" if what else None


def with_extras(wanted: DesiredPf, extras: Mapping[str, Extras]) -> DesiredPf:
    """Return the desired state of a PF whose functions need what their containers get."""
    vfs = tuple(replace(vf, extras=extras.get(vf.resource_name or "", NOTHING)) for vf in wanted.vfs)
    own = wanted.own and replace(wanted.own, extras=extras.get(wanted.own.resource_name or "", NOTHING))
    return replace(wanted, vfs=vfs, own=own)


def _claimed_pf(pf: Pf, claims: PfClaims, original: Original | None) -> DesiredPf:
    ours = [
        replace(
            _claimed_vf(pf, index, policy, pool, original),
            unsafe_no_iommu=policy in claims.unsafe,
            mtu=claims.mtus.get(policy),
        )
        for index, (policy, pool) in claims.vfs.items()
    ]
    kept = pf.num_vfs if claims.count is None else claims.count
    stale = [
        given_back_vf(vf.index, original)
        for vf in pf.vfs
        if original and vf.index < kept and vf.index not in claims.vfs and _touched(vf, original, claims)
    ]
    return DesiredPf(
        address=pf.address,
        num_vfs=claims.count,
        # Off, so that a VF goes to its driver directly: probing each VF first costs half the time (measured by hand).
        autoprobe=None if claims.count is None else False,
        vfs=tuple(sorted(ours + stale, key=lambda vf: vf.index)),
        policies=tuple(claims.policies),
        own=given_back_own(original) if original else None,  # the PF was handed out whole before
        mtu=max(claims.mtus.values(), default=None),
    )


def _claimed_vf(pf: Pf, index: int, policy: str, pool: PoolRequest, original: Original | None) -> DesiredVf:
    before = of_index(original.vfs, index) if original else None
    override = None if pool.driver == KERNEL_DRIVER else pool.driver
    return DesiredVf(
        index=index,
        driver=pool.driver,
        driver_override=override,
        resource_name=pool.resource_name,
        policy=policy,
        link=None if pool.link is None else wanted_link(pool.link, pf, index, None if before is None else before.link),
        require_link=pool.require_link,
    )


def _touched(vf: Vf, original: Original, claims: PfClaims) -> bool:
    """Return whether a VF that no policy claims any more is on a vfio driver because of virtfn."""
    if not vf.vfio_bound or vf.driver_override is None:
        return False
    before = of_index(original.vfs, vf.index)
    return claims.count is not None or (before is not None and before.driver != vf.driver)


def given_back_vf(index: int, original: Original) -> DesiredVf:
    """Return the original state of a VF. A VF that did not exist then gets no driver; if another program made it, it
    gets the one that the kernel would have given it."""
    before = of_index(original.vfs, index)
    later = KERNEL_DRIVER if original.number_untouched and original.autoprobe else None
    return DesiredVf(
        index=index,
        driver=before.driver if before else later,
        driver_override=before.driver_override if before else None,
        resource_name=None,
        policy=None,
        link=original.link_back(before) if before else None,
        mtu=before.mtu if before else None,
    )


def _given_back_pf(pf: Function, original: Original) -> DesiredPf:
    indexes = [vf.index for vf in original.vfs]
    if original.number_untouched:
        indexes = [vf.index for vf in vfs_of(pf) if vf.index in indexes or _is_ours(vf, pf, original)]
    return DesiredPf(
        address=original.address,
        num_vfs=None if original.number_untouched else original.num_vfs,
        autoprobe=original.autoprobe,
        vfs=tuple(given_back_vf(index, original) for index in indexes),
        policies=(),
        own=given_back_own(original),
        mtu=original.mtu,
    )


def _is_ours(vf: Vf, pf: Function, original: Original) -> bool:
    """Whether something of a VF that came later is to be undone. Without an override it is on the driver that the
    kernel picks; or on none, although its siblings have one: an earlier try to give it back ended there."""
    if vf.driver_override is not None or vf.driver is not None or not original.autoprobe:
        return vf.driver_override is not None
    siblings = {one.driver for one in vfs_of(pf) if not one.vfio_bound} | {one.driver for one in original.vfs}
    return bool(siblings - {None, VFIO_PCI})
