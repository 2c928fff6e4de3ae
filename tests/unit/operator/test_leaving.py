"""leaving: the pods to evict for a plan, and what no new pod may get meanwhile."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.holders import Cause, Holder, Pod, Process
from virtfn_host.core.values.model import InUse, Inventory, VfLink
from virtfn_operator.agent.leaving import Displacement, leaving

PF = a_pf(0, 4)
VFS = [vf.address for vf in PF.vfs]
UID = "8d2c1e5a-0000-1111-2222-333344445555"


def config(count: int = 2, when: str = "Evict", name: str = "fast", **more: Any) -> PolicyConfig:
    spec = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": count, "pools": [{"resourceName": name, **more}]},
        "disruption": {"whenInUse": when},
    }
    found = policy_config(name=name, uid=f"u-{name}", generation=1, spec=spec)
    assert isinstance(found, PolicyConfig), found
    return found


def pod(address: PciAddress, name: str) -> Holder:
    return Holder(address=address, cause=Cause.KUBELET, pod=Pod(namespace="default", name=name))


def opened(address: PciAddress, uid: str | None) -> Holder:
    process = Process(pid=7, command="qemu", pod_uid=uid)
    return Holder(address=address, cause=Cause.GROUP_OPEN, process=process)


def found(
    *holders: Holder, policies: tuple[PolicyConfig, ...] = (config(),), inventory: Inventory | None = None
) -> Displacement:
    here, asked = inventory or an_inventory(PF), NodeConfig(policies=policies)
    desired = resolve(asked, here, ()).desired
    return leaving(asked, here, desired, plan(here, desired, InUse(holders=holders)))


def test_the_pods_that_hold_vfs_of_a_pf_that_is_resized_leave_and_all_its_vfs_are_withdrawn() -> None:
    out = found(pod(VFS[0], "a"), pod(VFS[2], "b"), pod(VFS[3], "b"))
    assert out.names == ("default/a", "default/b")
    assert out.functions >= set(VFS)
    assert {one.device for one in out.pods} == {PF.address}


def test_without_evict_without_holders_and_without_work_no_pod_leaves() -> None:
    assert not found(pod(VFS[0], "a"), policies=(config(when="Wait"),))
    assert not found()
    assert not found(pod(VFS[0], "a"), policies=(config(4),))


def test_a_vf_that_is_rebound_concerns_its_own_pod_only() -> None:
    out = found(pod(VFS[0], "a"), pod(VFS[1], "b"), policies=(config(4, indexes="1-2", driver="kernel"),))
    assert out.names == ("default/b",)
    assert VFS[0] not in out.functions
    assert VFS[1] in out.functions


def test_every_policy_of_a_pf_must_ask_for_it() -> None:
    both = config(2, indexes="0", name="one"), config(2, "Wait", indexes="1", name="two")
    assert not found(pod(VFS[0], "a"), policies=both)
    assert found(pod(VFS[0], "a"), policies=(both[0], config(2, indexes="1", name="two")))


@pytest.mark.parametrize(
    "other",
    [
        opened(VFS[1], None),
        Holder(address=VFS[1], cause=Cause.ENABLED),
        Holder(address=VFS[1], cause=Cause.UNREADABLE, said="/proc could not be read"),
        Holder(address=VFS[1], cause=Cause.KUBELET_SILENT),
        Holder(address=VFS[0], cause=Cause.GROUP_OPEN, member=VFS[1], process=Process(pid=9, command="dpdk-testpmd")),
    ],
    ids=lambda holder: str(holder.cause),
)
def test_if_something_else_than_a_pod_is_in_the_way_too_no_pod_leaves(other: Holder) -> None:
    assert not found(pod(VFS[0], "a"), other)


def test_an_open_function_of_a_pod_is_that_pods() -> None:
    assert found(pod(VFS[0], "a"), opened(VFS[0], None), Holder(address=VFS[0], cause=Cause.ENABLED))


@pytest.mark.parametrize("named", [(), (pod(VFS[1], "a"),)], ids=["alone", "beside a pod that the kubelet lists"])
def test_an_init_container_that_has_a_function_open_is_known_by_its_uid(named: tuple[Holder, ...]) -> None:
    out = found(opened(VFS[0], UID), *named)
    assert [one.uid for one in out.pods if one.uid] == [UID]
    assert out.names[-1] == f"with uid {UID}" or out.names[0] == f"with uid {UID}"


def test_while_a_pod_is_just_being_started_everything_stays_withdrawn_and_no_pod_leaves_yet() -> None:
    starting = Holder(address=VFS[1], cause=Cause.LEDGER)
    out = found(pod(VFS[0], "a"), starting)
    assert out.pods == ()
    assert out.functions >= set(VFS)


def test_what_a_policy_that_ended_leaves_behind_waits() -> None:
    """The other policy has its own VFs on another PF; nobody asks any more for what is given back."""
    here = an_inventory(PF)
    asked = NodeConfig(policies=(config(4),))
    desired = resolve(asked, here, ()).desired
    back = replace(desired, pfs=tuple(replace(pf, policies=(), num_vfs=0) for pf in desired.pfs))
    blocked = plan(here, back, InUse(holders=(pod(VFS[0], "a"),)))
    assert blocked.blocked
    assert not leaving(asked, here, back, blocked)


def test_link_settings_that_a_pod_is_in_the_way_of_count_as_well() -> None:
    before = a_pf(0, 4)
    shown = replace(before, vfs=tuple(replace(vf, link=VfLink(vlan=0)) for vf in before.vfs))
    out = found(pod(VFS[1], "b"), policies=(config(4, link={"vlan": 7}),), inventory=an_inventory(shown))
    assert out.names == ("default/b",)
    assert out.functions == {VFS[1]}
