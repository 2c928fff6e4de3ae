"""One check, one sentence: `explain` and `virtfn bind` never say two things of one function, nor plan and policy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from inventories import a_policy, carried_out
from odd_machines import odd_machines, users_of

from virtfn_host.core.tell.explain import Explanation, Surroundings, described, explain
from virtfn_host.core.turn.by_hand import bound
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.model import InUse, Inventory
from virtfn_host.core.values.offered import PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason

AROUND = Surroundings(
    iommus=("dmar0",), firmware_tables=("DMAR",), command_line="", modules=(), aliases="", drivers=("igb",)
)
Machine = tuple[Inventory, InUse]
LONG = settings(max_examples=1000, database=None, derandomize=True, phases=[Phase.generate])
"""For one machine that shows it; that it is a small one does not matter."""


@st.composite
def used_machines(draw: st.DrawFn) -> Machine:
    inventory = draw(odd_machines())
    return inventory, draw(users_of(inventory))


def told(inventory: Inventory, in_use: InUse, address: PciAddress) -> Explanation:
    function = described(inventory, address)
    assert function is not None
    return explain(function, inventory, AROUND, in_use.of(address))


def refused(resolution: Resolution, inventory: Inventory, in_use: InUse) -> tuple[Reason, str] | None:
    """What is said first on the way to what is asked: it is refused, it waits, or it is not so afterwards."""
    if resolution.rejected:
        return resolution.rejected[0].reason, resolution.rejected[0].message
    made = plan(inventory, resolution.desired, in_use)
    if made.blocked:
        return made.blocked[0].reason, made.blocked[0].message
    mismatches = verify(resolution.desired, carried_out(made, inventory))
    return (mismatches[0].reason, mismatches[0].message) if mismatches else None


def hand_disagreement(machine: Machine) -> str | None:
    """The first function of which `explain` says another thing than `virtfn bind`, to the driver it has or vfio-pci."""
    inventory, in_use = machine
    for function in inventory.every:
        driver = function.driver if function.vfio_bound and function.driver else "vfio-pci"
        said = refused(bound(inventory, function.address, driver), inventory, in_use)
        found = told(inventory, in_use, function.address).hindrances
        if (said[0] if said else None) != (found[0].reason if found else None):
            return f"{function.address}: bind says {said}, explain {found}"
        if said and found and found[0].message not in said[1]:
            return f"{function.address}: bind says {said[1]!r}, explain {found[0].message!r}"
    return None


def vfs_disagreement(machine: Machine) -> str | None:
    """The first PF without VFs of whose VFs `explain` says another thing than a policy that asks for one."""
    inventory, _ = machine
    nobody = InUse(holders=())
    for pf in (pf for pf in inventory.pfs if not pf.vfs):
        policy = a_policy(count=1, devices=(DeviceMatcher(address=pf.address),))
        resolution = resolve(NodeConfig(policies=(policy,)), inventory, ())
        made = plan(inventory, resolution.desired, nobody)
        said = [it.reason for it in resolution.rejected] + [it.reason for it in made.blocked]
        found = told(inventory, nobody, pf.address).vf_hindrances
        assert found is not None
        if said[:1] != [it.reason for it in found[:1]]:
            return f"{pf.address}: a policy is told {said}, explain says {found}"
    return None


WHOLE = a_policy(
    count=None,
    pools=(),
    devices=(DeviceMatcher(class_code="02"),),
    whole=WholeRequest(resource_name="virtfn.dev/nic", driver="vfio-pci"),
)
NOBODY = InUse(holders=())


def offered(inventory: Inventory, in_use: InUse, *policies: PolicyConfig) -> dict[PciAddress, PoolDevice]:
    """What these policies offer of a machine, whatever is in use, without an earlier offer."""
    desired = resolve(NodeConfig(policies=policies), inventory, ()).desired
    published = pools(
        desired=desired,
        inventory=inventory,
        in_use=in_use,
        plan=plan(inventory, desired, in_use),
        previous=PoolSet(boot_id=inventory.boot_id, pools=()),
        withdrawn=frozenset(),
    )
    return {device.address: device for pool in published.pools for device in pool.devices}


def of_its_own(inventory: Inventory, address: PciAddress) -> Inventory:
    """The same machine where nothing is unreadable but of this function: the plan waits for its siblings, not a pod."""
    return replace(inventory, unreadable=tuple(lost for lost in inventory.unreadable if lost.device == address))


def offer_disagreement(machine: Machine) -> str | None:
    """The first function on its driver that is healthy where `explain` says it does not work, or the other way."""
    inventory, _ = machine
    there = {f.address: f for f in inventory.every}
    devices = [*offered(inventory, NOBODY, a_policy(count=None)).values(), *offered(inventory, NOBODY, WHOLE).values()]
    for device in devices:
        function = there[device.address]
        if not (function.driver == "vfio-pci" == function.driver_override) or shares(device):
            continue
        found = told(of_its_own(inventory, device.address), NOBODY, device.address).hindrances
        if device.reason != (found[0].reason if found else None):
            return f"{device.address}: offered with {device.reason}, explain says {found}"
    return None


def shares(device: PoolDevice) -> bool:
    return device.reason is Reason.NOT_USABLE and (device.message or "").startswith("shares IOMMU group")


def sharing_disagreement(machine: Machine) -> str | None:
    """The first IOMMU group of which two functions are healthy; or none is, though each would be alone."""
    inventory, in_use = machine
    groups: dict[int | None, list[PoolDevice]] = {}
    there = {f.address: f for f in inventory.every}
    for device in offered(inventory, in_use, a_policy(count=None), WHOLE).values():
        if there[device.address].vfio_bound:
            groups.setdefault(there[device.address].iommu_group, []).append(device)
    for number, devices in groups.items():
        healthy = [device for device in devices if device.healthy]
        if len(healthy) > 1:
            return f"{', '.join(str(device.address) for device in healthy)} are healthy in group {number}"
        if not healthy and all(map(shares, devices)):
            return f"every function of group {number} is withheld for another one"
    return None


@settings(max_examples=300)
@given(used_machines())
def test_explain_says_works_exactly_where_bind_plans_it_and_else_the_same_reason(machine: Machine) -> None:
    assert hand_disagreement(machine) is None


@settings(max_examples=300)
@given(used_machines())
def test_explain_says_of_vfs_what_a_policy_is_told_that_asks_for_one(machine: Machine) -> None:
    assert vfs_disagreement(machine) is None


@settings(max_examples=300)
@given(used_machines())
def test_explain_says_works_exactly_where_the_pool_is_healthy_and_else_the_same_reason(machine: Machine) -> None:
    assert offer_disagreement(machine) is None


@settings(max_examples=300)
@given(used_machines())
def test_of_an_iommu_group_one_function_is_healthy(machine: Machine) -> None:
    assert sharing_disagreement(machine) is None


def test_every_reason_is_drawn_and_also_that_nothing_is_in_the_way() -> None:
    """A law about machines that are all the same would say nothing."""

    def has(reason: Reason | None) -> Callable[[Machine], bool]:
        def first_word(machine: Machine) -> bool:
            inventory, in_use = machine
            every = (told(inventory, in_use, f.address).hindrances for f in inventory.every)
            return reason in {found[0].reason if found else None for found in every}

        return first_word

    words = ["NeededByMachine", "FunctionTaken", "NoIommu", "Unreadable", "ModuleMissing", "GroupNotViable", "VfsInUse"]
    words.append("NotUsable")
    for reason in (None, *map(Reason, words)):
        find(used_machines(), has(reason), settings=LONG)


# --- a check that one caller forgets is noticed -----------------------------------------------------------------------

TURN, TELL = "virtfn_host.core.turn", "virtfn_host.core.tell"
BY_HAND, EXPLAIN = f"{TURN}.by_hand", f"{TELL}.explain"
HEALTHY = "virtfn_host.core.checks.healthy"
NOTHING: dict[str, object] = {"unreadable": (), "usable": (), "lacking": (), "withheld": {}}
"""What a check finds that finds nothing, where that is not None."""
FORGOTTEN = [
    *[(BY_HAND, name, hand_disagreement) for name in ("needed", "has_vfs", "no_iommu", "vf_token")],
    *[(f"{TURN}.plan", name, hand_disagreement) for name in ("unreadable", "shared_group", "held")],
    (f"{TURN}.plan", "wanted_driver_trouble", hand_disagreement),
    (f"{TURN}.verify", "usable", hand_disagreement),
    *[(EXPLAIN, name, hand_disagreement) for name in ("needed", "has_vfs", "no_iommu", "unreadable")],
    *[(EXPLAIN, name, hand_disagreement) for name in ("driver_trouble", "shared_group", "held", "vf_token", "lacking")],
    *[
        (module, name, vfs_disagreement)
        for module in (f"{TURN}.resolve", EXPLAIN)
        for name in ("offers_no_vfs", "no_pf_driver", "no_iommu", "behind_port")
    ],
    (f"{TURN}.pools", "usable", offer_disagreement),
    (f"{TURN}.pools", "withheld", sharing_disagreement),
    *[(HEALTHY, name, offer_disagreement) for name in ("no_iommu", "shared_group", "lacking", "_unknown")],
]


@contextmanager
def forgotten(module: ModuleType, name: str) -> Iterator[None]:
    """One caller that finds nothing in its way, whatever the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, lambda *_, **__: NOTHING.get(name))
        yield


@pytest.mark.parametrize(
    ("path", "name", "disagreement"),
    FORGOTTEN,
    ids=[f"{p.rpartition('.')[2]}-{n}-{d.__name__}" for p, n, d in FORGOTTEN],
)
def test_a_caller_that_forgets_a_check_is_found_out(
    path: str, name: str, disagreement: Callable[[Machine], str | None]
) -> None:
    try:
        with forgotten(import_module(path), name):
            find(
                used_machines(),
                lambda machine: disagreement(machine) is not None,
                settings=LONG,
            )
    except NoSuchExample:
        pytest.fail(f"{path} can do without {name}, and nothing notices")
