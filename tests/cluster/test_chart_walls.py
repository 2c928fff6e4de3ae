"""What the chart renders for safety: tokens, rules, admission policies, networks, namespace, and whose images."""

from __future__ import annotations

import json

import pytest

from virtfn_lab.chart import (
    REGISTRY,
    TOKEN,
    Object,
    Objects,
    container,
    environment,
    helm,
    mounts,
    pods,
    render,
    template,
)
from virtfn_lab.product import CHART

DIGEST = "sha256:" + "a" * 64
RULES = {
    ("ClusterRole", "virtfn-controller"): {
        "sriovpolicies": {"list", "watch"},
        "sriovpolicies/status": {"patch"},
        "sriovnodes": {"list", "watch", "patch"},
        "nodes": {"list", "watch"},
        "pods": {"list"},
        "pods/eviction": {"create"},
    },
    ("ClusterRole", "virtfn-agent"): {
        "sriovnodes": {"get", "list", "watch", "create"},
        "sriovnodes/status": {"patch"},
        "nodes": {"get"},
    },
    ("Role", "virtfn-controller"): {"leases": {"get", "create", "update"}},
    ("Role", "virtfn-events"): {"events": {"create"}},
}
POLICIES = {"virtfn-agent", "virtfn-controller", "virtfn-lease", "virtfn-events", "virtfn-eviction", "virtfn-give-back"}
HINT = "virtfn-import-hint"
"""Limits nobody: test_import_hint.py."""


@pytest.fixture(scope="module")
def objects() -> Objects:
    return render()


@pytest.mark.parametrize("values", [(), ("image.registry=",), ("image.tag=1.0", "image.pullPolicy=Never")])
def test_without_a_registry_nothing_is_rendered(values: tuple[str, ...]) -> None:
    done = template(*values)
    assert done.returncode != 0
    assert "image.registry is not set: say where your images of virtfn are" in done.stderr


@pytest.mark.parametrize("registry", ["registry.example/", "https://registry.example", "-x/y", "a b", "null"])
def test_a_registry_that_is_none_is_refused(registry: str) -> None:
    assert template(f"image.registry={registry}").returncode != 0


@pytest.mark.parametrize("registry", ["r.example", "localhost/virtfn", "r.example:5000/a/b-c", "[fd00::1]:5000/v"])
def test_a_registry_that_is_one_is_taken(registry: str) -> None:
    found = pods(render(f"image.registry={registry}"))
    assert container(found["agent"], "host")["image"].startswith(f"{registry}/host:")


def test_an_image_may_be_told_by_its_digest() -> None:
    found = pods(render(f"image.digests.host={DIGEST}", "image.tag=1.2.3"))
    assert container(found["agent"], "host")["image"] == f"registry.example/virtfn/host@{DIGEST}"
    assert container(found["agent"], "agent")["image"] == "registry.example/virtfn/agent:1.2.3"
    assert template("image.registry=r", "image.digests.host=latest").returncode != 0
    assert template("image.registry=r", f"image.digests.plugin={DIGEST}").returncode != 0


def test_a_token_is_mounted_where_it_is_needed_and_nowhere_else(objects: Objects) -> None:
    """By account and by pod it is off; only two containers mount one, of an hour (3607 s would become a year)."""
    has: dict[str, bool] = {}
    for component, spec in pods(objects).items():
        assert objects["ServiceAccount", f"virtfn-{component}"]["automountServiceAccountToken"] is False
        assert spec["automountServiceAccountToken"] is False
        projected = [v for v in spec["volumes"] if "projected" in v or "secret" in v]
        has |= {item["name"]: TOKEN in mounts(spec, item["name"]) for item in spec["containers"]}
        for volume in projected:
            token, authority, namespace = volume["projected"]["sources"]
            assert token["serviceAccountToken"] == {"path": "token", "expirationSeconds": 3600}
            assert authority["configMap"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
            assert namespace["downwardAPI"]["items"][0]["path"] == "namespace"
    assert has == {"controller": True, "agent": True, "host": False, "deviceplugin": False}
    assert [v["name"] for v in pods(objects)["deviceplugin"]["volumes"] if "hostPath" not in v] == []


def test_no_pod_shares_anything_of_the_node_or_between_its_containers(objects: Objects) -> None:
    for spec in pods(objects).values():
        for word in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            assert not spec.get(word, False)
        for item in spec["containers"]:
            assert item["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Unconfined")
            assert item["resources"]["limits"]["memory"]


def test_nobody_may_more_than_this(objects: Objects) -> None:
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for key, item in objects.items():
        if key[0] in ("ClusterRole", "Role"):
            verbs: dict[str, set[str]] = {}
            for rule in item["rules"]:
                for resource in rule["resources"]:
                    verbs.setdefault(resource, set()).update(rule["verbs"])
            found[key] = verbs
    assert found == RULES
    assert "*" not in str([item["rules"] for key, item in objects.items() if key in RULES])


def test_every_binding_binds_what_exists(objects: Objects) -> None:
    bindings = [item for (kind, _), item in objects.items() if kind.endswith("RoleBinding")]
    assert len(bindings) == len(RULES)
    for item in bindings:
        assert (item["roleRef"]["kind"], item["roleRef"]["name"]) in RULES
        for subject in item["subjects"]:
            assert (subject["kind"], subject["name"]) in objects
            assert subject["namespace"] == "virtfn-system"
            assert subject["name"] != "virtfn-deviceplugin"


def test_the_policies_judge_our_accounts_only_and_fail_closed(objects: Objects) -> None:
    walls = {key: item for key, item in objects.items() if key[1] != HINT}
    found = {name: item for (kind, name), item in walls.items() if kind == "ValidatingAdmissionPolicy"}
    bound = {name: item for (kind, name), item in walls.items() if kind == "ValidatingAdmissionPolicyBinding"}
    assert found.keys() == bound.keys() == POLICIES
    for name, item in found.items():
        assert item["spec"]["failurePolicy"] == "Fail"
        (condition,) = item["spec"]["matchConditions"]
        assert "'system:serviceaccount:virtfn-system:virtfn-" in condition["expression"]
        assert bound[name]["spec"] == {"policyName": name, "validationActions": ["Deny"]}


@pytest.mark.parametrize(
    ("version", "values", "there"),
    [
        ("1.30.0", (), True),
        ("1.31.4-eks-1234", (), True),
        ("1.37.2", ("admissionPolicy.enabled=false",), False),
    ],
)
def test_policies_are_there_where_the_api_server_has_them(version: str, values: tuple[str, ...], there: bool) -> None:
    kinds = {kind for kind, _ in render(*values, version=version)}
    assert ("ValidatingAdmissionPolicy" in kinds) is there
    assert ("ValidatingAdmissionPolicyBinding" in kinds) is there


def network(objects: Objects, component: str) -> Object:
    spec: Object = objects["NetworkPolicy", f"virtfn-{component}"]["spec"]
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    return spec


def test_agent_and_controller_reach_the_api_server_and_dns_and_the_plugin_nobody(objects: Objects) -> None:
    for component in ("agent", "controller"):
        server, names = network(objects, component)["egress"]
        assert [(p["port"], p["protocol"]) for p in server["ports"]] == [(443, "TCP"), (6443, "TCP")]
        assert "to" not in server
        assert {p["port"] for p in names["ports"]} == {53}
        assert len(names["to"]) == 2
        assert network(objects, component)["ingress"] == []
    assert network(objects, "deviceplugin")["egress"] == network(objects, "deviceplugin")["ingress"] == []


def test_networks_take_addresses_ports_and_who_reads_metrics() -> None:
    values = (
        "metrics.enabled=true",
        "networkPolicy.apiServer.cidrs={10.0.0.1/32,fd00::1/128}",
        "networkPolicy.apiServer.ports={16443}",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    )
    objects = render(*values)
    server = network(objects, "agent")["egress"][0]
    assert server == {
        "ports": [{"port": 16443, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"ipBlock": {"cidr": "fd00::1/128"}}],
    }
    for component in ("agent", "controller", "deviceplugin"):
        (rule,) = network(objects, component)["ingress"]
        assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
        assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    assert "NetworkPolicy" not in {kind for kind, _ in render("networkPolicy.enabled=false")}


@pytest.mark.parametrize(("replicas", "there"), [(1, False), (2, True), (3, True)])
def test_several_controllers_are_drained_one_at_a_time(replicas: int, there: bool) -> None:
    found = render(f"controller.replicas={replicas}").get(("PodDisruptionBudget", "virtfn-controller"))
    assert (found is not None) is there
    if found is not None:
        assert found["spec"]["maxUnavailable"] == 1


def test_the_namespace_is_the_charts_only_where_asked(objects: Objects) -> None:
    assert "Namespace" not in {kind for kind, _ in objects}
    found = render("namespace.create=true")["Namespace", "virtfn-system"]
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_labels_of_the_namespace_are_values() -> None:
    label = "pod-security.kubernetes.io/enforce"
    escaped = label.replace(".", "\\.")
    found = render("namespace.create=true", f"namespace.labels.{escaped}=baseline", "namespace.labels.team=net")
    labels = found["Namespace", "virtfn-system"]["metadata"]["labels"]
    assert labels[label] == "baseline"
    assert labels["team"] == "net"


def test_domains_and_the_turns_patience_reach_the_processes(objects: Objects) -> None:
    assert "VIRTFN_RESOURCE_DOMAINS" not in str(objects)
    assert "--resource-domains" not in str(objects)
    found = pods(render("resourceDomains={intel.com,nvidia.com}", "controller.turnTimeoutSeconds=120"))
    for component in ("agent", "controller"):
        seen = environment(container(found[component], component))
        assert seen["VIRTFN_RESOURCE_DOMAINS"] == "intel.com,nvidia.com"
    assert environment(container(found["controller"], "controller"))["VIRTFN_TURN_TIMEOUT"] == "120"
    assert "--resource-domains=intel.com,nvidia.com" in container(found["deviceplugin"], "deviceplugin")["args"]


@pytest.mark.parametrize("domain", ["x", "Intel.com", "a,b.com", "a b.com", "-a.com", "a.com/x", "a..b"])
def test_a_domain_that_is_none_is_refused(domain: str) -> None:
    done = helm("template", str(CHART), "--set", REGISTRY, "--set-json", f"resourceDomains={json.dumps([domain])}")
    assert done.returncode != 0
    assert "resourceDomains" in done.stderr


def test_a_turn_is_a_minute_at_least() -> None:
    assert template(REGISTRY, "controller.turnTimeoutSeconds=59").returncode != 0
