"""`check`: what must be mended before virtfn is installed, each finding with the command that does it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from fake_cluster import Ask, FakeCluster, cluster_of, recorded

from virtfn_kubectl.judge import preflight
from virtfn_lab.paths import repository

Body = dict[str, Any]
DAEMONS = "/apis/apps/v1/daemonsets"
NAMESPACE = "/api/v1/namespaces/virtfn-system"


def cluster(
    server: str = "v1.31.2", groups: tuple[str, ...] = ("apps",), label: str | None = "privileged", **more: Any
) -> FakeCluster:
    found = cluster_of(recorded("healthy"), **more)
    labels = {} if label is None else {"pod-security.kubernetes.io/enforce": label}
    found.answers = {
        "/version": json.dumps({"gitVersion": server}),
        "/apis": json.dumps({"groups": [{"name": name} for name in groups]}),
        NAMESPACE: json.dumps({"metadata": {"name": "virtfn-system", "labels": labels}}),
    }
    found.lists[DAEMONS] = []
    return found


def daemon(image: str, name: str = "some-daemon") -> Body:
    spec = {"template": {"spec": {"containers": [{"image": "x/proxy:1"}, {"image": image}]}}}
    return {"metadata": {"name": name, "namespace": "other"}, "spec": spec}


def found(ask: Ask, asked: FakeCluster, word: str) -> Body:
    (one,) = [it for it in ask(asked, "check", "--json").document["findings"] if word in it["text"]]
    return dict(one)


def test_a_good_cluster_has_nothing_to_mend(ask: Ask) -> None:
    asked = cluster()
    asked.lists["/api/v1/nodes"][0]["metadata"]["labels"]["feature.node.kubernetes.io/network-sriov.capable"] = "true"
    answer = ask(asked, "check")
    assert answer.status == 0
    assert "virtfn can be installed" in answer.out
    assert not [line for line in answer.out.splitlines() if line.startswith(("bad", "note"))]


def test_the_oldest_version_is_that_of_the_chart() -> None:
    chart = yaml.safe_load((repository() / "charts/virtfn/Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={preflight.OLDEST[0]}.{preflight.OLDEST[1]}.0-0"


@pytest.mark.parametrize(
    ("server", "level"),
    [("v1.28.9", "bad"), ("v1.29.15", "bad"), ("v1.30.1+k3s1", "ok"), ("v2.0.0", "ok"), ("", "note"), ("odd", "note")],
)
def test_the_api_servers_version(ask: Ask, server: str, level: str) -> None:
    assert found(ask, cluster(server), "API server")["level"] == level


@pytest.mark.parametrize(
    ("kubelet", "level"), [("v1.29.0", "bad"), ("v1.30.0-eks-1", "ok"), ("", "ok"), ("v1.9.1", "bad")]
)
def test_kubelets_that_are_too_old_are_named(ask: Ask, kubelet: str, level: str) -> None:
    asked = cluster()
    asked.lists["/api/v1/nodes"][1]["status"]["nodeInfo"]["kubeletVersion"] = kubelet
    finding = found(ask, asked, "kubelets")
    assert finding["level"] == level
    assert ("node-2" in finding["text"]) == (level == "bad")


def test_nodes_of_windows_do_not_count(ask: Ask) -> None:
    asked = cluster()
    for node in asked.lists["/api/v1/nodes"]:
        node["status"]["nodeInfo"].update(operatingSystem="windows", kubeletVersion="v1.20.0")
    assert found(ask, asked, "no Linux node")["level"] == "bad"


@pytest.mark.parametrize(
    ("label", "level"), [("privileged", "ok"), ("restricted", "bad"), ("baseline", "bad"), (None, "note")]
)
def test_the_namespaces_pod_security_level(ask: Ask, label: str | None, level: str) -> None:
    finding = found(ask, cluster(label=label), "namespace virtfn-system")
    assert finding["level"] == level
    if level != "ok":
        assert finding["next"].startswith("kubectl label namespace virtfn-system pod-security")


def test_a_namespace_that_is_not_there_is_made_with_its_label(ask: Ask) -> None:
    asked = cluster()
    del asked.answers[NAMESPACE]
    finding = found(ask, asked, "there is no namespace")
    assert finding["level"] == "note"
    assert finding["next"].startswith("kubectl create namespace virtfn-system && kubectl label namespace")


def test_another_namespace_can_be_asked_for(ask: Ask) -> None:
    out = ask(cluster(), "check", "-n", "sriov").out
    assert "kubectl create namespace sriov" in out
    assert "virtfn-system" not in out


@pytest.mark.parametrize(
    ("labels", "level", "word"),
    [
        ({"feature.node.kubernetes.io/network-sriov.capable": "true"}, "ok", "nodes with SR-IOV"),
        ({"feature.node.kubernetes.io/pci-0300_10de.sriov.capable": "true"}, "ok", "nodes with SR-IOV"),
        ({"feature.node.kubernetes.io/cpu-model.id": "1"}, "note", "has found no function"),
        ({"feature.node.kubernetes.io/network-sriov.capable": "false"}, "note", "has found no function"),
        ({}, "note", "Node Feature Discovery is not installed"),
    ],
)
def test_nodes_with_sriov_are_known_from_their_labels(ask: Ask, labels: dict[str, str], level: str, word: str) -> None:
    asked = cluster()
    asked.lists["/api/v1/nodes"][0]["metadata"]["labels"].update(labels)
    finding = found(ask, asked, word)
    assert finding["level"] == level
    if not labels:
        assert "kubectl debug node/node-1" in finding["next"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("ghcr.io/k8snetworkplumbingwg/sriov-network-operator-config-daemon:v1", "SR-IOV network operator"),
        ("quay.io/openshift/origin-sriov-network-device-plugin:4.16", "SR-IOV network device plugin"),
        ("nfvpe/sriov-device-plugin:v3", "SR-IOV network device plugin"),
        ("registry/sriov-fec-daemon@sha256:00", "Intel's SR-IOV FEC operator"),
        ("rancher/pcidevices:v1", "Harvester's PCI devices"),
    ],
)
def test_a_program_that_would_fight_over_the_devices_must_go_first(ask: Ask, image: str, name: str) -> None:
    asked = cluster()
    asked.lists[DAEMONS] = [daemon("registry/cilium:1"), daemon(image)]
    finding = found(ask, asked, "both would change the same functions")
    assert finding["level"] == "bad"
    assert name in finding["text"]
    assert "other/some-daemon" in finding["text"]
    assert finding["next"]


@pytest.mark.parametrize("image", ["registry/sriov-cni:v2", "registry/multus:v4", "registry/virtfn/deviceplugin:1"])
def test_programs_that_do_not_fight_are_left_alone(ask: Ask, image: str) -> None:
    asked = cluster()
    asked.lists[DAEMONS] = [daemon(image)]
    assert found(ask, asked, "no other program")["level"] == "ok"


@pytest.mark.parametrize("group", ["sriovnetwork.openshift.io", "mellanox.com", "devices.harvesterhci.io"])
def test_an_operator_that_only_the_api_server_knows_is_a_note(ask: Ask, group: str) -> None:
    assert found(ask, cluster(groups=("apps", group)), "is installed (API group")["level"] == "note"


def test_a_program_is_told_once_for_its_daemon_and_its_group(ask: Ask) -> None:
    asked = cluster(groups=("sriovnetwork.openshift.io",))
    asked.lists[DAEMONS] = [daemon("x/sriov-network-operator-config-daemon:1")]
    assert found(ask, asked, "SR-IOV network operator")["level"] == "bad"


@pytest.mark.parametrize(
    ("kubelet", "groups", "label", "value"),
    [
        ("v1.31.1+k0s", ("apps",), "x", "kubelet.rootDir=/var/lib/k0s/kubelet"),
        ("v1.31.1", ("apps",), "microk8s.io/cluster", "networkPolicy.apiServer.ports={16443}"),
        ("v1.31.1", ("security.openshift.io",), "x", "securityContextConstraints.create=true"),
    ],
)
def test_values_that_a_distribution_needs_are_named(
    ask: Ask, kubelet: str, groups: tuple[str, ...], label: str, value: str
) -> None:
    asked = cluster(groups=groups)
    asked.lists["/api/v1/nodes"][0]["status"]["nodeInfo"]["kubeletVersion"] = kubelet
    asked.lists["/api/v1/nodes"][0]["metadata"]["labels"][label] = "true"
    assert value in found(ask, asked, "needs values of the chart")["next"]
    assert value.partition(".")[0] in (repository() / "docs/install.md").read_text()


def test_virtfn_itself_is_found(ask: Ask) -> None:
    assert (
        "kubectl apply -f charts/virtfn/crds" in found(ask, cluster(groups=("virtfn.dev",)), "is here already")["next"]
    )


@pytest.mark.parametrize(("may", "level"), [("yes", "ok"), ("no", "bad")])
def test_the_permission_to_install(ask: Ask, may: str, level: str) -> None:
    assert found(ask, cluster(may=may), "may")["level"] == level


@pytest.mark.parametrize(
    ("may", "reason"),
    [
        ("no - no RBAC policy matched", "no RBAC policy matched"),
        ('no - RBAC: clusterrole.rbac.authorization.k8s.io "x" not found', 'clusterrole.rbac.authorization.k8s.io "x"'),
        ("no - denied - webhook webhook.example/authz timed out", "denied - webhook webhook.example/authz timed out"),
        ("no - two\nlines\n", "two lines"),
        ("no - first\nyes", "first yes"),
        ("no - \x1b]0;title\x07", "title"),
        ("no - ", "may not create"),
    ],
)
def test_a_refusal_with_a_reason_is_a_refusal(ask: Ask, may: str, reason: str) -> None:
    answer = ask(cluster(may=may), "check")
    assert answer.status == 1
    told = " ".join(answer.out.split())
    assert "bad you may not create CustomResourceDefinitions and ClusterRoles" in told
    assert reason in told
    assert "\x1b]" not in told


@pytest.mark.parametrize("may", ["", "maybe", "nobody", "yesterday", "no way"])
def test_an_answer_that_is_neither_yes_nor_no_is_not_known(ask: Ask, may: str) -> None:
    answer = ask(cluster(may=may), "check")
    assert answer.status == 0
    assert "virtfn can be installed, as far as was looked" in answer.out


@pytest.mark.parametrize("path", ["/api/v1/nodes", DAEMONS, "/apis", NAMESPACE])
def test_what_may_not_be_read_is_said_and_the_rest_is_checked(ask: Ask, path: str) -> None:
    asked = cluster()
    asked.errors[path] = "Error from server (Forbidden): no"
    answer = ask(asked, "check")
    assert answer.status == 0
    assert "not looked at: " in answer.out
    assert "ok    API server v1.31.2" in answer.out
    assert "virtfn can be installed, as far as was looked" in answer.out


REFUSALS = {
    "forbidden": ("Error from server (Forbidden): no", True),
    "a timeout": ("Unable to connect to the server: context deadline exceeded", False),
    "a busy server": ("Error from server (TooManyRequests): wait", False),
}


@pytest.mark.parametrize(("error", "rights"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("path", ["/api/v1/nodes", DAEMONS, "/apis", NAMESPACE])
def test_what_was_not_looked_at_is_not_taken_for_absent(ask: Ask, path: str, error: str, rights: bool) -> None:
    asked = cluster()
    asked.errors[path] = error
    answer = ask(asked, "check", "--json")
    whole = {it["text"] for it in ask(cluster(), "check", "--json").document["findings"]}
    (more,) = [it for it in answer.document["findings"] if it["text"] not in whole]
    assert more["text"].startswith("not looked at: ")
    assert more["unseen"]
    assert ("an administrator of the cluster" in more["next"]) == rights


def test_without_daemonsets_it_is_not_said_that_an_operator_has_none(ask: Ask) -> None:
    asked = cluster(groups=("sriovnetwork.openshift.io",))
    asked.errors[DAEMONS] = "Error from server (Forbidden): no"
    text = found(ask, asked, "SR-IOV network operator")["text"]
    assert text.endswith("(API group sriovnetwork.openshift.io); whether it runs was not looked at")


@pytest.mark.parametrize("odd", [None, [], {"groups": 3}, {"groups": [None, {"name": 4}]}, "text"])
def test_odd_answers_do_not_end_it(ask: Ask, odd: Any) -> None:
    asked = cluster()
    asked.answers["/apis"] = asked.answers["/version"] = asked.answers[NAMESPACE] = json.dumps(odd)
    asked.lists[DAEMONS] = [odd, {"metadata": {"name": "x"}, "spec": odd}]
    assert ask(asked, "check").status in (0, 1)


def test_without_an_api_server_there_is_no_verdict(ask: Ask) -> None:
    asked = cluster()
    asked.errors["/version"] = "The connection to the server localhost:8080 was refused"
    answer = ask(asked, "check")
    assert (answer.status, answer.out) == (1, "")
