"""What the chart renders for OpenShift: constraints for each account, with exactly what its pod has."""

from __future__ import annotations

import pytest

from virtfn_lab.chart import WORKLOADS, Object, Objects, pod, render

KIND = "SecurityContextConstraints"
ASKED = "securityContextConstraints.create=true"
PROFILES = {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}
"""Kubernetes' types of a seccomp profile, as the constraints name them."""


@pytest.fixture(scope="module")
def objects() -> Objects:
    return render(ASKED)


def constraints(objects: Objects, component: str) -> Object:
    found: Object = objects[KIND, f"virtfn-{component}"]
    assert found["apiVersion"] == "security.openshift.io/v1"
    return found


def test_there_are_none_unless_asked_for() -> None:
    assert "security.openshift.io" not in str(render())
    assert "openshift.io/required-scc" not in str(render())


def test_there_is_one_for_each_component(objects: Objects) -> None:
    assert {name for kind, name in objects if kind == KIND} == {f"virtfn-{component}" for component in WORKLOADS}


@pytest.mark.parametrize("component", WORKLOADS)
def test_each_is_for_one_account_and_the_pod_of_that_account_asks_for_it(objects: Objects, component: str) -> None:
    found = constraints(objects, component)
    account = pod(objects, component)["serviceAccountName"]
    assert found["users"] == [f"system:serviceaccount:virtfn-system:{account}"]
    assert found["groups"] == []
    template = objects[WORKLOADS[component], f"virtfn-{component}"]["spec"]["template"]
    assert template["metadata"]["annotations"]["openshift.io/required-scc"] == found["metadata"]["name"]


@pytest.mark.parametrize("component", WORKLOADS)
def test_each_allows_what_the_pod_has_and_no_more(objects: Objects, component: str) -> None:
    found, spec = constraints(objects, component), pod(objects, component)
    contexts = [spec.get("securityContext", {}) | item["securityContext"] for item in spec["containers"]]
    volumes = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    privileged = any(context.get("privileged", False) for context in contexts)
    assert set(found["volumes"]) == volumes
    assert found["allowHostDirVolumePlugin"] is ("hostPath" in volumes)
    assert found["allowPrivilegedContainer"] is found["allowPrivilegeEscalation"] is privileged
    assert found["requiredDropCapabilities"] == ([] if privileged else ["ALL"])
    assert found["allowedCapabilities"] == found["defaultAddCapabilities"] == []
    (user,) = {context["runAsUser"] for context in contexts}
    assert found["runAsUser"] == {"type": "MustRunAs", "uid": user}
    assert set(found["seccompProfiles"]) == {PROFILES[context["seccompProfile"]["type"]] for context in contexts}
    assert found["readOnlyRootFilesystem"] is all(context["readOnlyRootFilesystem"] for context in contexts)
    assert not [word for word in ("IPC", "Network", "PID", "Ports") if found[f"allowHost{word}"]]


def test_only_one_component_may_be_privileged(objects: Objects) -> None:
    allowed = [component for component in WORKLOADS if constraints(objects, component)["allowPrivilegedContainer"]]
    assert allowed == ["agent"]


@pytest.mark.parametrize(("value", "free"), [("agent", "agent"), ("devicePlugin", "deviceplugin"), (None, None)])
def test_selinux_is_openshifts_unless_the_values_ask_for_options(value: str | None, free: str | None) -> None:
    objects = render(ASKED, *([f"{value}.seLinuxOptions.type=spc_t"] if value else []))
    found = {component: constraints(objects, component)["seLinuxContext"]["type"] for component in WORKLOADS}
    assert found == {component: "RunAsAny" if component == free else "MustRunAs" for component in WORKLOADS}
