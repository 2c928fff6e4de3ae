"""Where a policy would take other functions than the configuration, nothing is printed for use, and it is said why."""

from typing import Any

import pytest
from translated import briefly, expect_taken, policies, said, sriovdp_config

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.sriovdp import translate_sriovdp


def translated(*selectors: object, **fields: object) -> Translation:
    return translate_sriovdp(
        [sriovdp_config(*({"resourceName": f"r{n}", "selectors": it, **fields} for n, it in enumerate(selectors)))]
    )


@pytest.mark.parametrize(
    ("selectors", "why"),
    [
        ({"vendors": ["1234"], "devices": ["9999"]}, "devices 9999: virtfn does not know it; write the PF's ID"),
        ({"vendors": ["15b3"], "devices": ["154c"]}, "devices 154c: virtfn does not know it"),
        ({"pciAddresses": ["0000:03:02.0", "0000:03:02.1"]}, "pciAddresses: these are VFs; write their PF's address"),
        ({"drivers": ["vfio-pci"]}, "no vendor, device, PF or link type is named"),
        ({}, "no vendor, device, PF or link type is named"),
        (None, "no vendor, device, PF or link type is named"),
        ({"pfNames": ["a"], "acpiIndexes": ["101"]}, "acpiIndexes: a policy does not choose by ACPI index"),
        ({"pfNames": ["a"], "ddpProfiles": ["GTPv1-C/U"]}, "ddpProfiles: a policy does not choose by the PF's DDP"),
        ({"pfNames": ["a"], "pKeys": ["0x7fff"]}, "pKeys: a policy does not choose by partition key"),
        ({"pfNames": ["a"], "vdpaType": "vhost"}, "vdpaType: virtfn makes and offers no vdpa devices"),
        ({"pfNames": ["a"], "drivers": ["iavf", "vfio-pci"]}, "iavf and vfio-pci are for different uses"),
        ([{"pfNames": ["a"], "drivers": ["iavf"]}, {"pfNames": ["b"], "drivers": ["vfio-pci"]}], "different uses"),
    ],
)
def test_what_a_policy_cannot_select_is_left_to_a_person(selectors: object, why: str) -> None:
    found = translated(selectors)
    assert why in said(found)
    assert not any(one.usable for one in found.results)
    assert {name for _, name, *_ in briefly(found)} == {"intel.com/r0"}
    expect_taken(found)


def test_a_function_that_is_no_pci_function_has_no_policy() -> None:
    found = translated({"pfNames": ["ens1"], "auxTypes": ["sf"]}, deviceType="auxNetDevice")
    assert policies(found) == []
    assert "virtfn offers PCI functions, and no auxiliary devices" in said(found)
    assert not any(one.usable for one in found.results)


BY_DRIVER: dict[str, Any] = {"vendors": ["8086"], "devices": ["154c"]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({**BY_DRIVER, "drivers": ["iavf"]}, {**BY_DRIVER, "drivers": ["vfio-pci"]}),
        ({**BY_DRIVER, "drivers": ["iavf"]}, {"pfNames": ["ens1f0"], "drivers": ["vfio-pci"]}),
        ({**BY_DRIVER, "drivers": ["iavf"]}, {"devices": ["10ed", "9999"], "pfNames": ["e"], "drivers": ["vfio-pci"]}),
        ({"vendors": ["15b3"], "isRdma": True}, {"vendors": ["15b3"]}),
        ({"pfNames": ["ens1f0"]}, {"rootDevices": ["0000:01:00.0"], "drivers": ["vfio-pci"]}),
    ],
)
def test_resources_that_divide_the_same_pfs_otherwise_than_by_index(one: object, other: object) -> None:
    found = translated(one, other)
    assert "intel.com/r1 takes VFs of the same PFs, and a policy chooses by index: give each pool `indexes`" in said(
        found
    )
    assert not any(result.usable for result in found.results)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"pfNames": ["ens1f0"]}, {"pfNames": ["ens1f1"]}),
        ({"vendors": ["8086"]}, {"vendors": ["15b3"]}),
        ({"vendors": ["8086"], "devices": ["154c"]}, {"vendors": ["8086"], "devices": ["1889"]}),
        ({"pfNames": ["ens1f0#0-3"]}, {"pfNames": ["ens1f0#4-7"]}),
        ({**BY_DRIVER, "drivers": ["iavf"]}, {"devices": ["10ed"], "pfNames": ["ens1f0"], "drivers": ["vfio-pci"]}),
        ({**BY_DRIVER, "drivers": ["iavf"]}, {"linkTypes": ["infiniband"], "isRdma": True}),
        ({"vendors": ["8086"], "pfNames": ["ens1f0"]}, {"linkTypes": ["infiniband"]}),
        ({"linkTypes": ["ether"], "vendors": ["15b3"]}, {"linkTypes": ["infiniband"], "vendors": ["15b3"]}),
    ],
)
def test_resources_of_different_vfs_stay_as_they_are(one: object, other: object) -> None:
    found = translated(one, other)
    assert all(result.usable for result in found.results)
    assert [it.document["spec"].get("priority") for it in policies(found) if it.document] == [None, None]


@pytest.mark.parametrize(
    "undecided",
    [{"drivers": ["vfio-pci"]}, {"pciAddresses": ["0000:03:02.0"]}, {"vendors": ["8086"], "devices": ["9999"]}],
)
def test_what_is_not_decided_is_a_warning_for_the_others(undecided: object) -> None:
    found = translated({"vendors": ["8086"], "pfNames": ["ens1"], "drivers": ["iavf"]}, undecided)
    assert [result.usable for result in found.results] == [True, False]
    assert "intel.com/r1, which you must decide, may mean VFs of the same PFs" in found.results[0].notes[-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"pfNames": ["ens1f0#0-4"]}, {"pfNames": ["ens1f0#4-7"]}),
        ({"pfNames": ["ens1f0"]}, {"pfNames": ["ens1f0#4-7"]}),
        ({"pfNames": ["ens1f0#0-4"]}, {"pfNames": ["ens1f0"], "drivers": ["vfio-pci"]}),
        ({"vendors": ["15b3"], "devices": ["1018"]}, {"linkTypes": ["infiniband"]}),
    ],
)
def test_of_two_that_name_a_vf_the_earlier_gets_it(one: object, other: object) -> None:
    found = translated(one, other)
    assert all(result.usable for result in found.results)
    assert [name for _, name, *_ in briefly(found)] == ["intel.com/r0", "intel.com/r1"]
    assert [it.document["spec"]["priority"] for it in policies(found) if it.document] == [2, 1]
    assert "VFs that intel.com/r0 names too go to that, which comes first" in said(found)


def test_where_drivers_divide_vfs_the_resource_with_a_range_comes_first() -> None:
    found = translated({"pfNames": ["ens1f0"], "drivers": ["vfio-pci"]}, {"pfNames": ["ens1f0#4-7"]})
    assert [name for _, name, *_ in briefly(found)] == ["intel.com/r1", "intel.com/r0"]
    assert "VFs that intel.com/r1 names too go to that, which comes first" in said(found)
