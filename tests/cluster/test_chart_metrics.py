"""What the chart renders of metrics: nothing unless it is asked for, then ports for Prometheus and for nothing else."""

import json
from typing import Any

import pytest
import yaml

from virtfn_lab.chart import REGISTRY, Objects, container, environment, pod, powerless, render, template
from virtfn_lab.product import CHART

ON = "metrics.enabled=true"
FROM = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring"
PORTS = {"controller": 8090, "deviceplugin": 8091, "agent": 8092}
EXTRAS = {
    "podMonitor": ("PodMonitor", "virtfn"),
    "rules": ("PrometheusRule", "virtfn"),
    "dashboard": ("ConfigMap", "virtfn-dashboard"),
}


@pytest.fixture(scope="module")
def off() -> Objects:
    return render()


@pytest.fixture(scope="module")
def on() -> Objects:
    return render(ON, FROM)


def ports(objects: Objects, component: str) -> dict[str, int]:
    return {one["name"]: one["containerPort"] for one in container(pod(objects, component), component)["ports"]}


def ingress(objects: Objects, component: str) -> Any:
    return objects["NetworkPolicy", f"virtfn-{component}"]["spec"]["ingress"]


@pytest.mark.parametrize("component", PORTS)
def test_by_default_no_process_has_another_port_than_health(off: Objects, component: str) -> None:
    assert set(ports(off, component)) == {"health"}
    item = container(pod(off, component), component)
    assert "metrics" not in json.dumps(item).lower()
    assert ingress(off, component) == []


@pytest.mark.parametrize("component", PORTS)
def test_where_metrics_are_on_each_process_has_its_own_port_at_its_pods_address(on: Objects, component: str) -> None:
    assert ports(on, component)["metrics"] == PORTS[component]
    item = container(pod(on, component), component)
    seen = environment(item)
    if component == "deviceplugin":
        assert seen == {"NODE_NAME": "spec.nodeName", "POD_IP": "status.podIP"}
        assert {f"--metrics-port={PORTS[component]}", "--metrics-host=$(POD_IP)"} <= set(item["args"])
    else:
        assert seen["VIRTFN_METRICS_PORT"] == str(PORTS[component])
        assert seen["VIRTFN_METRICS_HOST"] == "status.podIP"
    assert powerless(item)


@pytest.mark.parametrize("component", PORTS)
def test_who_reads_metrics_reaches_that_port_and_no_other(on: Objects, component: str) -> None:
    (rule,) = ingress(on, component)
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]


@pytest.mark.parametrize("values", [(FROM,), (ON,)], ids=["metrics off", "no scraper named"])
def test_without_either_nobody_is_let_in(values: tuple[str, ...]) -> None:
    objects = render(*values)
    assert [ingress(objects, component) for component in PORTS] == [[], [], []]


def test_the_device_plugin_still_reaches_nothing(on: Objects) -> None:
    assert on["NetworkPolicy", "virtfn-deviceplugin"]["spec"]["egress"] == []


def test_the_host_process_has_no_port(on: Objects) -> None:
    host = container(pod(on, "agent"), "host")
    assert "ports" not in host
    assert not [one["name"] for one in host.get("env", []) if "PORT" in one["name"]]


@pytest.mark.parametrize("option", EXTRAS)
def test_an_extra_is_rendered_only_where_it_is_asked_for(off: Objects, on: Objects, option: str) -> None:
    for objects in (off, on):
        assert EXTRAS[option] not in objects
    found = render(ON, f"metrics.{option}.enabled=true", f"metrics.{option}.labels.team=net")
    assert {name for name, key in EXTRAS.items() if key in found} == {option}
    labels = found[EXTRAS[option]]["metadata"]["labels"]
    assert labels["team"] == "net"
    assert labels["app.kubernetes.io/name"] == "virtfn"


@pytest.mark.parametrize("option", EXTRAS)
def test_an_extra_without_metrics_is_refused_in_words(option: str) -> None:
    done = template(REGISTRY, f"metrics.{option}.enabled=true")
    assert done.returncode != 0
    assert f"metrics.{option}.enabled is true and metrics.enabled is not" in done.stderr


def test_the_pod_monitor_finds_every_pod_with_a_port_and_believes_none_about_its_node() -> None:
    objects = render(ON, "metrics.podMonitor.enabled=true", "metrics.podMonitor.interval=1m")
    spec = objects["PodMonitor", "virtfn"]["spec"]
    for kind, name in (("Deployment", "controller"), ("DaemonSet", "agent"), ("DaemonSet", "deviceplugin")):
        labels = objects[kind, f"virtfn-{name}"]["spec"]["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert labels[spec["jobLabel"]] == "virtfn", "the rules ask for up{job=virtfn}"
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] == "metrics"
    assert endpoint["interval"] == "1m"
    assert endpoint["honorLabels"] is False
    assert {rule["targetLabel"] for rule in endpoint["relabelings"]} == {"node", "component"}


def test_rules_and_dashboard_are_the_charts_files() -> None:
    objects = render(ON, "metrics.rules.enabled=true", "metrics.dashboard.enabled=true")
    rules = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    assert objects["PrometheusRule", "virtfn"]["spec"] == rules
    config = objects["ConfigMap", "virtfn-dashboard"]
    assert json.loads(config["data"]["virtfn.json"]) == json.loads((CHART / "files/dashboard.json").read_text())
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("metrics.ports.agent=8082", "/metrics/ports/agent"),
        ("metrics.ports.controller=80", "/metrics/ports/controller"),
        ("metrics.ports.devicePlugin=70000", "/metrics/ports/devicePlugin"),
        ("metrics.podMonitor.interval=soon", "a duration like 30s"),
        ("metrics.enable=true", "enable"),
    ],
)
def test_values_that_are_none_are_refused(value: str, named: str) -> None:
    done = template(REGISTRY, value)
    assert done.returncode != 0
    assert named in done.stderr


def test_other_ports_are_values() -> None:
    objects = render(
        ON, *(f"metrics.ports.{name}=9{i}00" for i, name in enumerate(("controller", "devicePlugin", "agent")))
    )
    assert [ports(objects, component)["metrics"] for component in PORTS] == [9000, 9100, 9200]
