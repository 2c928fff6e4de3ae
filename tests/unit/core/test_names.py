"""Names that become paths and arguments are parsed at the codec: one input of every kind that was ever tried."""

import json
from typing import Any

import pytest

from virtfn_host.core.values.codec import CodecError, decode
from virtfn_host.core.values.names import driver_name, group_number, modalias, module_name, netdev_name
from virtfn_host.core.values.steps import MANY, Plan

PF = "0000:01:00.0"
VF = {"pf": PF, "index": 0, "address": None}

EVIL = (
    "",
    ".",
    "..",
    "../x",
    "../../../../somewhere",
    "/etc/passwd",
    "a/b",
    "a\0b",
    "x\0=3030\0/proc/sysrq-trigger\0",
    "a\nb",
    "a\n",
    "\n",
    "-r",
    "--version",
    "-C/run",
    " vfio-pci",
    "vfio-pci ",
    "vfio\tpci",
    "vfi\u043e-pci",
    "vfio\u2010pci",
    "vfio-pci\u200b",
    "vfio-pc\u0131",
    "\u0967\u0968",
    "\uff10",
    "a\u202eb",
    "\udc80",
    "x" * 64,
    "x" * 200_000,
    "\x7f",
    "a=b",
    "a;b",
    "$(id)",
    "%n",
    "*",
)
"""Strings of one kind: no name, and much else to whoever takes it for one."""

ODD: tuple[object, ...] = (None, 0, 1, True, 1.5, -1, [], {}, ["vfio-pci"], {"kind": "Bind"})
"""What is no string at all."""


def plan(**step: Any) -> dict[str, Any]:
    return plan_of(step)


def plan_of(*steps: object) -> dict[str, Any]:
    return {"pfs": [{"pf": PF, "steps": list(steps), "blocked": [], "displaces": []}]}


@pytest.mark.parametrize("text", EVIL, ids=lambda text: ascii(text)[:30])
def test_a_text_that_is_no_name_is_no_driver_and_no_module(text: str) -> None:
    for name in (driver_name, module_name):
        with pytest.raises(ValueError, match="is not the name of a"):
            name(text)
    for step in (plan(kind="Bind", function=VF, driver=text), plan(kind="LoadModule", pf=PF, module=text)):
        with pytest.raises(CodecError) as refusal:
            decode(Plan, step, "Plan")
        assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_what_is_no_text_is_no_name(value: object) -> None:
    for step in (plan(kind="Bind", function=VF, driver=value), plan(kind="LoadModule", pf=PF, module=value)):
        with pytest.raises(CodecError, match="want a string"):
            decode(Plan, step, "Plan")


@pytest.mark.parametrize("text", ["vfio-pci", "mlx5_vfio_pci", "8139too", "3w-9xxx", "_x", "x" * 55])
def test_names_of_real_drivers_and_modules_are_names(text: str) -> None:
    assert driver_name(text) == module_name(text) == text


def test_a_driver_of_the_kernel_may_have_a_space_or_a_dot_in_its_name_and_a_module_may_not() -> None:
    for text in ("MTD PCI", "a.b", "x" * 63):
        assert driver_name(text) == text
        with pytest.raises(ValueError, match="is not the name of a module"):
            module_name(text)


@pytest.mark.parametrize("text", ["eth0", "enp59s0f0np0", "a.b", "eth0@if", "ü", "x" * 15])
def test_what_the_kernel_lets_be_a_netdev_is_one(text: str) -> None:
    assert netdev_name(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\0", "a\x1b", "x" * 16, "ü" * 8])
def test_what_the_kernel_does_not_let_be_a_netdev_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a netdev"):
        netdev_name(text)


def test_a_modalias_is_what_the_kernel_writes() -> None:
    text = "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00"
    assert modalias(text) == text
    for other in ("-C/x", "pci", "/lib/x.ko", "pci:a b", "pci:a\nb", "pci:" + "x" * 300, "", "pci:../x"):
        with pytest.raises(ValueError, match="is not a modalias"):
            modalias(other)


def test_a_group_number_is_one() -> None:
    assert group_number("17") == 17
    for other in ("", "-1", "1/2", "..", "\u0661", "1" * 20, "2147483648", "0x1"):
        with pytest.raises(ValueError, match="IOMMU group"):
            group_number(other)


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "SetNumVfs", "pf": PF, "value": 65536, "expects": 0},
        {"kind": "SetNumVfs", "pf": PF, "value": -1, "expects": 0},
        {"kind": "SetNumVfs", "pf": PF, "value": True, "expects": 0},
        {"kind": "SetNumVfs", "pf": PF, "value": 1.0, "expects": 0},
        {"kind": "SetNumVfs", "pf": PF, "value": "1", "expects": 0},
        {"kind": "SetNumVfs", "pf": PF, "value": 10**18, "expects": 0},
        {"kind": "Settle", "pf": PF, "numVfs": 65536},
        {"kind": "SetAutoprobe", "pf": PF, "value": 1, "expects": True},
        {"kind": "Unbind", "function": {**VF, "index": 65535}, "expects": "igb"},
        {"kind": "Unbind", "function": {**VF, "index": -1}, "expects": "igb"},
        {"kind": "Unbind", "function": {**VF, "index": False}, "expects": "igb"},
        {"kind": "Unbind", "function": VF, "expects": "a/b"},
        {"kind": "Unbind", "function": VF, "expects": "x" * 256},
        {"kind": "SetDriverOverride", "function": VF, "value": "a\nb", "expects": None},
        {"kind": "SetDriverOverride", "function": VF, "value": "", "expects": None},
        {"kind": "SetDriverOverride", "function": VF, "value": "x" * 4096, "expects": None},
        {"kind": "Probe", "function": {**VF, "pf": "../x"}},
        {"kind": "Probe", "function": {**VF, "pf": "0000:01:00.0\n"}},
        {"kind": "Probe", "function": {**VF, "address": "0000:01:00.8"}},
        {"kind": "SetLink", "function": VF, "value": {"vlan": 4096}, "expects": None},
        {"kind": "SetLink", "function": VF, "value": {"vlanQos": 8}, "expects": None},
        {"kind": "SetLink", "function": VF, "value": {"maxTxRate": 1 << 32}, "expects": None},
        {"kind": "SetLink", "function": VF, "value": {"mac": "00:00:00:00:00:00:00"}, "expects": None},
        {"kind": "SetLink", "function": VF, "value": {"mac": "zz:00:00:00:00:00"}, "expects": None},
        {"kind": "SetLink", "function": VF, "value": {"linkState": "up"}, "expects": None},
        {"kind": "SetMtu", "function": VF, "value": 67, "expects": None},
        {"kind": "SetMtu", "function": VF, "value": 65536, "expects": None},
        {"kind": "SetMtu", "function": VF, "value": "9000", "expects": None},
        {"kind": "SetMtu", "function": VF, "value": 9000, "expects": -1},
        {"kind": "Bind", "function": {**VF, "more": 1}, "driver": "vfio-pci"},
        {"kind": ["Bind"], "function": VF, "driver": "vfio-pci"},
        {"kind": None},
        {},
        [],
        "Forget",
    ],
    ids=lambda step: json.dumps(step)[:60],
)  # fmt: skip
def test_a_step_out_of_its_bounds_is_none(step: object) -> None:
    with pytest.raises(CodecError, match=r"^Plan\.pfs\[0\]\.steps\[0\]"):
        decode(Plan, plan_of(step), "Plan")


def test_lists_are_bounded_before_anything_of_them_is_looked_at() -> None:
    with pytest.raises(CodecError, match=f"want at most {MANY} items, got {MANY + 1}"):
        decode(Plan, {"pfs": [{"pf": PF, "steps": [], "blocked": [None] * (MANY + 1)}]}, "Plan")


def test_the_steps_of_all_pfs_are_bounded_together() -> None:
    half = {"pf": PF, "steps": [None] * (MANY // 2), "blocked": [], "displaces": []}
    with pytest.raises(CodecError, match=r"^Plan\.pfs\[0\]\.steps\[0\]"):
        decode(Plan, {"pfs": [half, half]}, "Plan")
    with pytest.raises(CodecError, match=f"^Plan.pfs: want at most {MANY} steps in all, got {MANY + 1}"):
        decode(Plan, {"pfs": [half, half, {"steps": [None]}]}, "Plan")


def test_a_thousand_unknown_fields_are_not_told_back() -> None:
    step = {"kind": "Forget", "pf": PF, **{f"field{number:04}" + "x" * 500: 0 for number in range(1000)}}
    with pytest.raises(CodecError, match="and 997 more") as refusal:
        decode(Plan, plan(**step), "Plan")
    assert len(str(refusal.value)) < 2000
