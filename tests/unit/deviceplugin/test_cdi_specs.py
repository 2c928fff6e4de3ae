"""CDI specs, byte by byte, and the names under which runtimes find them. Pure; `golden/` has the specs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from virtfn_deviceplugin.grant.cdi import annotation, kinds
from virtfn_deviceplugin.grant.granted import Granted, grant
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.rdma import RdmaDevice

GOLDEN = Path(__file__).parent / "golden"
VF = PciAddress(0, 1, 0x10, 0)
NON_ROOT = Cdi(gid=107, mode="0660")


def granted(found: Shown, extras: Extras, name: str = "virtfn.dev/fast", number: int = 1) -> Granted:
    addresses = [VF._replace(function=n) for n in range(number)]
    devices = tuple(
        PoolDevice(address=a, driver=found.driver or "", numa_node=None, healthy=True, reason=None, no_iommu=True)
        for a in addresses
    )
    devices = tuple(replace(device, rdma=tuple(one.name for one in found.rdma)) for device in devices)
    pool = DevicePool(resource_name=name, devices=devices, extras=extras)
    return grant(PoolOffer.of(pool), [str(a) for a in addresses], lambda _: found)


def on_vfio(group: str | None = None, cdev: str | None = None, *, both: bool = False) -> Shown:
    node = None if group is None else f"/host/dev/vfio/{group}"
    return Shown(driver="vfio-pci", vfio_bound=True, group_node=node, cdev=cdev, both=both)


ON_KERNEL = Shown(driver="iavf", vfio_bound=False, group_node=None, cdev=None)
NODES = ("/dev/infiniband/issm3", "/dev/infiniband/umad3", "/dev/infiniband/uverbs3")
ON_MLX5 = replace(ON_KERNEL, driver="mlx5_core", rdma=(RdmaDevice(name="mlx5_3", nodes=NODES),))
GRANTED = {
    "vfio": granted(on_vfio("42"), Extras(cdi=Cdi())),
    "non-root": granted(on_vfio("42"), Extras(cdi=NON_ROOT)),
    "noiommu": granted(on_vfio("noiommu-7"), Extras(cdi=NON_ROOT)),
    "cdev": granted(on_vfio(cdev="vfio3"), Extras(cdi=NON_ROOT)),
    "iommufd": granted(on_vfio("42", "vfio3", both=True), Extras(cdi=NON_ROOT, iommufd=True)),
    "whole-function": granted(on_vfio("12"), Extras(cdi=Cdi()), "virtfn.dev/gpu"),
    "rdma": granted(ON_MLX5, Extras(cdi=NON_ROOT, rdma=True)),
    "vhost": granted(ON_KERNEL, Extras(cdi=NON_ROOT, vhost_net=True, tun=True)),
}


@pytest.mark.parametrize("name", GRANTED)
def test_the_specs_are_as_recorded(name: str) -> None:
    (function,) = GRANTED[name].functions
    lines = "".join(f"{spec.name}\n{spec.text}\n" for spec in function.specs)
    assert lines == (GOLDEN / f"{name}.cdi").read_text()


@pytest.mark.parametrize("name", GRANTED)
def test_nodes_come_by_cdi_or_as_device_nodes_and_the_environment_is_the_same(name: str) -> None:
    by_cdi = GRANTED[name]
    assert by_cdi.nodes == ()
    (spec, *_) = by_cdi.functions[0].specs
    nodes = json.loads(spec.text)["devices"][0]["containerEdits"]["deviceNodes"]
    plain = replace(by_cdi, by_cdi=False)
    assert [(node["hostPath"], node["path"]) for node in nodes] == [
        (node.host_path, node.container_path) for node in plain.nodes
    ]


def test_a_container_is_given_one_name_for_each_function_in_the_field_and_in_an_annotation() -> None:
    two = granted(on_vfio("42"), Extras(cdi=Cdi()), number=2)
    assert two.cdi_names == ("virtfn.dev/pci=0000:01:10.0", "virtfn.dev/pci=0000:01:10.1")
    assert two.annotations == {"cdi.k8s.io/virtfn_virtfn.dev_fast": ",".join(two.cdi_names)}


def test_a_function_without_device_nodes_has_no_spec_because_cdi_refuses_an_empty_one() -> None:
    none = granted(ON_KERNEL, Extras(cdi=Cdi()))
    assert (none.functions[0].specs, none.cdi_names, none.annotations) == ((), (), {})


@pytest.mark.parametrize("extras", [Extras(), Extras(iommufd=True, vhost_net=True)])
def test_without_cdi_there_is_nothing_of_it(extras: Extras) -> None:
    usual = granted(on_vfio("42", "vfio3", both=extras.iommufd), extras)
    assert (usual.functions[0].specs, usual.cdi_names, usual.annotations) == ((), (), {})
    assert usual.nodes != ()


@pytest.mark.parametrize(
    ("resource", "known"),
    [
        ("virtfn.dev/fast", ["virtfn.dev/pci", "virtfn.dev/fast"]),
        ("intel.com/sriov-net_2", ["virtfn.dev/pci", "intel.com/sriov-net_2"]),
        ("virtfn.dev/pci", ["virtfn.dev/pci"]),
        ("virtfn.dev/9p", ["virtfn.dev/pci"]),
        ("virtfn.dev/x", ["virtfn.dev/pci"]),
        ("3com.com/fast", ["virtfn.dev/pci"]),
    ],
)
def test_a_resource_name_that_cdi_does_not_take_is_found_by_pci_address_only(resource: str, known: list[str]) -> None:
    assert list(kinds(resource)) == known


@pytest.mark.parametrize(("name", "version"), [("virtfn.dev/fast", "0.5.0"), ("virtfn.dev/fast.2", "0.6.0")])
def test_the_version_is_the_first_that_takes_the_class(name: str, version: str) -> None:
    (_, by_resource) = granted(on_vfio("42"), Extras(cdi=Cdi()), name).functions[0].specs
    assert json.loads(by_resource.text)["cdiVersion"] == version


NAMES = ["a/b", "virtfn.dev/fast", "virtfn.dev/" + "f" * 63, "x" * 100 + ".dev/" + "f" * 63, "x" * 100 + ".dev/f"]


def test_keys_and_file_names_are_valid_and_different_for_each_resource() -> None:
    keys = [key for name in NAMES for key in annotation(name, ["a/b=c"])]
    assert all(re.fullmatch(r"cdi\.k8s\.io/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", key) for key in keys)
    files = [granted(on_vfio("42"), Extras(cdi=Cdi()), name).functions[0].specs[-1].name for name in NAMES[1:]]
    assert len(set(keys)) == len(NAMES)
    assert len(set(files)) == len(files)
    assert max(map(len, files)) < 120
