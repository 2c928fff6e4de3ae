"""What the chart renders for boot unit and start-up taint: nothing unless asked for, and then no more than needed."""

from __future__ import annotations

import pytest

from virtfn_lab.chart import WORKLOADS, Object, Objects, container, mounts, powerless, render, template

UNIT, TAINT = "bootUnit.enabled=true", "startupTaint.enabled=true"
TOLERATION = {"key": "virtfn.dev/not-ready", "operator": "Exists"}


@pytest.fixture(scope="module")
def unit() -> Objects:
    return render(UNIT, "securityContextConstraints.create=true")


@pytest.fixture(scope="module")
def taint() -> Objects:
    return render(TAINT)


def spec(objects: Objects) -> Object:
    found: Object = objects["DaemonSet", "virtfn-bootunit"]["spec"]["template"]["spec"]
    return found


def test_unless_asked_for_there_is_neither_pod_nor_right() -> None:
    text = str(render())
    assert "bootunit" not in text
    assert "not-ready" not in text
    assert "systemd" not in text


def test_its_container_has_no_power_and_two_folders_of_the_node(unit: Objects) -> None:
    found = spec(unit)
    assert powerless(container(found, "bootunit"))
    assert mounts(found, "bootunit") == {
        "/host/etc/systemd/system": ("/etc/systemd/system", True),
        "/host/var/lib/virtfn-boot": ("/var/lib/virtfn-boot", True),
    }
    assert found["automountServiceAccountToken"] is False
    assert not [volume for volume in found["volumes"] if "projected" in volume]
    policy = unit["NetworkPolicy", "virtfn-bootunit"]["spec"]
    assert policy["ingress"] == policy["egress"] == []


def test_no_other_pod_gets_anything_by_it(unit: Objects) -> None:
    without = render("securityContextConstraints.create=true")
    for component, kind in WORKLOADS.items():
        assert unit[kind, f"virtfn-{component}"] == without[kind, f"virtfn-{component}"]
    assert set(unit) - set(without) == {
        (kind, "virtfn-bootunit")
        for kind in ("DaemonSet", "ServiceAccount", "NetworkPolicy", "SecurityContextConstraints")
    }


def test_its_account_has_no_role(unit: Objects) -> None:
    bound = [
        subject["name"] for (kind, _), item in unit.items() if "Binding" in kind for subject in item.get("subjects", [])
    ]
    assert "virtfn-bootunit" not in bound


@pytest.mark.parametrize("python", ["python3", "/usr/bin/python3 -c", "/usr/bin/%i"])
def test_a_path_that_is_none_is_refused(python: str) -> None:
    assert template("image.registry=r.example/v", UNIT, f"bootUnit.python={python}").returncode != 0


def test_the_path_reaches_the_container() -> None:
    objects = render(UNIT, "bootUnit.python=/usr/bin/python3.12")
    assert "--python=/usr/bin/python3.12" in container(spec(objects), "bootunit")["args"]


# --- the start-up taint ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", WORKLOADS)
@pytest.mark.parametrize("given", [(), ("agent.tolerations[0].key=gpu", "devicePlugin.tolerations[0].key=gpu")])
def test_every_pod_tolerates_it_whatever_else_it_tolerates(component: str, given: tuple[str, ...]) -> None:
    objects = render(TAINT, UNIT, *given)
    found = objects[WORKLOADS[component], f"virtfn-{component}"]["spec"]["template"]["spec"]
    assert TOLERATION in found["tolerations"]
    assert TOLERATION in spec(objects)["tolerations"]


def test_the_controller_may_read_and_change_nodes_only_then(taint: Objects) -> None:
    def verbs(objects: Objects) -> list[str]:
        rules = objects["ClusterRole", "virtfn-controller"]["rules"]
        (found,) = [rule["verbs"] for rule in rules if rule["resources"] == ["nodes"]]
        return sorted(found)

    assert verbs(taint) == ["get", "list", "patch", "watch"]
    assert verbs(render()) == ["list", "watch"]


def test_a_policy_limits_it_to_this_taint(taint: Objects) -> None:
    policy = taint["ValidatingAdmissionPolicy", "virtfn-startup-taint"]["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert ("ValidatingAdmissionPolicyBinding", "virtfn-startup-taint") in taint
    assert ("ValidatingAdmissionPolicy", "virtfn-startup-taint") not in render()
    environment = container(taint["Deployment", "virtfn-controller"]["spec"]["template"]["spec"], "controller")["env"]
    assert {"name": "VIRTFN_STARTUP_TAINT", "value": "true"} in environment
