"""What was published, what the kubelet offers, and what the device plugin says: which differences are told, and how."""

from dataclasses import replace

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, Registration, Registrations
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.not_offered import (
    LASTS,
    SILENT,
    Clock,
    Compared,
    KubeletOffer,
    PluginReport,
    compared,
    expected,
    not_on_the_node,
)

FAST, WHOLE = "virtfn.dev/fast", "virtfn.dev/whole"
VFS = [str(PciAddress(0, 1, 0x10, number)) for number in range(4)]
BOOT = "b1"
NOW = 1000.0


def pool(name: str = FAST, *, vfs: list[str] = VFS, withdrawn: tuple[str, ...] = ()) -> DevicePool:
    devices = [
        PoolDevice(
            address=PciAddress.parse(vf),
            driver="vfio-pci",
            numa_node=None,
            healthy=vf not in withdrawn,
            reason=Reason.RECONFIGURING if vf in withdrawn else None,
        )
        for vf in vfs
    ]
    return DevicePool(resource_name=name, devices=tuple(devices))


def published(*pools: DevicePool) -> PoolSet:
    return PoolSet(boot_id=BOOT, pools=pools or (pool(),))


def offer(**by_name: list[str]) -> KubeletOffer:
    return KubeletOffer(devices={f"virtfn.dev/{name}": frozenset(ids) for name, ids in by_name.items()})


def plugin(
    *registrations: Registration, boot_id: str = BOOT, at: float | None = NOW, complaint: str | None = None
) -> PluginReport:
    told = Registrations(boot_id=boot_id, registrations=registrations, at=at, complaint=complaint)
    return PluginReport(told=told)


def registered(name: str = FAST, *, healthy: int | None = 4, refusal: str = "") -> Registration:
    return Registration(resource_name=name, registered=True, since=500.0, refusal=refusal, healthy=healthy)


def waiting(name: str = FAST, *, refusal: str = "") -> Registration:
    return Registration(resource_name=name, registered=False, since=600.0, refusal=refusal, healthy=4)


def after(seconds: float, wanted: PoolSet, given: KubeletOffer, report: PluginReport) -> Compared:
    """The outcome when this has been so for some seconds, with a round each second."""
    outcome = compared(wanted, given, report, {}, Clock(now=NOW - seconds))
    return compared(wanted, given, report, outcome.since, Clock(now=NOW))


def told(wanted: PoolSet, given: KubeletOffer, report: PluginReport) -> str:
    (found,) = after(LASTS, wanted, given, report).offers.lasting
    return found.message


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (published(), offer(fast=VFS)),
        (published(), offer(fast=VFS, other=["0000:09:00.0"])),
        (published(pool(withdrawn=(VFS[0],))), offer(fast=VFS[1:])),
        (published(pool(withdrawn=tuple(VFS))), offer()),
        (published(pool(), pool(WHOLE, vfs=["0000:02:00.0"])), offer(fast=VFS, whole=["0000:02:00.0"])),
        (PoolSet(boot_id="", pools=()), offer(fast=VFS)),
    ],
)
def test_what_is_offered_as_it_was_published_is_no_difference(wanted: PoolSet, given: KubeletOffer) -> None:
    assert after(3600.0, wanted, given, plugin()).differences == ()


@pytest.mark.parametrize(
    ("wanted", "given", "numbers"),
    [
        (published(), offer(), "virtfn.dev/fast: published 4, the kubelet offers 0;"),
        (published(), offer(fast=VFS[1:]), f"published 4, the kubelet offers 3 ({VFS[0]} missing);"),
        (published(pool(withdrawn=(VFS[0],))), offer(), "published 3, the kubelet offers 0;"),
        (
            published(pool(withdrawn=tuple(VFS))),
            offer(fast=VFS),
            f"published 0, the kubelet offers 4 ({', '.join(VFS[:3])} and 1 more withdrawn or not published);",
        ),
        (published(pool(), pool(WHOLE, vfs=["0000:02:00.0"])), offer(fast=VFS), "virtfn.dev/whole: published 1, the k"),
        (
            published(),
            offer(other=VFS),
            "offers 0; it offers some of them as virtfn.dev/other, so another device plugin",
        ),
    ],
)
def test_a_difference_is_told_with_its_numbers(wanted: PoolSet, given: KubeletOffer, numbers: str) -> None:
    assert numbers in told(wanted, given, plugin())


def test_a_resource_that_is_served_and_not_published_any_more_is_a_difference() -> None:
    message = told(PoolSet(boot_id=BOOT, pools=()), offer(fast=VFS), plugin(registered()))
    assert message.startswith("virtfn.dev/fast: published 0, the kubelet offers 4")


@pytest.mark.parametrize("seconds", [0.0, 1.0, LASTS - 0.1])
def test_a_difference_is_not_told_before_it_has_lasted(seconds: float) -> None:
    outcome = after(seconds, published(), offer(), plugin())
    assert (len(outcome.differences), outcome.offers.lasting, outcome.offers.counts) == (1, (), {FAST: 0})


def test_a_function_that_comes_and_goes_is_not_told_and_does_not_hide_one_that_is_missing() -> None:
    """The second VF is withdrawn in each second round; the first is missing all the time, or is not."""

    def rounds(missing: list[str]) -> Compared:
        outcome = Compared(offers=after(0, published(), offer(fast=VFS), plugin()).offers)
        for number in range(9):
            both = published(pool(withdrawn=(VFS[1],) if number % 2 else ()))
            given = offer(fast=[vf for vf in VFS if vf not in missing and vf != VFS[1]])
            outcome = compared(both, given, plugin(), outcome.since, Clock(now=NOW + number * 5))
        return outcome

    assert rounds([]).offers.lasting == ()
    assert len(rounds([VFS[0]]).offers.lasting) == 1


REFUSAL = "the ResourceName is invalid"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (PluginReport(), "the device plugin does not run on this node: it has no registrations.json; look at its"),
        (
            PluginReport(error="/r.json cannot be read: cut off"),
            "says of itself cannot be read: /r.json cannot be read: cut",
        ),
        (
            plugin(registered(), boot_id="b0"),
            "has not run since this node was booted: its registrations.json is of anoth",
        ),
        (plugin(registered(), at=NOW - SILENT - 1), "does not run, or hangs, since 1970-01-01T00:16:24Z; look at its"),
        (plugin(), "the device plugin does not serve it; look at the log of its virtfn-deviceplugin pod"),
        (
            plugin(complaint="no pool file"),
            "does not serve it; look at the log of its virtfn-deviceplugin pod; it says: no",
        ),
        (plugin(waiting()), "has not been registered for it since 1970-01-01T00:10:00Z; look at the log"),
        (plugin(waiting(refusal=REFUSAL)), f"registered for it since 1970-01-01T00:10:00Z, last refusal: {REFUSAL}"),
        (
            plugin(registered()),
            "has been registered for it since 1970-01-01T00:08:20Z and told the kubelet 4; delete its",
        ),
        (plugin(registered(healthy=1)), "told the kubelet 1; its log says why they are not as published"),
        (
            plugin(registered(refusal=REFUSAL)),
            f"since 1970-01-01T00:08:20Z, last refusal before that: {REFUSAL} and told",
        ),
        (plugin(registered(healthy=None), at=None), "registered for it since 1970-01-01T00:08:20Z; look at the log"),
    ],
)
def test_the_message_has_what_the_device_plugin_says_and_the_next_step(report: PluginReport, said: str) -> None:
    assert said in told(published(), offer(), report)


def test_the_same_difference_is_told_in_the_same_words_later() -> None:
    report = plugin(waiting(refusal=REFUSAL), at=None)
    first = after(LASTS, published(), offer(), report)
    later = compared(published(), offer(), report, first.since, Clock(now=NOW + 3600))
    assert later.offers == first.offers


@pytest.mark.parametrize("booted", [-1e300, 1e300, 1e15])
def test_a_time_that_no_calendar_has_is_told_since_boot(booted: float) -> None:
    assert Clock(now=NOW, booted=booted).text(600.0) == "600 s after boot"


def test_withdrawn_functions_are_not_expected() -> None:
    assert expected(published(pool(withdrawn=tuple(VFS[:3])))) == {FAST: frozenset(VFS[3:])}


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        ({FAST: 4, "cpu": 8}, []),
        ({FAST: 3}, [FAST]),
        ({FAST: 0}, [FAST]),
        ({}, [FAST]),
        ({FAST: 5}, [FAST]),
    ],
)
def test_the_node_must_show_the_number_that_was_published(shown: dict[str, int], names: list[str]) -> None:
    found = not_on_the_node(published(), shown)
    assert [one.resource_name for one in found] == names
    assert all(f"the Node's status has {shown.get(FAST, 0)} allocatable" in one.message for one in found)


def test_a_pool_without_healthy_functions_need_not_be_on_the_node() -> None:
    assert not_on_the_node(published(pool(withdrawn=tuple(VFS))), {}) == ()


def test_of_a_registration_without_time_nothing_is_told_of_silence() -> None:
    report = replace(plugin(registered()), told=replace(plugin(registered()).told, at=None))  # type: ignore[type-var]
    assert "does not run" not in told(published(), offer(), report)
