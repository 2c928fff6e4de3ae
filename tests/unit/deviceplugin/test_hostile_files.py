"""Files of other programs that grants depend on: whatever is in them, they are read as what they say, or as unknown."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_deviceplugin.checkpoint import held
from virtfn_deviceplugin.grant.device_info import is_about
from virtfn_host.core.values.address import PciAddress

VF = PciAddress(0, 1, 0x10, 0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "pci", "pci-address", "Data", "PodDeviceEntries"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_device_info_are_not_about_a_function(data: bytes) -> None:
    assert not is_about(data, VF)


@given(JSON)
def test_json_is_about_a_function_only_if_it_says_so(value: object) -> None:
    found = is_about(json.dumps(value).encode(), VF)
    assert found is (isinstance(value, dict) and value.get("type") == "pci" and str(VF) in json.dumps(value.get("pci")))


def entries(*found: object) -> str:
    return json.dumps({"Data": {"PodDeviceEntries": list(found)}, "Checksum": 1})


ENTRY = {"PodUID": "u", "ResourceName": "virtfn.dev/fast", "DeviceIDs": {"0": [str(VF)], "-1": ["x"]}, "AllocResp": ""}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (entries(), frozenset()),
        ('{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}', frozenset()),
        (entries(ENTRY), frozenset({("virtfn.dev/fast", str(VF)), ("virtfn.dev/fast", "x")})),
        ("", None),
        ("{}", None),
        (entries(ENTRY, {}), None),
        (entries({**ENTRY, "DeviceIDs": ["0000:01:10.0"]}), None),
        (entries({**ENTRY, "DeviceIDs": {"0": 7}}), None),
        ("[" * 10_000, None),
    ],
)
def test_the_kubelets_notes_are_read_or_unknown(text: str, known: object, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_text(text)
    assert held(path) == known


def test_a_kubelet_that_has_noted_nothing_yet_has_given_nothing(tmp_path: Path) -> None:
    assert held(tmp_path / "checkpoint") == frozenset()
