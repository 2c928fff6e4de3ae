"""Users: the host process is asked who has open what no pod explains, and two looks make a function taken."""

from dataclasses import replace
from typing import Any

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Pod, Process
from virtfn_host.core.values.model import InUse
from virtfn_operator.agent.users import AGAIN, MOST, Users

VF, SIBLING = PciAddress(0, 1, 0x10, 0), PciAddress(0, 1, 0x10, 2)
UID = "8d2c1e5a-0000-1111-2222-333344445555"
ENABLED = Holder(address=VF, cause=Cause.ENABLED)
KUBELET = Holder(address=VF, cause=Cause.KUBELET, pod=Pod(namespace="default", name="dpdk-0"))
LEDGER = Holder(address=VF, cause=Cause.LEDGER)
SILENT = Holder(address=VF, cause=Cause.KUBELET_SILENT)


def opened(address: PciAddress = VF, pid: int = 7, uid: str | None = None, **more: Any) -> Holder:
    process = Process(pid=pid, command="spdk_tgt", pod_uid=uid)
    return replace(Holder(address=address, cause=Cause.GROUP_OPEN, process=process), **more)


def looked(*looks: tuple[Holder, ...], now: float = 0.0) -> tuple[Users, list[frozenset[PciAddress]]]:
    """Look so many times at these holders; return what was taken each time."""
    users = Users()
    return users, [users.look(InUse(holders=holders), users.to_ask(now), now) for holders in looks]


@pytest.mark.parametrize("cause", [Cause.ENABLED, Cause.GROUP_OPEN, Cause.CDEV_OPEN])
def test_who_has_it_open_is_asked_for_at_the_next_look(cause: Cause) -> None:
    users, _ = looked((replace(ENABLED, cause=cause),))
    assert users.to_ask(0.0) == (VF,)


@pytest.mark.parametrize("pod", [KUBELET, LEDGER])
def test_what_a_pod_is_known_to_have_is_not_asked_for(pod: Holder) -> None:
    users, taken = looked((ENABLED, pod), (opened(), pod), (opened(), pod))
    assert users.to_ask(0.0) == ()
    assert taken == [frozenset()] * 3


def test_neither_is_another_function_of_the_pods_group() -> None:
    users, _ = looked((KUBELET, ENABLED, replace(ENABLED, address=SIBLING, member=VF)))
    assert users.to_ask(0.0) == ()


def test_but_the_whole_group_where_no_pod_has_any_of_it() -> None:
    users, _ = looked((ENABLED, replace(ENABLED, address=SIBLING, member=VF)))
    assert users.to_ask(0.0) == (VF, SIBLING)


@pytest.mark.parametrize("cause", [Cause.NETDEV_UP, Cause.NODE_OPEN, Cause.NEEDED, Cause.UNREADABLE])
def test_other_evidence_names_its_user_already(cause: Cause) -> None:
    users, _ = looked((replace(ENABLED, cause=cause),))
    assert users.to_ask(0.0) == ()


def test_a_process_that_does_not_show_is_asked_for_seldom() -> None:
    users, _ = looked((ENABLED,), (ENABLED,))
    assert (users.to_ask(AGAIN - 1), users.to_ask(AGAIN)) == ((), (VF,))


def test_a_process_that_shows_is_asked_for_at_each_look() -> None:
    users, _ = looked((ENABLED,), (opened(),), (opened(),))
    assert users.to_ask(0.0) == (VF,)


def test_what_is_closed_is_forgotten() -> None:
    users, taken = looked((opened(),), (opened(),), (), (opened(),))
    assert taken == [frozenset(), {VF}, frozenset(), frozenset()]
    assert users.to_ask(0.0) == (VF,)


def test_it_is_taken_when_two_looks_show_the_same_process() -> None:
    _, taken = looked((opened(),), (opened(pid=8),), (opened(pid=8),))
    assert taken == [frozenset(), frozenset(), {VF}]


def test_a_process_of_a_pod_takes_nothing() -> None:
    _, taken = looked(*[(opened(uid=UID),)] * 3)
    assert taken == [frozenset()] * 3


def test_neither_does_one_that_has_another_function_of_the_group() -> None:
    _, taken = looked(*[(opened(SIBLING, member=VF),)] * 3)
    assert taken == [frozenset()] * 3


@pytest.mark.parametrize("silent", [SILENT, replace(SILENT, cause=Cause.LEDGER_UNREADABLE)])
def test_while_the_pods_are_unknown_nothing_changes(silent: Holder) -> None:
    users, taken = looked((opened(), silent), (opened(), silent), (opened(),), (opened(),), (silent,))
    assert taken == [frozenset(), frozenset(), frozenset(), {VF}, {VF}]
    assert users.to_ask(0.0) == (VF,)


def test_no_more_is_asked_for_than_fits_into_a_request() -> None:
    many = tuple(replace(ENABLED, address=PciAddress(n >> 13, n >> 5 & 0xFF, n & 31, 0)) for n in range(MOST + 1))
    users, _ = looked(many)
    assert len(users.to_ask(0.0)) == MOST
