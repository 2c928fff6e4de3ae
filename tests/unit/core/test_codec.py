"""What is written is what is read, and nothing else is read."""

import json

import pytest
from documents import of_version_1
from hypothesis import given
from hypothesis import strategies as st
from inventories import a_pf, a_plain, an_inventory, pf_address
from values import values

from virtfn_host.core.values.codec import CodecError, decode, encode
from virtfn_host.core.values.envelope import dumps, loads
from virtfn_host.core.values.model import InUse, Inventory, Observation, Pf
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report, StepResult
from virtfn_host.core.values.steps import Bind, FunctionRef, PfPlan, Plan, SetNumVfs

STEPS = (
    SetNumVfs(pf=pf_address(0), value=7, expects=0),
    Bind(function=FunctionRef(pf=pf_address(0), index=3, address=None), driver="vfio-pci"),
)
PLAN = Plan(pfs=(PfPlan(pf=pf_address(0), steps=STEPS, displaces=(pf_address(1),)),))


@given(values(Inventory) | values(PoolSet) | values(Observation) | values(Plan))
def test_every_value_survives_the_round_trip(value: Inventory | PoolSet | Observation | Plan) -> None:
    assert loads(type(value), dumps(value)) == value


def test_keys_are_camel_case_and_steps_carry_their_kind() -> None:
    document = json.loads(dumps(PLAN))
    assert document["kind"] == "Plan"
    (part,) = document["value"]["pfs"]
    assert part["steps"][0] == {
        "kind": "SetNumVfs",
        "pf": "0000:01:00.0",
        "value": 7,
        "expects": 0,
    }


def test_a_vf_leaves_out_what_its_pf_says_and_what_is_its_default() -> None:
    (pf,) = encode(an_inventory(a_pf(0, vfs=1)))["functions"]
    (vf,) = pf["vfs"]
    assert pf["kind"] == "Pf"
    assert vf.keys() == {
        *("address", "vendor", "device", "driver", "driverOverride", "iommuGroup", "vfioBound", "netdevs", "index")
    }


def test_a_vf_has_what_its_pf_says() -> None:
    pf = a_pf(0, numa_node=1, class_code="010802", vfs=1)
    encoded = encode(pf)
    decoded = decode(Pf, encoded, "pf")
    assert [(vf.pf, vf.class_code, vf.numa_node) for vf in decoded.vfs] == [(pf.address, "010802", 1)]
    encoded["vfs"][0]["numaNode"] = 0
    with pytest.raises(CodecError, match=r"^pf\.vfs\[0\]: unknown field numaNode"):
        decode(Pf, encoded, "pf")


def test_a_function_without_sriov_is_no_pf() -> None:
    inventory = an_inventory(a_plain(0))
    (function,) = encode(inventory)["functions"]
    assert (function["kind"], "totalVfs" in function) == ("Function", False)
    assert decode(Inventory, encode(inventory), "inventory") == inventory
    with pytest.raises(CodecError, match=r"^inventory\.functions\[0\]\(Pf\): missing field autoprobe, totalVfs, vfs"):
        decode(Inventory, {**encode(inventory), "functions": [{**function, "kind": "Pf"}]}, "inventory")


def test_a_single_step_inside_a_report_carries_its_kind_too() -> None:
    result = StepResult(step=STEPS[1], outcome=Outcome.FAILED, seconds=1, reason=Reason.STUCK, message="x")
    report = Report(results=(result,))
    assert loads(Report, dumps(report)) == report


def test_one_document_is_one_line() -> None:
    assert "\n" not in dumps(an_inventory(a_pf(0, vfs=7)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 0}, "version 0 is not valid"),
        ({"version": True}, "version True is not valid"),
        ({"version": 1.0}, "version 1.0 is not valid"),
        ({"version": "1"}, "version '1' is not valid"),
        ({"version": 2}, "its checksum does not match"),
        ({"version": 3}, "its checksum does not match.*; it has version 3, this program knows 2: upgrade virtfn"),
        ({"checksum": ""}, "a document of version 1 has kind, value, version and nothing else"),
        ({"version": 2, "checksum": "sha256:0"}, "its checksum does not match"),
        ({"kind": "Report"}, "kind 'Report', wanted InUse"),
        ({"value": {}}, "InUse: missing field holders"),
        ({"value": {"holders": [], "more": 1}}, "InUse: unknown field more"),
        ({"value": {"holders": {}}}, "InUse.holders: want a list"),
        ({"value": {"holders": [7]}}, r"InUse.holders\[0\]: want an object"),
        (
            {"value": {"holders": [{"address": "1", "cause": "kubelet"}]}},
            r"InUse.holders\[0\].address: '1' is not a PCI address",
        ),
        (
            {"value": {"holders": [{"address": "0000:01:00.0", "cause": "cat"}]}},
            r"InUse.holders\[0\].cause: 'cat' is not a valid Cause",
        ),
    ],
)
def test_a_wrong_document_is_refused_with_the_path(change: dict[str, object], message: str) -> None:
    document = {"version": 1, "kind": "InUse", "value": {"holders": []}} | change
    with pytest.raises(CodecError, match=message):
        loads(InUse, json.dumps(document))


def test_a_number_is_not_a_truth_value() -> None:
    text = of_version_1(an_inventory(a_pf(0))).replace('"autoprobe":true', '"autoprobe":1')
    with pytest.raises(CodecError, match=r"functions\[0\]\(Pf\)\.autoprobe: want bool, got 1"):
        loads(Inventory, text)


@given(st.text(max_size=40))
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    with pytest.raises(CodecError):
        loads(InUse, text)


def test_an_unknown_step_is_refused() -> None:
    text = of_version_1(PLAN).replace('"kind":"SetNumVfs"', '"kind":"Reset"')
    with pytest.raises(CodecError, match=r"pfs\[0\]\.steps\[0\]: want an object whose kind is one of LoadModule"):
        loads(Plan, text)
