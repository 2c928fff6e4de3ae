"""A write that blocks, ours or anybody's: seen and named in time, and nothing is written until it returns."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from hardware import Lab

from virtfn_host import executor
from virtfn_host.cli import machine as cli
from virtfn_host.cli import verbs
from virtfn_host.cli.options import DONE, REFUSED
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Observation, Stuck, VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import FunctionRef, LoadModule, Plan, SetAutoprobe, SetLink, SetNumVfs, plan_of
from virtfn_host.executor import Executor
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import StuckError
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.process.serve import Host

SEEN = GONE = 60.0
"""Seconds until a fault must be shown, and until one that has ended must not be: that it is so, not how soon, because
emulation is slow (`make prove PROOFS=faults` holds both to ten)."""


@pytest.fixture
def host(lab: Lab, reader: Reader) -> Iterator[Host]:
    made = Host(Executor(lab.machine), reader)
    yield made
    made.end()


def look_until(host: Host, true: Callable[[Observation], bool], seconds: float) -> Observation:
    until = time.monotonic() + seconds
    while not true(seen := host.observe()):
        assert time.monotonic() < until, f"not in {seconds} s: {seen.stuck}"
    return seen


def is_stuck(seen: Observation) -> bool:
    return seen.stuck is not None


def stuck_of(seen: Observation) -> Stuck:
    assert seen.stuck is not None
    return seen.stuck


def on_vfio(lab: Lab, pf: PciAddress, number: int) -> list[PciAddress]:
    vfs = lab.make(pf, number)
    for vf in vfs:
        lab.to_vfio(vf)
    return vfs


def look_until_it_has_the_lock(lab: Lab) -> None:
    """A write of somebody to the PF's `sriov_numvfs` has come as far as a VF that is open: its link is gone."""
    until = time.monotonic() + SEEN
    while 0 in lab.sysfs.vf_addresses(lab.pf):
        assert time.monotonic() < until


def make_vfs(pf: PciAddress) -> Plan:
    return plan_of([SetNumVfs(pf=pf, value=2, expects=0)])


def test_a_blocked_write_of_somebody_else_is_seen_with_writer_and_holder_and_goes_with_it(lab: Lab, host: Host) -> None:
    vfs = on_vfio(lab, lab.pf, 2)
    numvfs = lab.sysfs.device(lab.pf, "sriov_numvfs")
    assert host.observe().stuck is None
    with lab.used(vfs[0]):
        assert host.observe().stuck is None, "in use is not stuck"
        writer = lab.outsider(numvfs, "0")
        stuck = stuck_of(look_until(host, is_stuck, SEEN))
        assert stuck.path == numvfs
        assert stuck.held == (vfs[0],)
        assert f"process {writer} (sh) has /sys/" in stuck.text
        assert f"{vfs[0]} is open: process {lab.holder} (python3) has /dev/vfio/" in stuck.text
        again = stuck_of(host.observe())
        assert again.text == stuck.text, "the same as long as nothing changes"
    look_until(host, lambda seen: seen.stuck is None, GONE)
    assert lab.sysfs.vf_addresses(lab.pf) == {}


def test_while_somebody_elses_write_is_blocked_nothing_is_written_and_then_it_is(lab: Lab, host: Host) -> None:
    vfs = on_vfio(lab, lab.pf, 1)
    other = lab.pfs[1]
    with lab.used(vfs[0]):
        lab.outsider(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
        look_until(host, is_stuck, SEEN)
        told: list[Outcome] = []
        (result,) = host.apply(make_vfs(other), lambda result: told.append(result.outcome)).results
        assert (result.outcome, result.reason) == (Outcome.NOT_TRIED, Reason.STUCK)
        assert told == [Outcome.NOT_TRIED]
        assert f"process {lab.holder}" in result.message
    lab.outsiders_end()
    look_until(host, lambda seen: seen.stuck is None, GONE)
    assert lab.sysfs.vf_addresses(other) == {}, "nothing was queued"
    (result,) = host.apply(make_vfs(other), lambda _: None).results
    assert result.outcome is Outcome.DONE


def test_one_that_begins_in_the_middle_of_a_plan_ends_it_before_the_next_number_of_vfs(lab: Lab, host: Host) -> None:
    vfs, other = on_vfio(lab, lab.pf, 1), lab.pfs[1]
    steps = (SetAutoprobe(pf=other, value=False, expects=True), *make_vfs(other).steps)

    def begins(result: StepResult) -> None:
        if result.outcome is Outcome.DONE:
            lab.outsider(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
            look_until_it_has_the_lock(lab)

    with lab.used(vfs[0]):
        results = host.apply(plan_of(steps), begins).results
        assert [(result.outcome, result.reason) for result in results] == [
            (Outcome.DONE, None),
            (Outcome.NOT_TRIED, Reason.STUCK),
        ]
        assert f"process {lab.holder} " in results[1].message
    lab.outsiders_end()
    assert lab.sysfs.vf_addresses(other) == {}, "nothing was queued"


def test_a_blocked_unbind_of_somebody_else_is_seen_too(lab: Lab, host: Host) -> None:
    """It holds the lock of its VF alone, so `sriov_numvfs` reads well."""
    free, held = on_vfio(lab, lab.pf, 2)
    with lab.used(held):
        writer = lab.outsider(lab.sysfs.driver("vfio-pci", "unbind"), str(held))
        stuck = stuck_of(look_until(host, is_stuck, SEEN))
        assert str(held) in stuck.path
        assert stuck.held == (held,)
        assert f"process {writer} (sh)" in stuck.text
    look_until(host, lambda seen: seen.stuck is None, GONE)
    assert [lab.sysfs.bound_driver(vf) for vf in (free, held)] == ["vfio-pci", None]


def test_a_blocked_unbind_of_somebody_else_is_in_the_way_of_its_function_alone(lab: Lab, host: Host) -> None:
    free, held = on_vfio(lab, lab.pf, 2)
    other = lab.pfs[1]
    with lab.used(held):
        lab.outsider(lab.sysfs.driver("vfio-pci", "unbind"), str(held))
        look_until(host, is_stuck, SEEN)
        lab.off_vfio(free)
        (result,) = host.apply(make_vfs(other), lambda _: None).results
        assert result.outcome is Outcome.DONE
    lab.outsiders_end()
    assert lab.sysfs.bound_driver(held) is None


def test_a_write_of_ours_that_queues_behind_one_of_somebody_else_is_executed_after_it(lab: Lab) -> None:
    """Between our question and our write somebody may begin one; what takes no lock of all PCI devices goes on."""
    vfs, other = on_vfio(lab, lab.pf, 2), lab.pfs[1]
    (free,) = lab.make(other, 1)
    writer = lab.machine.writer
    with lab.used(vfs[0]):
        lab.outsider(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
        look_until_it_has_the_lock(lab)
        assert lab.sysfs.vf_addresses(lab.pf) == {1: vfs[1]}, "taken away from the first one on"
        lab.to_vfio(free)
        lab.off_vfio(free)
        with pytest.raises(StuckError):
            writer.write(lab.sysfs.device(other, "sriov_numvfs"), "0", 3)
        assert writer.stuck() is not None
        assert lab.sysfs.vf_addresses(other) == {0: free}
    lab.outsiders_end()
    until = time.monotonic() + GONE
    while writer.stuck() is not None:
        assert time.monotonic() < until
    assert lab.sysfs.vf_addresses(other) == {}


def test_our_own_blocked_write_is_given_up_early_because_its_holder_shows(lab: Lab, host: Host) -> None:
    vfs = on_vfio(lab, lab.pf, 1)
    numvfs = lab.sysfs.device(lab.pf, "sriov_numvfs")
    with lab.used(vfs[0]):
        began = time.monotonic()
        with pytest.raises(StuckError, match=f"process {lab.holder} "):
            lab.machine.writer.write(numvfs, "0", 600)
        assert time.monotonic() - began < SEEN
        stuck = stuck_of(host.observe())
        assert (stuck.path, stuck.held) == (numvfs, (vfs[0],))
        assert f"process {lab.holder} " in stuck.text
    look_until(host, lambda seen: seen.stuck is None, GONE)
    assert lab.sysfs.vf_addresses(lab.pf) == {}


def test_while_our_own_write_is_blocked_no_module_is_loaded_and_no_link_set_either(lab: Lab, host: Host) -> None:
    """Neither goes through what waits for the write; and a plan of which some was skipped is not gone on with."""
    vfs, other = on_vfio(lab, lab.pf, 1), lab.pfs[1]
    (free,) = lab.make(other, 1)
    ref = FunctionRef(pf=other, index=0, address=free)
    steps = (
        LoadModule(pf=other, module="vfio-pci"),
        SetLink(function=ref, value=VfLink(trust=True), expects=VfLink(trust=False)),
    )
    holder = ExitStack()
    holder.enter_context(lab.used(vfs[0]))

    def lets_go(_: StepResult) -> None:
        holder.close()
        look_until(host, lambda seen: seen.stuck is None, GONE)

    with holder:
        with pytest.raises(StuckError):
            lab.machine.writer.write(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0", 60)
        results = apply(plan_of(steps), lab.machine, lets_go).results
    assert [(result.outcome, result.reason) for result in results] == [(Outcome.NOT_TRIED, Reason.STUCK)] * 2
    assert f"process {lab.holder} " in results[1].message
    results = apply(plan_of(steps), lab.machine).results
    assert [result.outcome for result in results] == [Outcome.DONE] * 2


def test_the_command_line_looks_and_writes_nothing(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ours for every command: an emulated machine takes four seconds to start the process behind one.
    for module in (cli, executor):
        monkeypatch.setattr(module, "Netlink", lambda _: lab.machine.netlink)
    monkeypatch.setattr(lab.machine.netlink, "close", lambda: None)
    vfs = on_vfio(lab, lab.pf, 2)
    root = ["--root", str(lab.fake.root if lab.fake else "/")]
    policy = tmp_path / "policy.json"
    matcher, pools = {"address": str(lab.pfs[1])}, [{"resourceName": "fast"}]
    spec = {"devices": [matcher], "virtualFunctions": {"count": 2, "pools": pools}}
    policy.write_text(json.dumps({"kind": "SriovPolicy", "metadata": {"name": "fast"}, "spec": spec}))
    looks = (["plan", "-f", str(policy)], ["explain", str(lab.pf)], ["explain", str(vfs[1])])
    healthy = [_timed(partial(_said, capsys, [*words, *root], None)) for words in looks]
    with lab.used(vfs[0]):
        lab.outsider(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
        until = time.monotonic() + SEEN
        while "Stuck: " not in (said := _said(capsys, ["list", *root], DONE)):
            assert time.monotonic() < until
        assert f"process {lab.holder} " in said
        for words, usual in zip(looks, healthy, strict=True):
            began = time.monotonic()
            assert "Stuck: " in _said(capsys, [*words, *root], None)
            print(words, usual, time.monotonic() - began)
            assert time.monotonic() - began < usual + SEEN
        for words in (["apply", "-f", str(policy)], ["bind", str(vfs[1])], ["restore", "--all"]):
            assert "Stuck: nothing was written: " in _said(capsys, [*words, *root], REFUSED)
        assert lab.sysfs.vf_addresses(lab.pfs[1]) == {}
    lab.outsiders_end()
    assert lab.sysfs.vf_addresses(lab.pfs[1]) == {}


def _timed(look: Callable[[], object]) -> float:
    began = time.monotonic()
    look()
    return time.monotonic() - began


def _said(capsys: pytest.CaptureFixture[str], words: list[str], status: int | None) -> str:
    got = verbs.run(words)
    text = capsys.readouterr().err
    assert status in (None, got), text
    return text
