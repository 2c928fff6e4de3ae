"""The file of the last verified config: read as every document, written only when it changes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.envelope import checksum_of, dumps
from virtfn_host.core.values.kept import EMPTY, KeptCard, KeptConfig, check_kept
from virtfn_host.core.values.offered import Ledger
from virtfn_host.linux.act.kept import keep, read_kept
from virtfn_host.linux.errors import DocumentError

POOL = PoolRequest(resource_name="virtfn.dev/fast", indexes=(0, 1, 5), driver="vfio-pci")
POLICY = PolicyConfig(
    name="fast", uid="u1", generation=1, devices=(DeviceMatcher(vendor="8086"),), count=6, pools=(POOL,)
)
CARD = KeptCard(address=PciAddress(0, 1, 0, 0), vendor="8086", device="10c9")
KEPT = KeptConfig(config=NodeConfig(policies=(POLICY,)), cards=(CARD,))


def sealed(document: dict[str, Any]) -> str:
    return json.dumps({**document, "checksum": checksum_of(document)})


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dumps(KEPT))
    del found["checksum"]
    return found


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert read_kept(path) is None
    assert keep(path, KEPT) is None
    assert read_kept(path) == KEPT
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    keep(path, KEPT)
    (tmp_path / "first").hardlink_to(path)
    keep(path, KEPT)
    keep(path, replace(KEPT, cards=()))  # a look that saw less
    assert path.samefile(tmp_path / "first")


def test_no_policy_any_more_is_kept_too(tmp_path: Path) -> None:
    keep(tmp_path / "config.json", KEPT)
    keep(tmp_path / "config.json", EMPTY)
    assert read_kept(tmp_path / "config.json") == EMPTY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (dumps(KEPT)[:200], "cut off"),
        (dumps(KEPT).replace('"count":6', '"count":7'), "checksum"),
        (dumps(Ledger(boot_id="b", allocations=())), "kind 'Ledger', wanted KeptConfig"),
        ("\x7fELF\x02\x01", "not a virtfn document"),
        (sealed({**document(), "version": 0}), "version 0 is not valid"),
        (sealed({**document(), "needs": ["cards.serial"]}), "'cards.serial', which only a newer version"),
        (sealed({**document(), "value": {"config": {"policies": []}}}), "missing field cards"),
    ],
)
def test_a_bad_file_says_what_is_wrong_and_is_written_anew(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=why.replace("(", "\\(")):
        read_kept(path)
    trouble = keep(path, KEPT)
    assert trouble is not None
    assert why in str(trouble)
    assert read_kept(path) == KEPT


@pytest.mark.parametrize("kind", ["folder", "link", "writable"])
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.write_text(dumps(KEPT))
        path.chmod(0o666)
    with pytest.raises(DocumentError):
        read_kept(path)


def test_a_newer_file_that_needs_nothing_new_is_read(tmp_path: Path) -> None:
    newer = document()
    newer["version"] = 3
    newer["since"] = "more in the envelope"
    newer["value"]["config"]["policies"][0]["more"] = True
    newer["value"]["cards"][0]["serial"] = "x"
    path = tmp_path / "config.json"
    path.write_text(sealed(newer))
    assert read_kept(path) == KEPT


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (replace(POLICY, count=-1), "count: -1"),
        (replace(POLICY, count=70000), "count: 70000"),
        (replace(POLICY, generation=-1), "generation: -1"),
        (replace(POLICY, generation=2**64), "generation: 18446744073709551616"),
        (replace(POLICY, devices=(DeviceMatcher(numa_node=2**64),)), "numaNode: 18446744073709551616"),
        (replace(POLICY, pools=(replace(POOL, driver="../../etc"),)), "driver"),
        (replace(POLICY, devices=(DeviceMatcher(),)), "every device"),
        (replace(POLICY, devices=(DeviceMatcher(netdev="a/b"),)), "not a file name"),
        (replace(POLICY, devices=(DeviceMatcher(vendor="8086"),) * 65), "65 devices"),
        (replace(POLICY, uid="u" * 600), "600 characters"),
    ],
)
def test_values_out_of_bounds_are_refused_and_the_policy_is_named(bad: PolicyConfig, why: str) -> None:
    with pytest.raises(ValueError, match=f"policy 'fast': .*{why}"):
        check_kept(replace(KEPT, config=NodeConfig(policies=(bad,))))


def test_a_card_is_there_once() -> None:
    with pytest.raises(ValueError, match=r"0000:01:00\.0 appears 2 times"):
        check_kept(replace(KEPT, cards=(CARD, CARD)))
