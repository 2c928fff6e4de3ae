"""Every key of values.yaml does something: each is changed once, and its effect is looked for in the rendering.

A key without an entry fails, so a new value cannot be forgotten, and a value that no template reads cannot stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import yaml

from virtfn_lab.chart import Object, render_values
from virtfn_lab.product import CHART

VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())
APP: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
"""The tag of images for which no value says one."""
SHA = "sha256:" + "c" * 64
EVERYTHING: Object = {
    "image": {"registry": "registry.example/virtfn"},
    "metrics": {"enabled": True, **{name: {"enabled": True} for name in ("podMonitor", "rules", "dashboard")}},
    "namespace": {"create": True},
    "securityContextConstraints": {"create": True},
    "bootUnit": {"enabled": True},
}
"""What each change is made to: a chart with all of its objects."""


class Change(NamedTuple):
    """A value, and where it shows."""

    value: Any
    shows: tuple[str, ...]
    """Lines of `flat` that are new with this value; those that begin with `-` are gone."""
    beside: Object = {}  # noqa: RUF012 - never changed
    """Other values that this one needs, before and after."""


WORKLOADS = {
    "controller": "Deployment/virtfn-controller",
    "agent": "DaemonSet/virtfn-agent",
    "devicePlugin": "DaemonSet/virtfn-deviceplugin",
    "bootUnit": "DaemonSet/virtfn-bootunit",
}
"""The workload of a process, by the key of its values."""
TEMPLATE = {key: f"{workload} spec/template" for key, workload in WORKLOADS.items()}
SPEC = {key: f"{template}/spec" for key, template in TEMPLATE.items()}
CONTAINERS = {
    "controller": f"{SPEC['controller']}/containers/controller",
    "agent": f"{SPEC['agent']}/containers/agent",
    "agent.host": f"{SPEC['agent']}/containers/host",
    "devicePlugin": f"{SPEC['devicePlugin']}/containers/deviceplugin",
    "bootUnit": f"{SPEC['bootUnit']}/containers/bootunit",
}
IMAGES = {"controller": "controller", "agent": "agent", "agent.host": "host", "devicePlugin": "deviceplugin"}
BOTH = ("agent", "devicePlugin")
HOOK = "Job/virtfn-give-back spec/template/spec"
"""Processes that share where they run."""


def of_images() -> Iterator[tuple[str, Change]]:
    for key, name in IMAGES.items():
        image = f"{CONTAINERS[key]}/image"
        yield f"image.digests.{name}", Change(SHA, (f"{image}=registry.example/virtfn/{name}@{SHA}",))
        yield f"{key}.image.digest", Change(SHA, (f"{image}=registry.example/virtfn/{name}@{SHA}",))
        yield f"{key}.image.registry", Change("own.example", (f"{image}=own.example/{name}:{APP}",))
        yield f"{key}.image.repository", Change("a/b", (f"{image}=registry.example/virtfn/a/b:{APP}",))
        yield f"{key}.image.tag", Change("7", (f"{image}=registry.example/virtfn/{name}:7",))
        yield f"{key}.image.pullPolicy", Change("Always", (f"{CONTAINERS[key]}/imagePullPolicy=Always",))


def of_processes() -> Iterator[tuple[str, Change]]:
    for key, container in CONTAINERS.items():
        yield f"{key}.logLevel", Change("debug", (f"{container}/args[]=--log-level=debug",))
        yield f"{key}.logFormat", Change("json", (f"{container}/args[]=--log-format=json",))
        yield f"{key}.extraArgs", Change(["--more=1"], (f"{container}/args[]=--more=1",))
        if key != "agent.host":
            yield f"{key}.extraEnv", Change([{"name": "TZ", "value": "UTC"}], (f"{container}/env/TZ/value=UTC",))
        yield (
            f"{key}.resources",
            Change({"limits": {"memory": "9Gi"}}, (f"{container}/resources/limits/memory=9Gi",)),
        )


def of_pods() -> Iterator[tuple[str, Change]]:
    for key, workload in WORKLOADS.items():
        name = workload.partition("/")[2]
        yield f"{key}.podLabels", Change({"x": "z"}, (f"{TEMPLATE[key]}/metadata/labels/x=z",))
        yield f"{key}.podAnnotations", Change({"x": "z"}, (f"{TEMPLATE[key]}/metadata/annotations/x=z",))
        account = f"{key}.serviceAccount"
        gone = f"-ServiceAccount/{name} metadata/name={name}"
        beside = {key: {"serviceAccount": {"name": "own"}}}
        yield f"{account}.create", Change(False, ("-ServiceAccount/own metadata/name=own",), beside)
        used = (f"{SPEC[key]}/serviceAccountName=own", f"SecurityContextConstraints/{name} users[]=" + user("own"))
        yield f"{account}.name", Change("own", (*used, "ServiceAccount/own metadata/name=own", gone))
        yield (
            f"{account}.annotations",
            Change({"x": "z"}, (f"ServiceAccount/{name} metadata/annotations/x=z",)),
        )
        options = (f"{SPEC[key]}/securityContext/seLinuxOptions/type=spc_t",)
        free = (f"SecurityContextConstraints/{name} seLinuxContext/type=RunAsAny",)
        yield f"{key}.seLinuxOptions", Change({"type": "spc_t"}, options + free)
        yield f"{key}.priorityClassName", Change("mine", (f"{SPEC[key]}/priorityClassName=mine",))


def user(account: str) -> str:
    return f"system:serviceaccount:virtfn-system:{account}"


POOL = {"key": "pool", "operator": "Exists"}
RACK: Object = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}
PLACES = {"controller": ("controller",), "nodes": BOTH, "bootUnit": ("bootUnit",)}
"""Which processes the values of a key place on nodes."""


def of_places() -> Iterator[tuple[str, Change]]:
    for key, processes in PLACES.items():
        specs = [SPEC[process] for process in processes]
        if key == "nodes":
            specs.append("Pod/virtfn-test spec")
        preferred = "nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution[]="
        yield f"{key}.nodeSelector", Change({"a": "b"}, tuple(f"{spec}/nodeSelector/a=b" for spec in specs))
        yield f"{key}.affinity", Change(RACK, tuple(f"{spec}/affinity/{preferred}" for spec in specs))
        yield f"{key}.tolerations", Change([POOL], tuple(f"{spec}/tolerations/0/key=pool" for spec in specs))


TCP = "NetworkPolicy/virtfn-agent spec/egress/0/ports"
CHANGES: dict[str, Change] = {
    **dict(of_images()),
    **dict(of_processes()),
    **dict(of_pods()),
    **dict(of_places()),
    "global.imageRegistry": Change(
        "global.example",
        (f"{CONTAINERS['agent']}/image=global.example/agent:{APP}",),
        {"image": {"registry": ""}, "global": {"imageRegistry": "before.example"}},
    ),
    "global.imagePullSecrets": Change([{"name": "s"}], tuple(f"{spec}/imagePullSecrets/s" for spec in SPEC.values())),
    "image.registry": Change("r.example", (f"{CONTAINERS['agent.host']}/image=r.example/host:{APP}",)),
    "image.tag": Change("8", (f"{CONTAINERS['bootUnit']}/image=registry.example/virtfn/host:8",)),
    "image.pullPolicy": Change("Never", tuple(f"{it}/imagePullPolicy=Never" for it in CONTAINERS.values())),
    "imagePullSecrets": Change([{"name": "s"}], ("Pod/virtfn-test spec/imagePullSecrets/s",)),
    "nameOverride": Change("vf", ("Deployment/vf-controller metadata/name=vf-controller", "-" + WORKLOADS["agent"])),
    "fullnameOverride": Change("vf", (f"{WORKLOADS['agent'].replace('virtfn', 'vf')} metadata/name=vf-agent",)),
    "commonLabels": Change(
        {"team": "net"},
        ("ClusterRole/virtfn-agent metadata/labels/team=net", f"{TEMPLATE['agent']}/metadata/labels/team=net"),
    ),
    "commonAnnotations": Change(
        {"team": "net"},
        (
            "ConfigMap/virtfn-dashboard metadata/annotations/team=net",
            f"{WORKLOADS['agent']} metadata/annotations/team=net",
        ),
    ),
    "revisionHistoryLimit": Change(4, tuple(f"{it} spec/revisionHistoryLimit=4" for it in WORKLOADS.values())),
    "logLevel": Change("error", tuple(f"{it}/args[]=--log-level=error" for it in CONTAINERS.values())),
    "logFormat": Change("json", tuple(f"{it}/args[]=--log-format=json" for it in CONTAINERS.values())),
    "kubelet.rootDir": Change("/k", (f"{SPEC['agent']}/volumes/pod-resources/hostPath/path=/k/pod-resources",)),
    "resourceDomains": Change(
        ["intel.com"],
        (
            f"{CONTAINERS['devicePlugin']}/args[]=--resource-domains=intel.com",
            f"{CONTAINERS['agent']}/env/VIRTFN_RESOURCE_DOMAINS/value=intel.com",
            f"{CONTAINERS['controller']}/env/VIRTFN_RESOURCE_DOMAINS/value=intel.com",
        ),
    ),
    "admissionPolicy.enabled": Change(False, ("-ValidatingAdmissionPolicy/virtfn-agent",)),
    "admissionPolicy.hintImport": Change(False, ("-ValidatingAdmissionPolicy/virtfn-import-hint",)),
    "networkPolicy.enabled": Change(False, ("-NetworkPolicy/virtfn-agent", "-NetworkPolicy/virtfn-bootunit")),
    "networkPolicy.apiServer.ports": Change([16443], (f"{TCP}/0/port=16443", f"-{TCP}/0/port=443")),
    "networkPolicy.apiServer.cidrs": Change(
        ["10.0.0.1/32"], ("NetworkPolicy/virtfn-controller spec/egress/0/to/0/ipBlock/cidr=10.0.0.1/32",)
    ),
    "networkPolicy.dns.ports": Change([5353], ("NetworkPolicy/virtfn-agent spec/egress/1/ports/0/port=5353",)),
    "networkPolicy.dns.to": Change([], ("-NetworkPolicy/virtfn-agent spec/egress/1/to/1/ipBlock/cidr=169.254.0.0/16",)),
    "networkPolicy.metricsFrom": Change(
        [{"podSelector": {}}], ("NetworkPolicy/virtfn-deviceplugin spec/ingress/0/ports/0/port=metrics",)
    ),
    "metrics.enabled": Change(
        False,
        (f"-{CONTAINERS['agent']}/env/VIRTFN_METRICS_PORT/value=8092",),
        {"metrics": {name: {"enabled": False} for name in ("podMonitor", "rules", "dashboard")}},
    ),
    "metrics.ports.controller": Change(9001, (f"{CONTAINERS['controller']}/ports/metrics/containerPort=9001",)),
    "metrics.ports.devicePlugin": Change(9002, (f"{CONTAINERS['devicePlugin']}/args[]=--metrics-port=9002",)),
    "metrics.ports.agent": Change(9003, (f"{CONTAINERS['agent']}/env/VIRTFN_METRICS_PORT/value=9003",)),
    "metrics.podMonitor.enabled": Change(False, ("-PodMonitor/virtfn",)),
    "metrics.podMonitor.labels": Change({"x": "z"}, ("PodMonitor/virtfn metadata/labels/x=z",)),
    "metrics.podMonitor.interval": Change("1m", ("PodMonitor/virtfn spec/podMetricsEndpoints/0/interval=1m",)),
    "metrics.podMonitor.scrapeTimeout": Change(
        "9s", ("PodMonitor/virtfn spec/podMetricsEndpoints/0/scrapeTimeout=9s",)
    ),
    "metrics.rules.enabled": Change(False, ("-PrometheusRule/virtfn",)),
    "metrics.rules.labels": Change({"x": "z"}, ("PrometheusRule/virtfn metadata/labels/x=z",)),
    "metrics.dashboard.enabled": Change(False, ("-ConfigMap/virtfn-dashboard",)),
    "metrics.dashboard.labels": Change({"x": "z"}, ("ConfigMap/virtfn-dashboard metadata/labels/x=z",)),
    "metrics.dashboard.annotations": Change({"x": "z"}, ("ConfigMap/virtfn-dashboard metadata/annotations/x=z",)),
    "namespace.create": Change(False, ("-Namespace/virtfn-system",)),
    "namespace.labels": Change({"x": "z"}, ("Namespace/virtfn-system metadata/labels/x=z",)),
    "securityContextConstraints.create": Change(
        False,
        (
            "-SecurityContextConstraints/virtfn-agent",
            f"-{TEMPLATE['agent']}/metadata/annotations/openshift.io/required-scc=virtfn-agent",
        ),
    ),
    "controller.replicas": Change(
        1, (f"{WORKLOADS['controller']} spec/replicas=1", "-PodDisruptionBudget/virtfn-controller")
    ),
    "controller.turnTimeoutSeconds": Change(61, (f"{CONTAINERS['controller']}/env/VIRTFN_TURN_TIMEOUT/value=61",)),
    "controller.topologySpreadConstraints": Change(
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        (
            f"{SPEC['controller']}/topologySpreadConstraints/0/topologyKey=zone",
            f"{SPEC['controller']}/topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io/component=controller",
        ),
    ),
    "controller.updateStrategy": Change(
        {"type": "Recreate"}, (f"{WORKLOADS['controller']} spec/strategy/type=Recreate",)
    ),
    "agent.maxUnavailable": Change(2, (f"{WORKLOADS['agent']} spec/updateStrategy/rollingUpdate/maxUnavailable=2",)),
    "agent.updateStrategy": Change(
        SURGE, (f"{WORKLOADS['agent']} spec/updateStrategy/rollingUpdate/maxUnavailable=3",)
    ),
    "devicePlugin.maxUnavailable": Change(
        2, (f"{WORKLOADS['devicePlugin']} spec/updateStrategy/rollingUpdate/maxSurge=2",)
    ),
    "devicePlugin.updateStrategy": Change(
        SURGE, (f"{WORKLOADS['devicePlugin']} spec/updateStrategy/rollingUpdate/maxUnavailable=3",)
    ),
    "devicePlugin.deviceInfo": Change(
        False, (f"-{CONTAINERS['devicePlugin']}/args[]=--device-info=/run/k8s.cni.cncf.io/devinfo/dp",)
    ),
    "devicePlugin.cdi": Change(True, (f"{CONTAINERS['devicePlugin']}/args[]=--cdi=/run/cdi",)),
    "bootUnit.enabled": Change(False, ("-DaemonSet/virtfn-bootunit", "-SecurityContextConstraints/virtfn-bootunit")),
    "bootUnit.python": Change("/p", (f"{CONTAINERS['bootUnit']}/args[]=--python=/p",)),
    "bootUnit.updateStrategy": Change(
        {"type": "OnDelete"}, (f"{WORKLOADS['bootUnit']} spec/updateStrategy/type=OnDelete",)
    ),
    "startupTaint.enabled": Change(
        True,
        (
            f"{CONTAINERS['controller']}/env/VIRTFN_STARTUP_TAINT/value=true",
            f"{SPEC['controller']}/tolerations/0/key=virtfn.dev/not-ready",
            "ClusterRole/virtfn-controller rules/3/verbs[]=patch",
        ),
    ),
    "eviction.enabled": Change(
        False,
        (
            "-ClusterRole/virtfn-controller rules/5/resources[]=pods/eviction",
            "-ValidatingAdmissionPolicy/virtfn-eviction",
        ),
    ),
    "hooks.upgradeCrds.enabled": Change(False, ("-Job/virtfn-upgrade-crds", "-ConfigMap/virtfn-upgrade-crds")),
    "hooks.giveBack.enabled": Change(False, ("-Job/virtfn-give-back", "-ValidatingAdmissionPolicy/virtfn-give-back")),
    "hooks.giveBack.timeoutSeconds": Change(77, (f"{HOOK}/containers/hook/env/VIRTFN_HOOK_TIMEOUT/value=77",)),
    "hooks.cleanUp.enabled": Change(False, ("-Job/virtfn-clean-up", "-DaemonSet/virtfn-clean-nodes")),
    "hooks.cleanUp.timeoutSeconds": Change(
        77, ("Job/virtfn-clean-up spec/template/spec/containers/hook/env/VIRTFN_HOOK_TIMEOUT/value=77",)
    ),
    "hooks.nodeSelector": Change({"a": "b"}, (f"{HOOK}/nodeSelector/a=b",)),
    "hooks.tolerations": Change([{"key": "k", "operator": "Exists"}], (f"{HOOK}/tolerations/0/key=k",)),
    "hooks.resources": Change({"limits": {"memory": "9Gi"}}, (f"{HOOK}/containers/hook/resources/limits/memory=9Gi",)),
    "helmTest.enabled": Change(False, ("-Pod/virtfn-test",)),
    "helmTest.resources": Change(
        {"limits": {"memory": "9Gi"}}, ("Pod/virtfn-test spec/containers/list/resources/limits/memory=9Gi",)
    ),
}
MAPS = ("nodeSelector", "labels", "resources")
"""Keys whose value is one thing with names of the user's or of Kubernetes', although values.yaml has some."""


def keys(values: Object, before: str = "") -> Iterator[str]:
    """Every key that can be set by itself, as a dotted name."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in MAPS:
            yield from keys(value, f"{before}{name}.")
        else:
            yield before + name


def flat(value: Any, path: str) -> Iterator[str]:
    """An object line by line: the path to each scalar and its value. Named members of a list go by their name."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from flat(part, f"{path}/{name}")
    elif isinstance(value, list) and all(isinstance(part, dict) for part in value) and value:
        for index, part in enumerate(value):
            yield from flat(part, f"{path}/{part.get('name', index)}")
            yield f"{path}/{part.get('name', index)}"
    elif isinstance(value, list):
        yield from (f"{path}[]={part}" for part in value or [""])
    else:
        yield f"{path}={json.dumps(value) if isinstance(value, bool) else value}"


@cache
def lines(text: str) -> frozenset[str]:
    """All lines of the chart with these values (JSON), and one line for each object."""
    found = set()
    for item in yaml.safe_load_all(render_values(json.loads(text))):
        if item:
            title = f"{item['kind']}/{item['metadata']['name']}"
            found |= {title, *(line.replace(f"{title}/", f"{title} ", 1) for line in flat(item, title))}
    return frozenset(found)


def merged(*parts: Object) -> Object:
    """Values, later ones over earlier ones, as Helm does it."""
    result: Object = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
    return result


def nested(key: str, value: Any) -> Object:
    """A value under its dotted name."""
    for name in reversed(key.split(".")):
        value = {name: value}
    found: Object = value
    return found


def test_every_key_has_an_entry_and_no_entry_is_of_the_past() -> None:
    assert set(CHANGES) == set(keys(VALUES))


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_shows_where_its_entry_says(key: str) -> None:
    change = CHANGES[key]
    values = merged(EVERYTHING, change.beside)
    before, after = lines(json.dumps(values)), lines(json.dumps(merged(values, nested(key, change.value))))
    new = {line for line in change.shows if not line.startswith("-")}
    gone = {line[1:] for line in change.shows if line.startswith("-")}
    assert new - (after - before) == set()
    assert gone - (before - after) == set()


def test_a_value_of_one_process_changes_no_other() -> None:
    """Each change of `devicePlugin` leaves the objects of agent and controller as they are."""
    before = lines(json.dumps(EVERYTHING))
    for key in CHANGES:
        if key.startswith("devicePlugin.") and not key.startswith("devicePlugin.serviceAccount"):
            values = merged(EVERYTHING, nested(key, CHANGES[key].value))
            touched = {line.split(" ")[0] for line in lines(json.dumps(values)) ^ before}
            assert {name for name in touched if "deviceplugin" not in name} == set(), key


def test_no_change_of_a_value_gives_a_pod_the_nodes_network() -> None:
    for key, change in CHANGES.items():
        values = merged(EVERYTHING, change.beside, nested(key, change.value))
        assert not [line for line in lines(json.dumps(values)) if "hostNetwork" in line and "allow" not in line], key
