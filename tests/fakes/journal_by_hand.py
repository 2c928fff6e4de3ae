"""A journal with every field, and how docs/runbook.md says that a person mends one by hand."""

import json
import re
from pathlib import Path
from typing import Any

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.identity import Claim, Identity, Seen
from virtfn_host.core.values.model import Original, OriginalOwn, OriginalVf, VfLink
from virtfn_host.linux import documents
from virtfn_host.linux.act.journal import _Entries

RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
IDENTITY = Identity(subsystem="8086:a03c", serial="52-54-00-ff-ff-00-00-01", mac="52:54:00:00:00:01", slot="3-1")
GUID = "02:00:00:00:00:00:00:01"
PF = PciAddress(0, 1, 0, 0)
WHOLE = _Entries(
    originals=(
        Original(
            address=PF,
            vendor="8086",
            device="10c9",
            num_vfs=1,
            autoprobe=True,
            vfs=(
                OriginalVf(
                    index=0,
                    driver="igbvf",
                    driver_override=None,
                    link=VfLink(mac="02:00:00:00:00:01", node_guid=GUID, port_guid=GUID, vlan=5),
                    link_before=VfLink(mac="02:00:00:00:00:01", node_guid=GUID, port_guid=GUID, vlan=5),
                    mtu=1500,
                ),
            ),
            own=OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",)),
            identity=IDENTITY,
            boot_id="0b7e1234-aaaa-bbbb-cccc-001122334455",
            mtu=1500,
            number_untouched=True,
        ),
    ),
    claims=(
        Claim(
            policy="fast",
            uid="u-fast",
            generation=3,
            seen=Seen(
                address=PF,
                vendor="8086",
                device="10c9",
                class_code="020000",
                driver="igb",
                netdevs=("eth0",),
                numa_node=0,
                identity=IDENTITY,
            ),
        ),
    ),
)


def write_whole(path: Path) -> None:
    """Write the journal with every field, as the host process does."""
    documents.write(path, WHOLE, 0o600)


def mend(path: Path, *, earlier: bool = False) -> None:
    """Take away what the runbook names, and write the version that it names.

    Args:
        earlier: also what it names for an earlier version.
    """
    names, version = _recipe("To correct it by hand, remove")
    if earlier:
        names |= _recipe("For use with an earlier version, also remove")[0]
    document = _without(json.loads(path.read_text()), names)
    path.write_text(json.dumps({**document, "version": version}))


def _recipe(begins: str) -> tuple[set[str], int]:
    """Return the keys that a sentence of the runbook names, and the version."""
    sentence = " ".join(RUNBOOK.read_text().split()).partition(begins)[2].partition(". ")[0]
    version = re.search(r'`"version":(\d)`', sentence)
    return set(re.findall(r"`(\w+)`", sentence)), int(version[1]) if version else 0


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value
