"""Make inventories in one line, and apply a plan to one: the model only, without a real or fake machine."""

from dataclasses import fields, replace
from dataclasses import fields as dataclass_fields
from typing import Any

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, PoolRequest
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.link import mentioned
from virtfn_host.core.values.mac import ZERO_MAC
from virtfn_host.core.values.model import (
    Function,
    GroupMember,
    Inventory,
    IommuGroup,
    LinkRequest,
    LinkState,
    Pf,
    Vf,
    VfLink,
)
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.steps import (
    Bind,
    Forget,
    FunctionRef,
    LoadModule,
    NoteClaims,
    Plan,
    Probe,
    SetAutoprobe,
    SetDriverOverride,
    SetLink,
    SetMtu,
    SetNumVfs,
    Settle,
    Step,
    Unbind,
)

IGB = DeviceMatcher(vendor="8086", device="10c9")
DRIVERS = ("igb", "igbvf", "pcieport", "vfio-pci")
NEW_LINK = VfLink(
    mac=ZERO_MAC,
    vlan=0,
    vlan_qos=0,
    trust=False,
    spoof_check=True,
    min_tx_rate=0,
    max_tx_rate=0,
    link_state=LinkState.AUTO,
)
"""Link settings that igb shows of a new VF."""


def a_pod(address: PciAddress, namespace: str = "a", name: str = "b") -> Holder:
    """Return a holder: a pod that has this function according to the kubelet."""
    return Holder(address=address, cause=Cause.KUBELET, pod=Pod(namespace=namespace, name=name))


def pf_address(number: int) -> PciAddress:
    """Return the address of a PF by number, counted from 0."""
    return PciAddress(0, number + 1, 0, 0)


def a_vf(pf: int, index: int, driver: str | None = None, override: str | None = None) -> Vf:
    """Return a VF of PF number `pf`, at the address where an 82576 has it."""
    return Vf(
        address=PciAddress(0, pf + 1, 0x10 + index // 4, index % 4 * 2),
        pf=pf_address(pf),
        index=index,
        vendor="8086",
        device="10ca",
        class_code="020000",
        numa_node=None,
        driver=driver,
        driver_override=override,
        iommu_group=100 * (pf + 1) + index,
        vfio_bound=driver == "vfio-pci",
        netdevs=(),
    )


def a_pf(number: int, vfs: int = 0, driver: str | None = "vfio-pci", **fields: object) -> Pf:
    """Return an igb PF with VFs, all on one driver."""
    override = "vfio-pci" if driver == "vfio-pci" else None
    pf = Pf(
        address=pf_address(number),
        vendor="8086",
        device="10c9",
        class_code="020000",
        driver="igb",
        driver_override=None,
        vfio_bound=False,
        netdevs=(f"eth{number}",),
        numa_node=None,
        iommu_group=number,
        total_vfs=7,
        autoprobe=not vfs,
        vfs=tuple(a_vf(number, index, driver, override) for index in range(vfs)),
    )
    return replace(pf, **fields)  # type: ignore[arg-type]


def a_plain(number: int, **fields: Any) -> Function:
    """Return a function without SR-IOV, in all else like that PF."""
    pf = a_pf(number)
    return Function(**{one.name: getattr(pf, one.name) for one in dataclass_fields(Function)} | fields)


def a_linked_pf(number: int, vfs: int = 0, link: VfLink = NEW_LINK, **fields: object) -> Pf:
    """Return an igb PF that is up and whose link settings were read; every VF has the same ones."""
    pf = a_pf(number, vfs, netdev_up=True, mac=f"52:54:00:00:00:{number:02x}")
    pf = replace(pf, vfs=tuple(replace(vf, link=link) for vf in pf.vfs))
    return replace(pf, **fields)  # type: ignore[arg-type]


def an_inventory(*those: Function, **fields: object) -> Inventory:
    """Return a machine with these functions and VFs of theirs, every function in an IOMMU group of its own."""
    groups = [
        IommuGroup(
            number=f.iommu_group,
            members=(GroupMember(address=f.address, driver=f.driver, vfio_bound=f.vfio_bound),),
        )
        for f in (member for function in those for member in function.family)
        if f.iommu_group is not None
    ]
    inventory = Inventory(
        boot_id="boot-1",
        kernel="6.1.0",
        drivers=DRIVERS,
        functions=those,
        groups=tuple(sorted(groups, key=lambda g: g.number)),
        unreadable=(),
    )
    return replace(inventory, **fields)  # type: ignore[arg-type]


def a_policy(name: str = "fast", count: int | None = 7, **fields: object) -> PolicyConfig:
    """Return a policy that offers every VF of every igb PF as `virtfn.dev/NAME`."""
    pool = PoolRequest(resource_name=f"virtfn.dev/{name}", indexes=None, driver="vfio-pci")
    policy = PolicyConfig(
        name=name, uid=f"uid-{name}", generation=1, devices=(IGB,), count=count, pools=(pool,) if count != 0 else ()
    )
    return replace(policy, **fields)  # type: ignore[arg-type]


def a_link_policy(name: str = "fast", count: int | None = 7, **link: Any) -> PolicyConfig:
    """Return `a_policy` with link settings."""
    policy = a_policy(name, count)
    request = LinkRequest(**link)
    return replace(policy, pools=tuple(replace(pool, link=request) for pool in policy.pools))


def carried_out(plan: Plan, inventory: Inventory) -> Inventory:
    """Return the machine after every step of a plan, as a kernel that refuses nothing would leave it.

    The only simulator beside the fake kernel. The laws of the pure core are tried on tens of thousands of plans; a plan
    takes fifteen times as long on the fake kernel (4 ms), which cannot be every machine that they need. Here netdevs
    have no names and new groups no true numbers. tests/contract/test_on_values.py compares the two.
    """
    after = inventory
    for step in plan.steps:
        after = _after(step, after)
    return _regrouped(after, inventory)


def _regrouped(inventory: Inventory, before: Inventory) -> Inventory:
    """Keep groups of functions that remain; give each new function a group of its own."""
    alone = an_inventory(*inventory.functions)
    now = {member.address: member for group in alone.groups for member in group.members}
    ours = {f.address for f in before.every}
    stayed = {(f.address, f.iommu_group) for f in inventory.every}
    kept = {
        group.number: tuple(
            now.get(m.address, m) for m in group.members if m.address not in ours or (m.address, group.number) in stayed
        )
        for group in inventory.groups
    }
    made = {group.number: group.members for group in alone.groups if group.number not in kept}
    groups = (IommuGroup(number=number, members=members) for number, members in (kept | made).items() if members)
    return replace(inventory, groups=tuple(groups))


def _after(step: Step, inventory: Inventory) -> Inventory:
    match step:
        case LoadModule(module=module):
            return replace(inventory, drivers=(*inventory.drivers, module))
        case SetAutoprobe(pf=pf, value=value):
            return _with_pf(inventory, pf, autoprobe=value)
        case SetNumVfs(pf=pf, value=value, expects=expects):
            there = inventory.pf(pf)
            assert there is not None
            assert there.num_vfs == expects
            assert 0 in (value, expects)
            driver = "igbvf" if there.autoprobe else None
            link = NEW_LINK if there.netdev_up is not None else None
            made = (replace(a_vf(pf.bus - 1, index, driver), link=link) for index in range(value))
            return _with_pf(inventory, pf, vfs=tuple(made))
        case Unbind(function=function, expects=driver):
            gone = {"driver": None, "vfio_bound": False, "lacks": ()}
            return _with_vf(inventory, function.pf, function.index, expects=driver, **gone)
        case SetDriverOverride(function=function, value=value):
            return _with_vf(inventory, function.pf, function.index, driver_override=value)
        case Bind(function=function, driver=driver):
            assert driver in inventory.drivers
            lacks = _new_netdev(inventory, function) if "vfio" not in driver else ()
            return _with_vf(
                inventory, function.pf, function.index, driver=driver, vfio_bound="vfio" in driver, lacks=lacks
            )
        case Probe(function=function):
            lacks = _new_netdev(inventory, function)
            return _with_vf(inventory, function.pf, function.index, driver="igbvf", vfio_bound=False, lacks=lacks)
        case SetLink(function=function, value=value):
            pf_there = inventory.pf(function.pf)
            vf = pf_there.vf(function.index or 0) if pf_there else None
            assert vf is not None
            assert vf.link is not None
            assert step.expects in (None, mentioned(vf.link, value))
            given = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) is not None}
            return _with_vf(inventory, function.pf, function.index, link=replace(vf.link, **given))
        case SetMtu(function=function, value=value):
            return _with_vf(inventory, function.pf, function.index, mtu=value)
        case Settle() | Forget() | NoteClaims():
            return inventory


def _new_netdev(inventory: Inventory, function: FunctionRef) -> tuple[Part, ...]:
    """What a function lacks of which a driver has just made the netdev: that is down. VFs show their PF's link."""
    there = inventory.find(function.pf)
    return (Part.UP,) if function.index is None and there is not None and there.class_code.startswith("02") else ()


def _with_pf(inventory: Inventory, address: PciAddress, **fields: object) -> Inventory:
    there = tuple(replace(f, **fields) if f.address == address else f for f in inventory.functions)  # type: ignore[arg-type]
    return replace(inventory, functions=there)


def _with_vf(
    inventory: Inventory, pf: PciAddress, index: int | None, expects: str | None = None, **fields: object
) -> Inventory:
    there = inventory.find(pf)
    assert there is not None
    if index is None:
        assert "driver" not in fields or there.driver == expects or expects is None
        return _with_pf(inventory, pf, **fields)
    assert isinstance(there, Pf)
    vf = there.vf(index)
    assert vf is not None
    assert "driver" not in fields or vf.driver == expects or expects is None
    vfs = tuple(replace(v, **fields) if v.index == index else v for v in there.vfs)  # type: ignore[arg-type]
    return _with_pf(inventory, pf, vfs=vfs)
