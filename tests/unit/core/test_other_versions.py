"""A document of another version: what is known is read, the rest is left, and what it needs is known or refused."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from documents import extended, of_version_1, sealed
from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import CodecError, decode, encode
from virtfn_host.core.values.envelope import NEEDED, dumps, field_paths, loads
from virtfn_host.core.values.model import Original, OriginalOwn, OriginalVf, VfLink
from virtfn_host.core.values.offered import Allocation, DevicePool, Ledger, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import CALM, Reason, known_reason

VF = PciAddress.parse("0000:01:10.0")
DEVICE = PoolDevice(address=VF, driver="vfio-pci", numa_node=0, healthy=False, reason=Reason.RECONFIGURING)
POOLS = PoolSet(boot_id="b", pools=(DevicePool(resource_name="virtfn.dev/fast", devices=(DEVICE,)),))
LEDGER = Ledger(boot_id="b", allocations=(Allocation(address=VF, resource_name="virtfn.dev/fast", at=1.5),))
ORIGINAL = Original(
    address=PciAddress.parse("0000:01:00.0"),
    vendor="8086",
    device="10c9",
    num_vfs=1,
    autoprobe=True,
    vfs=(OriginalVf(index=0, driver="igbvf", driver_override=None, link=VfLink(vlan=5, mac="02:00:00:00:00:01")),),
    own=OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",)),
)


@given(st.sampled_from([POOLS, LEDGER, ORIGINAL]), st.data())
def test_fields_that_nobody_knows_never_change_what_is_read_of_the_others(value: Any, data: st.DataObject) -> None:
    known = {name for path in field_paths(type(value)) for name in path.split(".")}
    told = data.draw(extended(encode(value), known))
    beside = data.draw(extended({}, {"version", "kind", "value", "checksum", "needs"}))
    version = data.draw(st.integers(2, 1 << 63))
    assert loads(type(value), sealed(value, told, **beside, version=version)) == value


def test_a_message_is_read_strictly() -> None:
    with pytest.raises(CodecError, match="unknown field more"):
        decode(PoolSet, {**encode(POOLS), "more": 1}, "PoolSet")
    told = json.loads(json.dumps(encode(POOLS)).replace("Reconfiguring", "Sold"))
    with pytest.raises(CodecError, match="'Sold' is not a valid Reason"):
        decode(PoolSet, told, "PoolSet")


def test_without_a_checksum_a_field_too_many_is_damage() -> None:
    with pytest.raises(CodecError, match="unknown field bootid"):
        loads(PoolSet, of_version_1(POOLS).replace('"bootId"', '"bootid":"b","bootId"'))


@pytest.mark.parametrize(
    ("old", "new"),
    [("kept", "kepp"), ('"more"', '"mode"'), ('"beside"', '"needs"'), ('["x"]', '["y"]'), (', "beside": ["x"]', "")],
)
def test_the_checksum_is_over_what_is_not_known_too(old: str, new: str) -> None:
    text = sealed(POOLS, {**encode(POOLS), "more": "kept"}, beside=["x"])
    assert loads(PoolSet, text) == POOLS
    assert text.count(old) == 1
    with pytest.raises(CodecError, match="its checksum does not match"):
        loads(PoolSet, text.replace(old, new))


@given(st.text())
def test_a_reason_that_is_not_known_is_a_problem(word: str) -> None:
    told = json.loads(json.dumps(encode(POOLS)).replace('"Reconfiguring"', json.dumps(word)))
    reason = loads(PoolSet, sealed(POOLS, told)).pools[0].devices[0].reason
    assert reason is known_reason(word)
    assert reason == word or (reason is not None and reason not in CALM)


# --- what must be known --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Part of a document as the next version may have it."""

    name: str
    link: VfLink | None = None
    shared_by: int = field(default=1, metadata=NEEDED)
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A document as the next version may have it."""

    parts: tuple[Part, ...]


PART = Part(name="a", hint="x")


def test_a_needed_field_is_declared_where_it_says_something() -> None:
    assert "needs" not in json.loads(dumps(Whole(parts=(PART, PART))))
    document = json.loads(dumps(Whole(parts=(PART, replace(PART, shared_by=2)))))
    assert document["needs"] == ["parts.sharedBy"]
    assert loads(Whole, json.dumps(document)).parts[1].shared_by == 2


def test_paths_name_every_field_below() -> None:
    assert {"parts", "parts.name", "parts.sharedBy", "parts.link.vlanQos", "parts.link.mac"} < set(field_paths(Whole))
    assert "pools.devices.address" in field_paths(PoolSet)
    assert not [path for path in field_paths(PoolSet) if path.startswith("pools.devices.address.")]


def test_a_reader_that_knows_what_is_needed_reads() -> None:
    text = sealed(POOLS, needs=["pools.devices.healthy", "bootId"])
    assert loads(PoolSet, text) == POOLS


def test_a_reader_that_does_not_know_what_is_needed_refuses_and_names_it() -> None:
    told = {**encode(POOLS), "sharedBy": 2}
    assert loads(PoolSet, sealed(POOLS, told)) == POOLS
    with pytest.raises(CodecError, match=r"it needs 'pools.sharedBy', which only a newer version of virtfn knows"):
        loads(PoolSet, sealed(POOLS, told, needs=["bootId", "pools.sharedBy"]))
    with pytest.raises(
        CodecError, match=r"needs 'x'.*upgrade virtfn; it has version 7, this program knows 2: upgrade virtfn"
    ):
        loads(PoolSet, sealed(POOLS, needs=["x"], version=7))


@pytest.mark.parametrize("needs", [None, "x", {}, [7], [["x"]], ["\n" * 5000]])
def test_needs_that_are_no_list_of_fields_are_refused_in_few_words(needs: object) -> None:
    with pytest.raises(CodecError, match=r"want a list of fields|it needs ") as refused:
        loads(PoolSet, sealed(POOLS, needs=needs))
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


# --- what is no document -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (dumps(POOLS)[:40], "it is cut off, or not a virtfn document: not JSON"),
        ("x", "it is cut off, or not a virtfn document: not JSON"),
        ("[]", "not a virtfn document"),
        ('{"version":2}', "not a virtfn document: want version, kind and value"),
        ('{"version":3,"body":{}}', "not a virtfn document.*; it has version 3, this program knows 2: upgrade virtfn"),
    ],
)
def test_what_is_no_document_is_told_as_what_it_is(text: str, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        loads(PoolSet, text)
