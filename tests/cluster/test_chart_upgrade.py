"""How the chart upgrades the device plugin: two may overlap where kubelets tell them apart, from Kubernetes 1.37 on."""

from __future__ import annotations

import pytest

from virtfn_lab.chart import Object, container, pod, render, template

ONE_BY_ONE = {"maxUnavailable": "10%", "maxSurge": 0}
OVERLAPPING = {"maxUnavailable": 0, "maxSurge": "10%"}


def strategy(*values: str, version: str = "1.37.0") -> Object:
    found: Object = render(*values, version=version)["DaemonSet", "virtfn-deviceplugin"]["spec"]["updateStrategy"]
    return found


@pytest.mark.parametrize("version", ["1.30.0", "1.36.2", "1.36.9-gke.100"])
def test_before_1_37_the_old_plugin_ends_first(version: str) -> None:
    assert strategy(version=version) == {"type": "RollingUpdate", "rollingUpdate": ONE_BY_ONE}


@pytest.mark.parametrize("version", ["1.37.0", "1.37.0-rc.0", "1.37.2+k3s1", "1.38.1", "2.0.0"])
def test_from_1_37_on_the_new_plugin_registers_first(version: str) -> None:
    assert strategy(version=version) == {"type": "RollingUpdate", "rollingUpdate": OVERLAPPING}


@pytest.mark.parametrize(("value", "pace"), [("1", 1), ("25%", "25%"), ("100%", "100%")])
@pytest.mark.parametrize(("version", "field"), [("1.36.0", "maxUnavailable"), ("1.37.0", "maxSurge")])
def test_the_pace_is_the_same_value(value: str, pace: object, version: str, field: str) -> None:
    found = strategy(f"devicePlugin.maxUnavailable={value}", version=version)["rollingUpdate"]
    assert found[field] == pace
    assert set(found.values()) == {pace, 0}


@pytest.mark.parametrize("version", ["1.36.0", "1.37.0"])
def test_a_strategy_of_ones_own_counts(version: str) -> None:
    own = "devicePlugin.updateStrategy"
    values = (f"{own}.type=RollingUpdate", f"{own}.rollingUpdate.maxSurge=0", f"{own}.rollingUpdate.maxUnavailable=2")
    assert strategy(*values, version=version) == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2},
    }
    assert strategy(f"{own}.type=OnDelete", version=version) == {"type": "OnDelete"}


@pytest.mark.parametrize("wrong", ["type=Recreate", "maxSurge=1", "rollingUpdate=2"])
def test_a_wrong_strategy_is_refused_with_the_values_name(wrong: str) -> None:
    done = template("image.registry=x", f"devicePlugin.updateStrategy.{wrong}")
    assert done.returncode != 0
    assert "updateStrategy" in done.stderr


def test_only_the_device_plugins_readiness_waits_for_the_kubelet() -> None:
    objects = render()
    paths = {
        name: container(pod(objects, name), name)["readinessProbe"]["httpGet"]["path"]
        for name in ("controller", "agent", "deviceplugin")
    }
    assert paths == {"controller": "/healthz", "agent": "/healthz", "deviceplugin": "/readyz"}
    probes = container(pod(objects, "deviceplugin"), "deviceplugin")
    assert {probes[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe")} == {"/healthz"}
