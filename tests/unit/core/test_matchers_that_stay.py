"""A matcher can name what stays when names and addresses move: permanent MAC, serial number, slot."""

from typing import Any

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.claims import matches
from virtfn_host.core.turn.policy import names_macs, policy_config
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.identity import Identity

GIVEN: dict[str, Any] = {
    "permanentMac": "3c:fd:fe:12:34:56",
    "serialNumber": "3c-fd-fe-ff-ff-12-34-56",
    "slot": "3-1",
}
MATCHER = DeviceMatcher(permanent_mac=GIVEN["permanentMac"], serial_number=GIVEN["serialNumber"], slot=GIVEN["slot"])
IDENTITY = Identity(mac=GIVEN["permanentMac"], serial=GIVEN["serialNumber"], slot=GIVEN["slot"])


def read(**matcher: Any) -> PolicyConfig | Rejected:
    spec = {"devices": [matcher], "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]}}
    return policy_config(name="fast", uid="u", generation=1, spec=spec)


def test_they_are_read() -> None:
    policy = read(**GIVEN)
    assert isinstance(policy, PolicyConfig)
    assert policy.devices == (MATCHER,)
    assert names_macs([policy])
    assert not names_macs([a_policy()])


@pytest.mark.parametrize("slot", ["3", "U78D2.001.RCH0001-P1-C5", "PCI1 x16", "3-1"])
def test_a_slot_has_whatever_name_firmware_gives(slot: str) -> None:
    assert isinstance(read(slot=slot), PolicyConfig)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("permanentMac", "3C:FD:FE:12:34:56"),
        ("permanentMac", "3c:fd:fe:12:34"),
        ("permanentMac", "3c-fd-fe-12-34-56"),
        ("permanentMac", "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:a5:29:30"),
        ("permanentMac", 5),
        ("serialNumber", "3c:fd:fe:ff:ff:12:34:56"),
        ("serialNumber", "3c-fd-fe-ff-ff-12-34"),
        ("serialNumber", "3CFDFEFFFF123456"),
        ("serialNumber", None),
        ("slot", 3),
        ("slot", ""),
        ("slot", "../3"),
        ("slot", "x" * 65),
        ("slot", "3\n"),
    ],
)
def test_another_form_is_refused_with_the_field(field: str, value: object) -> None:
    refused = read(**{field: value})
    assert isinstance(refused, Rejected)
    assert f"spec.devices[0].{field}: " in refused.message
    assert len(refused.message) < 300


@pytest.mark.parametrize("other", [{"mac": "3c:fd:fe:12:34:57"}, {"serial": None}, {"slot": "3"}])
def test_every_given_field_must_hold(other: dict[str, str | None]) -> None:
    fields = {"mac": IDENTITY.mac, "serial": IDENTITY.serial, "slot": IDENTITY.slot}
    assert matches(MATCHER, a_pf(0, identity=IDENTITY))
    assert not matches(MATCHER, a_pf(0, identity=Identity(**{**fields, **other})))


def test_a_policy_that_matches_nothing_names_them_as_they_are_written() -> None:
    found = resolve(NodeConfig(policies=(a_policy(devices=(MATCHER,)),)), an_inventory(a_pf(0)), ())
    assert [f"{name} {value}" in found.rejected[0].message for name, value in GIVEN.items()] == [True] * 3
