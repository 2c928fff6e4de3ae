"""The plan: ordered, deterministic, empty when converged, and never near a held VF."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from inventories import a_pf, a_pod, a_policy, a_vf, an_inventory, carried_out, pf_address

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import (
    GroupMember,
    InUse,
    Inventory,
    IommuGroup,
    Original,
    Pf,
    Unreadable,
)
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import (
    Bind,
    Forget,
    LoadModule,
    Plan,
    Probe,
    SetAutoprobe,
    SetDriverOverride,
    SetNumVfs,
    Settle,
    Unbind,
    describe,
    pf_of,
    too_often,
)

FREE = InUse(holders=())


def desired_of(inventory: Inventory, *policies: PolicyConfig, originals: tuple[Original, ...] = ()) -> Desired:
    return resolve(NodeConfig(policies=policies), inventory, originals).desired


def held(*vfs: tuple[int, int]) -> InUse:
    return InUse(holders=tuple(a_pod(a_vf(pf, index).address, "default", "dpdk") for pf, index in vfs))


def kinds(made: Plan) -> list[str]:
    return [type(step).__name__ for step in made.steps]


def test_from_nothing_autoprobe_goes_off_before_vfs_are_made_and_bound() -> None:
    inventory = an_inventory(a_pf(0))
    made = plan(inventory, desired_of(inventory, a_policy(count=2)), FREE)
    assert [describe(step) for step in made.steps] == [
        "0000:01:00.0: set sriov_drivers_autoprobe 1 -> 0",
        "0000:01:00.0: set sriov_numvfs 0 -> 2",
        "0000:01:00.0: wait for 2 VFs",
        "VF 0 of 0000:01:00.0: set driver_override vfio-pci",
        "VF 1 of 0000:01:00.0: set driver_override vfio-pci",
        "VF 0 of 0000:01:00.0: bind to vfio-pci",
        "VF 1 of 0000:01:00.0: bind to vfio-pci",
    ]
    assert made.displaces == ()


def test_a_resize_goes_through_zero_in_two_visible_steps() -> None:
    inventory = an_inventory(a_pf(0, vfs=7))
    made = plan(inventory, desired_of(inventory, a_policy(count=3)), FREE)
    assert [(s.value, s.expects) for s in made.steps if isinstance(s, SetNumVfs)] == [(0, 7), (3, 0)]
    assert len(made.displaces) == 7


def test_a_held_vf_blocks_the_resize_of_its_pf_and_of_no_other() -> None:
    inventory = an_inventory(a_pf(0, vfs=7), a_pf(1, vfs=7))
    made = plan(inventory, desired_of(inventory, a_policy(count=3)), held((0, 4)))
    assert {pf_of(step) for step in made.steps} == {pf_address(1)}
    (blocked,) = made.blocked
    assert (blocked.device, blocked.reason, blocked.holders) == (
        pf_address(0),
        Reason.VFS_IN_USE,
        held((0, 4)).holders,
    )
    assert "pod default/dpdk holds 0000:01:11.0" in blocked.message


def test_a_pf_that_waits_for_a_holder_says_what_it_would_displace_and_withdraws_nothing() -> None:
    inventory = an_inventory(a_pf(0, vfs=2))
    (resize,) = plan(inventory, desired_of(inventory, a_policy(count=3)), held((0, 1))).pfs
    assert (resize.steps, resize.displaces) == ((), ())
    assert [blocked.displaces for blocked in resize.blocked] == [(a_vf(0, 0).address, a_vf(0, 1).address)]
    bound = an_inventory(a_pf(0, vfs=2, driver="igbvf"))
    (part,) = plan(bound, desired_of(bound, a_policy(count=2)), held((0, 1))).pfs
    assert part.displaces == (a_vf(0, 0).address,)
    assert [blocked.displaces for blocked in part.blocked] == [(a_vf(0, 1).address,)]


def test_there_is_one_plan_for_each_pf_with_something_to_do_by_address() -> None:
    inventory = an_inventory(a_pf(0, vfs=7), a_pf(1), a_pf(2, vfs=7, driver="igbvf"))
    made = plan(inventory, desired_of(inventory, a_policy(count=7)), FREE)
    assert [part.pf for part in made.pfs] == [pf_address(1), pf_address(2)]
    assert [part.pf for part in made.calm.pfs] == [pf_address(1)], "making VFs where there are none displaces nobody"
    assert made.steps == tuple(step for part in made.pfs for step in part.steps)
    assert {pf_of(step) for step in made.pfs[0].steps} == {pf_address(1)}
    converged = an_inventory(a_pf(0, vfs=7))
    assert plan(converged, desired_of(converged, a_policy(count=7)), FREE).pfs == ()


def test_only_the_vf_on_the_wrong_driver_is_touched() -> None:
    pf = a_pf(0, vfs=7)
    drifted = replace(pf, vfs=(*pf.vfs[:3], a_vf(0, 3, "igbvf"), *pf.vfs[4:]))
    inventory = an_inventory(drifted)
    made = plan(inventory, desired_of(inventory, a_policy()), FREE)
    assert kinds(made) == ["Unbind", "SetDriverOverride", "Bind"]
    assert made.displaces == (drifted.vfs[3].address,)


def test_a_held_vf_on_the_wrong_driver_waits_and_its_neighbours_do_not() -> None:
    pf = replace(a_pf(0), autoprobe=False, vfs=(a_vf(0, 0, "igbvf"), a_vf(0, 1, "igbvf")))
    inventory = an_inventory(pf)
    made = plan(inventory, desired_of(inventory, a_policy(count=2)), held((0, 0)))
    assert [blocked.device for blocked in made.blocked] == [pf.vfs[0].address]
    assert {step.function.index for step in made.steps if isinstance(step, Unbind | Bind)} == {1}


def test_a_driver_that_is_not_registered_is_loaded_before_the_first_bind() -> None:
    inventory = replace(an_inventory(a_pf(0)), drivers=("igb",))
    made = plan(inventory, desired_of(inventory, a_policy(count=2)), FREE)
    names = kinds(made)
    assert names.count("LoadModule") == 1
    assert names.index("LoadModule") < names.index("Bind")
    assert LoadModule(pf=pf_address(0), module="vfio-pci") in made.steps


def test_the_kernel_driver_is_probed_without_an_override() -> None:
    net = PoolRequest(resource_name="virtfn.dev/net", indexes=None, driver="kernel")
    inventory = an_inventory(a_pf(0, vfs=1))
    made = plan(inventory, desired_of(inventory, a_policy(count=1, pools=(net,))), FREE)
    assert kinds(made) == ["Unbind", "SetDriverOverride", "Probe"]


def test_giving_back_ends_with_autoprobe_and_forgetting() -> None:
    inventory = an_inventory(a_pf(0, vfs=7))
    original = Original(address=pf_address(0), vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
    made = plan(inventory, desired_of(inventory, originals=(original,)), FREE)
    assert kinds(made) == ["SetNumVfs", "SetAutoprobe", "Forget"]


def test_what_is_held_is_given_back_later_and_not_forgotten() -> None:
    inventory = an_inventory(a_pf(0, vfs=7))
    original = Original(address=pf_address(0), vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
    made = plan(inventory, desired_of(inventory, originals=(original,)), held((0, 6)))
    assert made.steps == ()
    assert [blocked.reason for blocked in made.blocked] == [Reason.VFS_IN_USE]


def test_a_vf_in_a_spoiled_group_is_not_bound() -> None:
    pf = replace(a_pf(0), autoprobe=False, vfs=(a_vf(0, 0),))
    inventory = an_inventory(pf)
    intruder = GroupMember(address=pf_address(5), driver="e1000e", vfio_bound=False)
    groups = tuple(
        replace(g, members=(*g.members, intruder)) if g.number == pf.vfs[0].iommu_group else g for g in inventory.groups
    )
    made = plan(replace(inventory, groups=groups), desired_of(inventory, a_policy(count=1)), FREE)
    assert made.steps == ()
    assert [blocked.reason for blocked in made.blocked] == [Reason.GROUP_NOT_VIABLE]


def test_a_vf_without_a_group_is_not_bound() -> None:
    pf = replace(a_pf(0), autoprobe=False, vfs=(replace(a_vf(0, 0, "igbvf"), iommu_group=None),))
    inventory = an_inventory(pf)
    made = plan(inventory, desired_of(inventory, a_policy(count=1)), FREE)
    assert made.steps == ()
    assert [blocked.reason for blocked in made.blocked] == [Reason.NO_IOMMU]


def test_what_would_still_be_in_the_way_after_a_user_has_ended_is_said_before_the_user() -> None:
    pf = replace(a_pf(0), autoprobe=False, vfs=(a_vf(0, 0, "igbvf"),))
    inventory = an_inventory(pf)
    intruder = GroupMember(address=pf_address(5), driver="e1000e", vfio_bound=False)
    groups = tuple(replace(g, members=(*g.members, intruder)) for g in inventory.groups)
    made = plan(replace(inventory, groups=groups), desired_of(inventory, a_policy(count=1)), held((0, 0)))
    assert [blocked.reason for blocked in made.blocked] == [Reason.GROUP_NOT_VIABLE]


def test_two_vfs_of_one_group_do_not_spoil_it_for_each_other() -> None:
    pf = replace(a_pf(0), autoprobe=False, vfs=(a_vf(0, 0, "igbvf"), replace(a_vf(0, 1, "igbvf"), iommu_group=100)))
    inventory = an_inventory(pf)
    members = tuple(GroupMember(address=vf.address, driver=vf.driver, vfio_bound=False) for vf in pf.vfs)
    inventory = replace(inventory, groups=(IommuGroup(number=100, members=members),))
    made = plan(inventory, desired_of(inventory, a_policy(count=2)), FREE)
    assert made.blocked == ()
    assert kinds(made).count("Bind") == 2


def test_a_held_sibling_of_the_same_group_counts_as_holding() -> None:
    pf = a_pf(0, vfs=2)
    inventory = an_inventory(pf)
    members = tuple(GroupMember(address=vf.address, driver=vf.driver, vfio_bound=True) for vf in pf.vfs)
    shared = tuple(replace(vf, iommu_group=100) for vf in pf.vfs)
    inventory = replace(
        inventory, functions=(replace(pf, vfs=shared),), groups=(IommuGroup(number=100, members=members),)
    )
    net = PoolRequest(resource_name="virtfn.dev/net", indexes=(0,), driver="kernel")
    made = plan(inventory, desired_of(inventory, a_policy(count=2, pools=(net,))), held((0, 1)))
    assert made.steps == ()


def test_what_could_not_be_read_is_not_guessed() -> None:
    inventory = an_inventory(a_pf(0, vfs=2), a_pf(1))
    lost = Unreadable(device=a_vf(0, 1).address, path="driver_override", error="timed out")
    inventory = replace(inventory, unreadable=(lost,))
    made = plan(inventory, desired_of(inventory, a_policy(count=3)), FREE)
    assert {pf_of(step) for step in made.steps} == {pf_address(1)}
    assert [blocked.reason for blocked in made.blocked] == [Reason.UNREADABLE]


# --- laws ------------------------------------------------------------------------------------------------------------

drivers = st.sampled_from([None, "igbvf", "vfio-pci"])


@st.composite
def machines(draw: st.DrawFn) -> Inventory:
    return an_inventory(*(draw(_pfs(number)) for number in range(draw(st.integers(1, 3)))))


@st.composite
def _pfs(draw: st.DrawFn, number: int) -> Pf:
    vfs = [
        a_vf(number, index, draw(drivers), draw(st.sampled_from([None, "vfio-pci", "odd"])))
        for index in range(draw(st.integers(0, 7)))
    ]
    return replace(a_pf(number), autoprobe=draw(st.booleans()), vfs=tuple(vfs))


@st.composite
def policies(draw: st.DrawFn) -> tuple[PolicyConfig, ...]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        indexes = draw(st.none() | st.sets(st.integers(0, 6), min_size=1).map(lambda found: tuple(sorted(found))))
        pool = PoolRequest(
            resource_name=f"virtfn.dev/p{number}",
            indexes=indexes,
            driver=draw(st.sampled_from(["vfio-pci", "kernel"])),
        )
        count = draw(st.none() | st.integers(0, 8))
        made.append(a_policy(f"p{number}", count, pools=(pool,)))
    return tuple(made)


@st.composite
def original_states(draw: st.DrawFn) -> tuple[Original, ...]:
    numbers = draw(st.sets(st.integers(0, 2)))
    return tuple(
        Original(
            address=pf_address(number), vendor="8086", device="10c9", num_vfs=0, autoprobe=draw(st.booleans()), vfs=()
        )
        for number in sorted(numbers)
    )


@given(machines(), policies(), original_states())
def test_carrying_out_a_plan_converges(
    inventory: Inventory, asked: tuple[PolicyConfig, ...], originals: tuple[Original, ...]
) -> None:
    desired = desired_of(inventory, *asked, originals=originals)
    after = carried_out(plan(inventory, desired, FREE), inventory)
    assert verify(desired, after) == ()
    again = plan(after, desired, FREE)
    assert [step for step in again.steps if not isinstance(step, Forget)] == []


@given(machines(), policies(), original_states())
def test_the_same_input_gives_the_same_plan(
    inventory: Inventory, asked: tuple[PolicyConfig, ...], originals: tuple[Original, ...]
) -> None:
    desired = desired_of(inventory, *asked, originals=originals)
    assert plan(inventory, desired, FREE) == plan(inventory, desired, FREE)


@given(machines(), policies(), original_states())
def test_no_plan_comes_too_often_to_the_same(
    inventory: Inventory, asked: tuple[PolicyConfig, ...], originals: tuple[Original, ...]
) -> None:
    assert too_often(plan(inventory, desired_of(inventory, *asked, originals=originals), FREE)) is None


@given(machines(), policies(), original_states(), st.sets(st.tuples(st.integers(0, 2), st.integers(0, 6))))
def test_a_held_vf_is_never_disturbed(
    inventory: Inventory,
    asked: tuple[PolicyConfig, ...],
    originals: tuple[Original, ...],
    holding: set[tuple[int, int]],
) -> None:
    desired = desired_of(inventory, *asked, originals=originals)
    made = plan(inventory, desired, held(*sorted(holding)))
    protected = {a_vf(pf, index).address for pf, index in holding}
    assert not protected & set(made.displaces)
    emptied = {step.pf for step in made.steps if isinstance(step, SetNumVfs) and step.value == 0}
    assert not any(vf.address in protected for pf in inventory.pfs if pf.address in emptied for vf in pf.vfs)
    touching = [s.function.address for s in made.steps if isinstance(s, Unbind | Bind | Probe)]
    assert not protected & set(touching)


@given(machines(), policies())
def test_disturbs_names_every_vf_that_is_unbound_or_destroyed(
    inventory: Inventory, asked: tuple[PolicyConfig, ...]
) -> None:
    made = plan(inventory, desired_of(inventory, *asked), FREE)
    unbound = {s.function.address for s in made.steps if isinstance(s, Unbind)}
    emptied = {s.pf for s in made.steps if isinstance(s, SetNumVfs) and s.value == 0}
    destroyed = {vf.address for pf in inventory.pfs if pf.address in emptied for vf in pf.vfs}
    assert unbound | destroyed == set(made.displaces)


def test_steps_that_settle_follow_every_creation() -> None:
    inventory = an_inventory(a_pf(0))
    made = plan(inventory, desired_of(inventory, a_policy(count=1)), FREE)
    assert kinds(made)[:3] == ["SetAutoprobe", "SetNumVfs", "Settle"]
    assert isinstance(made.steps[0], SetAutoprobe)
    assert isinstance(made.steps[2], Settle)
    assert isinstance(made.steps[3], SetDriverOverride)
