"""`mtu` of a policy: read, told to a node, planned for PF and VFs, and seen in pools and status."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import InUse, Inventory, Original, Pf
from virtfn_host.core.values.offered import PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Forget, Plan, SetMtu
from virtfn_operator.api.node_state import read_spec, write_spec

NOBODY = InUse(holders=())


def read(mtu: object) -> PolicyConfig | Rejected:
    what: dict[str, Any] = {"virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}], "mtu": mtu}}
    return policy_config(name="p", uid="u", generation=3, spec={"devices": [{"vendor": "8086"}], **what})


@pytest.mark.parametrize("mtu", [68, 1500, 9000, 65535])
def test_a_policy_says_it_and_a_node_is_told_the_same(mtu: int) -> None:
    policy = read(mtu)
    assert isinstance(policy, PolicyConfig)
    assert policy.mtu == mtu
    found = read_spec(write_spec(NodeConfig(policies=(policy,)), may_change=False))
    assert found is not None
    assert [one.mtu for one in found.config.policies] == [mtu]


@pytest.mark.parametrize(
    ("mtu", "said"),
    [
        (67, "67 is out of range; write a MTU from 68 to 65535"),
        (65536, "65536 is out of range"),
        ("9000", "'9000' is out of range"),
        (True, "True is out of range"),
        (None, "is null"),
    ],
)
def test_anything_else_is_refused_with_the_field(mtu: object, said: str) -> None:
    found = read(mtu)
    assert isinstance(found, Rejected)
    assert found.message.startswith("spec.virtualFunctions.mtu: ")
    assert said in found.message


def machine(pf_mtu: int | None, *vf_mtus: int | None, needed: str | None = None) -> Inventory:
    """A PF with VFs: those with an MTU are on their network driver, the others on vfio-pci."""
    pf = a_pf(0, vfs=len(vf_mtus))
    vfs = tuple(
        replace(
            vf, driver="igbvf", driver_override=None, vfio_bound=False, mtu=mtu, lacks=(), netdevs=(f"v{vf.index}",)
        )
        if mtu
        else replace(vf, driver="vfio-pci", driver_override="vfio-pci", vfio_bound=True, lacks=())
        for vf, mtu in zip(pf.vfs, vf_mtus, strict=True)
    )
    return an_inventory(replace(pf, mtu=pf_mtu, vfs=vfs, needed_for=needed, autoprobe=False))


def asks(mtu: int | None, indexes: tuple[int, ...] | None, driver: str, name: str = "p") -> PolicyConfig:
    policy = a_policy(name=name, count=2)
    pool = replace(policy.pools[0], driver=driver, indexes=indexes, resource_name=f"virtfn.dev/{name}")
    return replace(policy, pools=(pool,), mtu=mtu)


def resolved(inventory: Inventory, *policies: PolicyConfig, original: Original | None = None) -> Resolution:
    return resolve(NodeConfig(policies=policies), inventory, (original,) if original else ())


def planned(
    inventory: Inventory, *policies: PolicyConfig, in_use: InUse = NOBODY, original: Original | None = None
) -> Plan:
    return plan(inventory, resolved(inventory, *policies, original=original).desired, in_use)


def set_mtus(found: Plan) -> list[tuple[int | None, int, int | None]]:
    return [(step.function.index, step.value, step.expects) for step in found.steps if isinstance(step, SetMtu)]


KERNEL, VFIO = "kernel", "vfio-pci"


@pytest.mark.parametrize(
    ("inventory", "policies", "steps"),
    [
        (machine(1500, 1500, 1500), [asks(9000, None, KERNEL)], [(None, 9000, 1500), (0, 9000, 1500), (1, 9000, 1500)]),
        (machine(9000, 1500, 9000), [asks(9000, None, KERNEL)], [(0, 9000, 1500)]),
        (machine(9216, 9000, 9000), [asks(9000, None, KERNEL)], []),
        (machine(9000, 9000, 9000), [asks(1500, None, KERNEL)], [(0, 1500, 9000), (1, 1500, 9000)]),
        (machine(1500, None, None), [asks(9000, None, VFIO)], [(None, 9000, 1500)]),
        (machine(1500, 1500, 1500), [asks(None, None, KERNEL)], []),
    ],
)  # fmt: skip
def test_vfs_get_what_is_asked_and_their_pf_at_least_that(
    inventory: Inventory, policies: list[PolicyConfig], steps: list[object]
) -> None:
    found = planned(inventory, *policies)
    assert set_mtus(found) == steps
    assert found.displaces == ()


@pytest.mark.parametrize(("first", "second"), [(9000, 1500), (1500, 9000), (9000, None), (None, 9000)])
def test_of_several_policies_the_pf_gets_the_largest_and_each_vf_its_own(first: int | None, second: int | None) -> None:
    found = planned(machine(1400, 1400, 1400), asks(first, (0,), KERNEL, "a"), asks(second, (1,), KERNEL, "b"))
    wanted = [(index, mtu, 1400) for index, mtu in enumerate((first, second)) if mtu is not None]
    assert set_mtus(found) == [(None, max(first or 0, second or 0), 1400), *wanted]


def test_new_vfs_get_it_after_they_are_bound_and_the_pf_before_they_are_made() -> None:
    found = planned(machine(1500), asks(9000, None, KERNEL))
    assert set_mtus(found) == [(None, 9000, 1500), (0, 9000, None), (1, 9000, None)]
    kinds = [type(step).__name__ for step in found.steps]
    assert kinds.index("SetMtu") < kinds.index("SetNumVfs")
    assert kinds[-2:] == ["SetMtu", "SetMtu"]


def test_a_vf_in_use_waits_and_holds_up_nothing_else() -> None:
    inventory = machine(1500, 1500, 1500)
    vf = inventory.pfs[0].vfs[0].address
    in_use = InUse(holders=(Holder(address=vf, cause=Cause.KUBELET, pod=Pod(namespace="a", name="b")),))
    found = planned(inventory, asks(9000, None, KERNEL), in_use=in_use)
    assert set_mtus(found) == [(None, 9000, 1500), (1, 9000, 1500)]
    assert [(b.device, b.reason, b.only_links) for b in found.blocked] == [(vf, Reason.VFS_IN_USE, True)]
    assert "cannot set mtu 9000 while pod a/b holds" in found.blocked[0].message


@pytest.mark.parametrize(
    ("inventory", "reason", "said"),
    [
        (machine(None, 1500, None), Reason.LINK_SETTING_REFUSED, "PF has no netdev in the host's network namespace"),
        (machine(1500, 1500, None, needed="the default route goes through eth0"), Reason.NEEDED_BY_MACHINE,
         "this machine needs the PF: the default route goes through eth0; set it where the host's own network"),
    ],
)  # fmt: skip
def test_a_pf_without_netdev_or_that_the_machine_needs_is_left_alone(
    inventory: Inventory, reason: Reason, said: str
) -> None:
    found = planned(inventory, asks(9000, (0,), KERNEL))
    assert set_mtus(found) == [(0, 9000, 1500)]
    assert [(b.device, b.reason, b.only_links) for b in found.blocked] == [(inventory.pfs[0].address, reason, True)]
    assert said in found.blocked[0].message


def test_a_pf_that_the_machine_needs_and_that_has_enough_is_no_trouble() -> None:
    assert planned(machine(9000, 9000, 9000, needed="a console"), asks(9000, None, KERNEL)).blocked == ()


def test_a_card_that_is_no_network_device_has_none() -> None:
    inventory = machine(None, None, None)
    pf = replace(inventory.pfs[0], class_code="010802")
    found = resolved(replace(inventory, functions=(pf,)), asks(9000, None, VFIO))
    assert [one.reason for one in found.rejected] == [Reason.LINK_SETTING_REFUSED]
    assert "is not a network device (class 010802), so it has no MTU; leave mtu out" in found.rejected[0].message


def original(pf: Pf, mtu: int | None, *vf_mtus: int | None) -> Original:
    from virtfn_host.linux.act.journal import original_of

    made = original_of(pf)
    vfs = tuple(replace(vf, mtu=mtu) for vf, mtu in zip(made.vfs, vf_mtus, strict=True))
    return replace(made, mtu=mtu, vfs=vfs)


@pytest.mark.parametrize(
    ("noted", "vfs", "steps"),
    [
        (1500, (1500, None), [(0, 1500, 9000), (None, 1500, 9000)]),
        (None, (None, None), []),
        (None, (None, 2000), [(1, 2000, 9000)]),
        (9000, (9000, 9000), []),
    ],
)
def test_what_was_noted_is_given_back_vfs_first(
    noted: int | None, vfs: tuple[int | None, ...], steps: list[object]
) -> None:
    inventory = machine(9000, 9000, 9000)
    found = planned(inventory, original=original(inventory.pfs[0], noted, *vfs))
    assert set_mtus(found) == steps
    assert isinstance(found.steps[-1], Forget)


@pytest.mark.parametrize(
    ("driver", "steps"),
    [("igbvf", [(0, 2000, None)]), ("iavf", [(0, 2000, None)]), ("vfio-pci", []), ("mlx5_vfio_pci", [])],
)
def test_a_vf_gets_its_mtu_back_with_the_driver_that_makes_its_netdev(driver: str, steps: list[object]) -> None:
    """In the same plan, which ends with forgetting the PF: a restore by hand makes no second one."""
    inventory = machine(1500, None)
    before = original(inventory.pfs[0], None, 2000)
    vfs = (replace(before.vfs[0], driver=driver, driver_override=None),)
    now = replace(inventory.pfs[0].vfs[0], driver="other", vfio_bound=True)
    inventory = replace(inventory, functions=(replace(inventory.pfs[0], vfs=(now,)),))
    found = planned(inventory, original=replace(before, vfs=vfs))
    assert set_mtus(found) == steps
    assert isinstance(found.steps[-1], Forget)


def devices(inventory: Inventory, *policies: PolicyConfig) -> dict[PciAddress, PoolDevice]:
    wanted = resolved(inventory, *policies).desired
    made = pools(
        desired=wanted,
        inventory=inventory,
        in_use=NOBODY,
        plan=plan(inventory, wanted, NOBODY),
        previous=PoolSet(boot_id=inventory.boot_id, pools=()),
        withdrawn=frozenset(),
    )
    return {device.address: device for pool in made.pools for device in pool.devices}


@pytest.mark.parametrize(
    ("inventory", "driver", "healthy"),
    [
        (machine(9000, 9000, 9000), KERNEL, [True, True]),
        (machine(9000, 9000, 1500), KERNEL, [True, False]),
        (machine(1500, 9000, 9000), KERNEL, [False, False]),
        (machine(9216, None, None), VFIO, [True, True]),
        (machine(1500, None, None), VFIO, [False, False]),
        (machine(None, None, None), VFIO, [False, False]),
    ],
)
def test_a_pod_gets_no_vf_with_another_mtu_than_its_policy_asks_for(
    inventory: Inventory, driver: str, healthy: list[bool]
) -> None:
    found = devices(inventory, asks(9000, None, driver))
    assert [found[vf.address].healthy for vf in inventory.pfs[0].vfs] == healthy
    assert {d.reason for d in found.values() if not d.healthy} <= {Reason.LINK_SETTING_REFUSED}
    wanted = resolved(inventory, asks(9000, None, driver)).desired
    assert (verify(wanted, inventory) == ()) is all(healthy)


def test_the_status_says_both_numbers() -> None:
    inventory = machine(1500, 1500, 9000)
    found = verify(resolved(inventory, asks(9000, None, KERNEL)).desired, inventory)
    pf = inventory.pfs[0]
    assert [one.message for one in found] == [
        f"{pf.address}: has mtu 1500, wanted at least 9000",
        f"{pf.vfs[0].address}: has mtu 1500, wanted 9000",
    ]
