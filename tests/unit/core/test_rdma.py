"""A function whose pool gives RDMA nodes is usable only while it has them, and the pool file names its devices."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.checks.healthy import usable
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import CodecError, encode
from virtfn_host.core.values.desired import Desired, NodeConfig
from virtfn_host.core.values.envelope import dumps, loads
from virtfn_host.core.values.extras import Extras
from virtfn_host.core.values.model import InUse, Inventory, Pf, Unreadable
from virtfn_host.core.values.offered import Grant, Grants, PoolDevice, PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.rdma import RDMA_CM, RdmaDevice

VERBS, UMAD, ISSM = "/dev/infiniband/uverbs0", "/dev/infiniband/umad0", "/dev/infiniband/issm0"
MLX = RdmaDevice(name="mlx5_3", nodes=(ISSM, UMAD, VERBS))
BLIND = RdmaDevice(name="mlx5_3", nodes=(ISSM, UMAD))


def a_machine(*devices: RdmaDevice, cm: bool = True, exclusive: bool = False) -> tuple[Inventory, Pf]:
    """A PF with VFs on their own driver, of which the first has these RDMA devices."""
    pf = a_pf(0, vfs=2)
    vfs = tuple(replace(vf, driver="mlx5_core", vfio_bound=False, driver_override=None, lacks=()) for vf in pf.vfs)
    pf = replace(pf, vfs=(replace(vfs[0], rdma=devices), *vfs[1:]))
    inventory = replace(an_inventory(pf), nodes_beside=(RDMA_CM,) if cm else (), rdma_exclusive=exclusive)
    return inventory, pf


def desired(inventory: Inventory, extras: Extras) -> Desired:
    policy = a_policy(count=2)
    asked = replace(policy.pools[0], driver="kernel", extras=extras, indexes=None, resource_name="virtfn.dev/rdma")
    return resolve(NodeConfig(policies=(replace(policy, pools=(asked,)),)), inventory, ()).desired


ASKED = Extras(rdma=True)


def said(inventory: Inventory, pf: Pf, extras: Extras = ASKED) -> list[str]:
    wanted = desired(inventory, extras).pfs[0].vfs[0]
    return [found.text for found in usable(wanted, pf.vfs[0], inventory)]


@pytest.mark.parametrize("devices", [(MLX,), (replace(MLX, nodes=(VERBS,)),), (MLX, replace(MLX, name="mlx5_4"))])
def test_a_function_with_its_devices_is_usable(devices: tuple[RdmaDevice, ...]) -> None:
    assert said(*a_machine(*devices)) == []


@pytest.mark.parametrize("devices", [(), (BLIND,), (MLX,)])
def test_a_pool_that_does_not_give_them_needs_none(devices: tuple[RdmaDevice, ...]) -> None:
    assert said(*a_machine(*devices, cm=False), Extras()) == []


@pytest.mark.parametrize(
    ("machine", "begin", "remedy"),
    [
        (a_machine(), "has no RDMA device, which grant.rdma asks for", "is its RDMA module loaded"),
        (a_machine(exclusive=True), "has no RDMA device, which grant.rdma asks for", "`rdma system` says exclusive"),
        (a_machine(BLIND), "has RDMA device mlx5_3 without a uverbs node", "`modprobe ib_uverbs` makes it"),
        (a_machine(MLX, cm=False), f"has no {RDMA_CM} beside it, which grant.rdma asks for", "`modprobe rdma_ucm`"),
    ],
)
def test_what_is_missing_is_said_with_the_next_step(machine: tuple[Inventory, Pf], begin: str, remedy: str) -> None:
    (text,) = said(*machine)
    assert text.startswith(begin)
    assert text.partition("; ")[2].startswith(remedy)


@pytest.mark.parametrize("asked", [True, False])
def test_what_cannot_be_read_is_no_device_and_is_told_where_it_is_asked_for(asked: bool) -> None:
    inventory, pf = a_machine()
    lost = Unreadable(device=pf.vfs[0].address, path="/sys/x/ibdev", error="Input/output error", part=Part.RDMA)
    text = "/sys/x/ibdev could not be read: Input/output error; unknown counts as not usable"
    found = said(replace(inventory, unreadable=(lost,)), pf, Extras(rdma=asked))
    assert found == ([text] if asked else [])


def published(inventory: Inventory, extras: Extras) -> dict[PciAddress, PoolDevice]:
    wanted, nobody = desired(inventory, extras), InUse(holders=())
    made = pools(
        desired=wanted,
        inventory=inventory,
        in_use=nobody,
        plan=plan(inventory, wanted, nobody),
        previous=PoolSet(boot_id=inventory.boot_id, pools=()),
        withdrawn=frozenset(),
    )
    return {device.address: device for pool in made.pools for device in pool.devices}


@pytest.mark.parametrize(("asked", "names"), [(True, ("mlx5_3",)), (False, ())])
def test_the_pool_file_names_the_devices_that_containers_get(asked: bool, names: tuple[str, ...]) -> None:
    inventory, pf = a_machine(MLX)
    first, second = (published(inventory, Extras(rdma=asked))[vf.address] for vf in pf.vfs)
    assert (first.rdma, first.healthy) == (names, True)
    assert (second.rdma, second.healthy) == ((), not asked)


@pytest.mark.parametrize("devices", [(), (MLX,), (MLX, RdmaDevice(name="rxe0", nodes=(VERBS,), virtual=True))])
def test_a_look_says_the_same_after_it_is_read(devices: tuple[RdmaDevice, ...]) -> None:
    inventory, _ = a_machine(*devices)
    assert loads(Inventory, dumps(inventory)) == inventory
    assert ('"rdma"' in dumps(inventory)) is bool(devices)


@pytest.mark.parametrize(
    "node", ["/dev/sda", "/dev/infiniband/../sda", "/dev/infiniband/uverbs", "uverbs0", RDMA_CM, ""]
)
def test_no_other_path_is_taken_for_a_node_of_an_rdma_device(node: str) -> None:
    grant = Grant(address=PciAddress(0, 1, 0, 0), resource_name="a/b", driver="mlx5_core", nodes=(), boot_id="b")
    text = dumps(Grants(grants=(replace(grant, rdma=(replace(MLX, nodes=(node,)),)),)))
    with pytest.raises(CodecError):
        loads(Grants, text)


@pytest.mark.parametrize(("rdma", "needed"), [((), False), ((MLX,), True), ((MLX, BLIND), True)])
def test_only_grants_with_rdma_devices_need_a_reader_that_knows_them(
    rdma: tuple[RdmaDevice, ...], needed: bool
) -> None:
    grant = Grant(address=PciAddress(0, 1, 0, 0), resource_name="a/b", driver="mlx5_core", nodes=(), boot_id="b")
    text = dumps(Grants(grants=(replace(grant, rdma=rdma),)))
    assert ('"needs":["grants.rdma"]' in text) is needed
    assert ("rdma" in encode(replace(grant, rdma=rdma))) is needed
