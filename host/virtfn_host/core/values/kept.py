"""The last verified config (KeptConfig), which the host process keeps for the next boot, and the bounds of its values.

Frozen values only. `core/turn/kept.py` says what counts as verified and what a boot makes of it;
`linux/act/kept.py` reads and writes the file.
"""

from collections import Counter
from collections.abc import Sized
from dataclasses import dataclass, field

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.identity import UNKNOWN, Identity
from virtfn_host.core.values.indexes import MAX_VFS
from virtfn_host.core.values.model import Card, Function
from virtfn_host.core.values.names import driver_name, shown_name
from virtfn_host.core.values.strict_json import clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCard:
    """A PF whose VFs were verified."""

    address: PciAddress
    vendor: str
    device: str
    identity: Identity = field(default=UNKNOWN, metadata=SPARSE)

    def is_card(self, function: Function) -> bool:
        """Whether this function may be that card: nothing that both are known by differs."""
        kept = Card(address=self.address, vendor=self.vendor, device=self.device, identity=self.identity)
        return kept.is_same(function.card)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptConfig:
    """All policies of the node, and the PFs on which they were carried out and verified."""

    config: NodeConfig
    cards: tuple[KeptCard, ...]
    """By address. A boot makes VFs of these PFs and of no others."""


EMPTY = KeptConfig(config=NodeConfig(policies=()), cards=())
"""Nothing to make again."""


# --- checks of a file's values ---------------------------------------------------------------------------------------

MOST_POLICIES = 1024
"""Policies of one node; the SriovNode's schema has the same bound."""
MOST_CARDS = 4096
MOST_ITEMS = 64
"""Matchers and pools of one policy; the schema has the same bound."""
MOST_GENERATION = 2**63 - 1
MOST_NUMA_NODE = 65535
MOST_TEXT = 512
"""Characters of a name, uid or resource name."""


def check_kept(kept: KeptConfig) -> KeptConfig:
    """Return a kept config whose values are within bounds: it comes from a socket or from a file.

    Raises:
        ValueError: a name is not valid, a number is out of range, a list is too long, or a card appears twice.
    """
    _at_most(kept.config.policies, MOST_POLICIES, "policies")
    _at_most(kept.cards, MOST_CARDS, "cards")
    for address, number in Counter(card.address for card in kept.cards).items():
        if number > 1:
            raise ValueError(f"card {address} appears {number} times")
    for policy in kept.config.policies:
        try:
            _check_policy(policy)
        except ValueError as error:
            raise ValueError(f"policy {clipped(policy.name)}: {error}") from error
    return kept


def _check_policy(policy: PolicyConfig) -> None:
    _at_most(policy.devices, MOST_ITEMS, "devices")
    _at_most(policy.pools, MOST_ITEMS, "pools")
    asks: list[PoolRequest | WholeRequest] = [*policy.pools, *([policy.whole] if policy.whole else [])]
    for text in (policy.name, policy.uid, *(ask.resource_name for ask in asks)):
        if len(text) > MOST_TEXT:
            raise ValueError(f"a name of {len(text)} characters, want at most {MOST_TEXT}")
    for ask in asks:
        driver_name(ask.driver)
    _within(policy.generation, MOST_GENERATION, "generation")
    _within(policy.count, MAX_VFS, "count")
    for matcher in policy.devices:
        _check_matcher(matcher)


def _check_matcher(matcher: DeviceMatcher) -> None:
    if matcher == DeviceMatcher():
        raise ValueError("an empty matcher would match every device")
    _within(matcher.numa_node, MOST_NUMA_NODE, "numaNode")
    if matcher.netdev is not None:
        shown_name(matcher.netdev)


def _within(number: int | None, most: int, what: str) -> None:
    if number is not None and not 0 <= number <= most:
        raise ValueError(f"{what}: {number} is out of range (0 to {most})")


def _at_most(items: Sized, most: int, what: str) -> None:
    if (number := len(items)) > most:
        raise ValueError(f"{number} {what}, at most {most}")
