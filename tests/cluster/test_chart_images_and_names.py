"""Whose images the chart takes, and what its objects are called and marked with."""

from __future__ import annotations

import pytest
import yaml

from virtfn_lab.chart import WORKLOADS, Objects, container, pod, pods, powerless, render, render_values, template
from virtfn_lab.product import CHART, NAMESPACE

APP: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
"""The tag of images for which no value says one."""
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ((), f"registry.example/virtfn/host:{APP}"),
        (("image.tag=v1",), "registry.example/virtfn/host:v1"),
        (("image.tag=v1", "agent.host.image.tag=v2"), "registry.example/virtfn/host:v2"),
        ((f"image.digests.host={DIGEST}", "agent.host.image.tag=v2"), f"registry.example/virtfn/host@{DIGEST}"),
        ((f"agent.host.image.digest={OTHER}", f"image.digests.host={DIGEST}"), f"registry.example/virtfn/host@{OTHER}"),
        (("agent.host.image.registry=r:5000/x", "global.imageRegistry=g"), f"r:5000/x/host:{APP}"),
        (("global.imageRegistry=g",), f"registry.example/virtfn/host:{APP}"),
        (("image.registry=", "global.imageRegistry=g.example"), f"g.example/host:{APP}"),
        (("agent.host.image.repository=a/b",), f"registry.example/virtfn/a/b:{APP}"),
    ],
)
def test_the_nearest_value_of_an_image_counts_and_a_digest_before_a_tag(values: tuple[str, ...], image: str) -> None:
    assert container(pod(render(*values), "agent"), "host")["image"] == image


def test_four_registries_of_their_own_are_enough() -> None:
    registries = [f"{key}.image.registry=r.example" for key in ("controller", "agent", "agent.host", "devicePlugin")]
    assert template(*registries).returncode == 0
    done = template(*registries[1:])
    assert done.returncode != 0
    assert "image.registry is not set" in done.stderr


def test_secrets_of_all_charts_and_of_this_one_are_told_once_each() -> None:
    named = ("imagePullSecrets[0].name=a", "global.imagePullSecrets[0].name=b", "global.imagePullSecrets[1].name=a")
    for spec in pods(render(*named)).values():
        assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


@pytest.fixture(scope="module")
def renamed() -> Objects:
    values = ("fullnameOverride=sriov", "bootUnit.enabled=true", "securityContextConstraints.create=true")
    return render(*values, "metrics.enabled=true", "metrics.podMonitor.enabled=true", "metrics.dashboard.enabled=true")


def test_another_name_is_that_of_every_object_and_reference(renamed: Objects) -> None:
    assert {name for _, name in renamed if not name.startswith("sriov")} == set()
    for (kind, _), item in renamed.items():
        if kind.endswith("RoleBinding"):
            assert (item["roleRef"]["kind"], item["roleRef"]["name"]) in renamed
            assert all((subject["kind"], subject["name"]) in renamed for subject in item["subjects"])
        if kind == "ValidatingAdmissionPolicyBinding":
            assert ("ValidatingAdmissionPolicy", item["spec"]["policyName"]) in renamed
        if kind == "SecurityContextConstraints":
            (user,) = item["users"]
            assert ("ServiceAccount", user.rpartition(":")[2]) in renamed
    controller = renamed["Deployment", "sriov-controller"]["spec"]["template"]
    assert controller["metadata"]["annotations"]["openshift.io/required-scc"] == "sriov-controller"
    assert f"system:serviceaccount:{NAMESPACE}:sriov-agent" in str(renamed["ValidatingAdmissionPolicy", "sriov-agent"])


def test_what_others_look_for_keeps_its_name(renamed: Objects) -> None:
    """`kubectl virtfn` and the alerts look for the label; two controllers under two names must not both lead."""
    for item in renamed.values():
        assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "virtfn"
    text = str(renamed["Deployment", "sriov-controller"])
    assert "{'name': 'VIRTFN_LEASE', 'value': 'virtfn-controller'}" in text
    assert renamed["Role", "sriov-controller"]["rules"][1]["resourceNames"] == ["virtfn-controller"]


def test_labels_reach_every_object_and_no_selector() -> None:
    marked, plain = render("commonLabels.team=net", "agent.podLabels.tier=node"), render()
    for key, item in marked.items():
        assert item["metadata"]["labels"]["team"] == "net", key
        assert item["spec"].get("selector") == plain[key]["spec"].get("selector") if "spec" in item else True
    agent = marked["DaemonSet", "virtfn-agent"]
    assert (
        agent["spec"]["template"]["metadata"]["labels"] | {"team": "net", "tier": "node"}
        == (agent["spec"]["template"]["metadata"]["labels"])
    )
    assert "tier" not in agent["metadata"]["labels"]


@pytest.mark.parametrize("component", WORKLOADS)
def test_rights_and_walls_follow_an_account_of_another_name(component: str) -> None:
    key = {"deviceplugin": "devicePlugin"}.get(component, component)
    made, taken = (
        render(f"{key}.serviceAccount.name=own", f"{key}.serviceAccount.create={create}")
        for create in ("true", "false")
    )
    assert ("ServiceAccount", "own") in made
    assert ("ServiceAccount", "own") not in taken
    for objects in (made, taken):
        assert ("ServiceAccount", f"virtfn-{component}") not in objects
        assert pod(objects, component)["serviceAccountName"] == "own"
        subjects = {
            subject["name"]
            for (kind, _), item in objects.items()
            if "RoleBinding" in kind
            for subject in item["subjects"]
        }
        assert ("own" in subjects) is (component != "deviceplugin")
        assert f"virtfn-{component}" not in subjects
        expressions = str([item for (kind, _), item in objects.items() if kind == "ValidatingAdmissionPolicy"])
        assert (f"{NAMESPACE}:own'" in expressions) is (component != "deviceplugin")
        assert f"{NAMESPACE}:virtfn-{component}'" not in expressions


def test_what_helm_test_runs_has_neither_power_nor_token() -> None:
    text = render_values({"image": {"registry": "registry.example/virtfn"}, "nodes": {"nodeSelector": {"a": "b"}}})
    (found,) = [item for item in yaml.safe_load_all(text) if item and item["kind"] == "Pod"]
    assert found["metadata"]["annotations"]["helm.sh/hook"] == "test"
    spec = found["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "volumes" not in spec
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "a": "b"}
    (item,) = spec["containers"]
    assert powerless(item)
    assert item["image"] == f"registry.example/virtfn/host:{APP}"
    assert item["command"] == ["/opt/virtfn/bin/virtfn", "list", "--all"]
