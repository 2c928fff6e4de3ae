"""Values that fit the schema and cannot work together are refused, in words that name the value and what to do."""

from __future__ import annotations

import pytest

from virtfn_lab.chart import REGISTRY, Objects, container, environment, pod, render, template

NFD = "feature\\.node\\.kubernetes\\.io/network-sriov\\.capable"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        # What the chart sets, by its option, by a part of the option's name, and as a switch.
        (["agent.host.extraArgs={--socket=/x}"], "agent.host.extraArgs: the chart itself sets --socket"),
        (["devicePlugin.extraArgs={--kubelet-d=/x}"], "devicePlugin.extraArgs: the chart itself sets --kubelet-dir"),
        (["devicePlugin.extraArgs={--cdi}"], "--cdi, which --cdi would replace. Use the chart's value for it"),
        (["controller.extraArgs={--log-level=debug}"], "controller.extraArgs: the chart itself sets --log-level"),
        (["bootUnit.extraArgs={--root=/}"], "bootUnit.extraArgs: the chart itself sets --root"),
        (["agent.extraEnv[0].name=VIRTFN_POOLS"], "agent.extraEnv: VIRTFN_POOLS is a name of the chart itself"),
        (["agent.extraEnv[0].name=VIRTFN_API_URL"], "agent.extraEnv: VIRTFN_API_URL is a name of the chart itself"),
        (["controller.extraEnv[0].name=POD_NAME"], "controller.extraEnv: POD_NAME is a name of the chart itself"),
        (["devicePlugin.extraEnv[0].name=NODE_NAME"], "devicePlugin.extraEnv: NODE_NAME"),
        (["commonLabels.app\\.kubernetes\\.io/name=x"], "commonLabels: the chart itself sets the label"),
        (["agent.podLabels.app\\.kubernetes\\.io/component=x"], "agent.podLabels: the chart itself sets the label"),
        (["metrics.rules.labels.helm\\.sh/chart=x"], "metrics.rules.labels: the chart itself sets the label"),
        (["agent.podAnnotations.openshift\\.io/required-scc=x"], "agent.podAnnotations: the chart itself sets"),
        (["commonAnnotations.helm\\.sh/resource-policy=delete"], "commonAnnotations: the chart itself sets"),
        # Domains on which every process would end.
        (["resourceDomains={a.com,kubernetes.io}"], "resourceDomains: kubernetes.io is a domain that Kubernetes keeps"),
        (["resourceDomains={mykubernetes.io}"], "resourceDomains: mykubernetes.io is a domain that Kubernetes keeps"),
        (["resourceDomains={requests.a.com}"], "resourceDomains: requests.a.com is a domain that Kubernetes keeps"),
        # Accounts.
        (["agent.serviceAccount.create=false"], "agent.serviceAccount.create is false and its name is empty"),
        (
            ["agent.serviceAccount.create=false", "agent.serviceAccount.name=default"],
            "agent.serviceAccount.name is default, the account of every pod",
        ),
        (["agent.serviceAccount.name=a", "devicePlugin.serviceAccount.name=a"], "have the same ServiceAccount, a"),
        (["devicePlugin.serviceAccount.name=virtfn-agent"], "have the same ServiceAccount, virtfn-agent"),
        # What was a value of agent and device plugin each.
        (
            ["agent.nodeSelector.a=b"],
            "agent.nodeSelector and devicePlugin.nodeSelector are now one value, nodes.nodeSelector",
        ),
        (["devicePlugin.nodeSelector.a=b"], "are now one value, nodes.nodeSelector"),
        (["agent.nodeSelector.a=b", "devicePlugin.nodeSelector.a=c"], "are now one value, nodes.nodeSelector"),
        (["agent.tolerations[0].key=a"], "are now one value, nodes.tolerations"),
        (["devicePlugin.affinity.podAffinity=null", "agent.affinity.podAffinity.a=b"], "one value, nodes.affinity"),
        # Two agents on a node.
        (["agent.updateStrategy.rollingUpdate.maxSurge=1"], "maxSurge is not 0: for a while two agents"),
        (["agent.updateStrategy.rollingUpdate.maxSurge=10%"], "maxSurge is not 0: for a while two agents"),
        (
            ["agent.nodeSelector.a=b", "devicePlugin.nodeSelector.a=b", "nodes.nodeSelector.c=d"],
            "nodes.nodeSelector and the older agent.nodeSelector are both set, and differ",
        ),
    ],
)
def test_a_refusal_names_the_value(values: list[str], says: str) -> None:
    done = template(REGISTRY, *values)
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("agent.extraArgs={more}", "/agent/extraArgs/0"),
        ("agent.extraArgs={-v}", "one option of the process like --name or --name=value"),
        ("agent.host.extraEnv[0].name=TZ", "/agent/host"),
        ("agent.extraEnv[0].value=x", "/agent/extraEnv/0"),
        ("agent.updateStrategy.rollingUpdate.maxSurge=some", "/agent/updateStrategy/rollingUpdate"),
        ("agent.hostNetwork=true", "hostNetwork"),
        ("fullnameOverride=Virtfn", "a name of at most 40 small letters"),
        ("controller.image.repository=A", "a name of an image below the registry"),
        ("controller.image.digest=latest", "sha256: and 64 digits"),
        ("controller.serviceAccount.name=A", "a name of a ServiceAccount"),
        ("controller.topologySpreadConstraints[0].maxSkew=1", "/controller/topologySpreadConstraints/0"),
        ("nodes.affinity.node=x", "/nodes/affinity"),
        ("logLevel=loud", "/logLevel"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(value: str, where: str) -> None:
    done = template(REGISTRY, value)
    assert done.returncode != 0
    assert where in done.stderr


MONITOR = ("metrics.enabled=true", "metrics.podMonitor.enabled=true")


@pytest.mark.parametrize(
    ("timeout", "interval"), [("1m", ""), ("31s", ""), ("61s", "1m"), ("1h", "59m"), ("2h", "7199s"), ("20s", "10s")]
)
def test_a_scrape_timeout_longer_than_the_interval_is_refused(timeout: str, interval: str) -> None:
    values = [f"metrics.podMonitor.scrapeTimeout={timeout}", f"metrics.podMonitor.interval={interval or '30s'}"]
    done = template(REGISTRY, *MONITOR, *values[: 2 if interval else 1])
    assert done.returncode != 0
    says = f"scrapeTimeout is {timeout}, longer than metrics.podMonitor.interval, {interval or '30s'}"
    assert says in done.stderr
    assert template(REGISTRY, "metrics.enabled=true", *values).returncode == 0, "without a PodMonitor it does not count"


@pytest.mark.parametrize(
    ("timeout", "interval"), [("", "5s"), ("30s", "30s"), ("60s", "1m"), ("1m", "60s"), ("99999s", "28h"), ("1s", "1h")]
)
def test_a_scrape_timeout_within_the_interval_is_taken(timeout: str, interval: str) -> None:
    podmonitor = {"scrapeTimeout": timeout, "interval": interval}
    found = render(*MONITOR, *(f"metrics.podMonitor.{name}={value}" for name, value in podmonitor.items()))
    (endpoint,) = found["PodMonitor", "virtfn"]["spec"]["podMetricsEndpoints"]
    assert (endpoint.get("scrapeTimeout", ""), endpoint["interval"]) == (timeout, interval)


@pytest.mark.parametrize("duration", ["1m30s", "500ms", "0s", "1d", "30"])
def test_a_duration_of_another_kind_is_refused(duration: str) -> None:
    for name in ("scrapeTimeout", "interval"):
        done = template(REGISTRY, f"metrics.podMonitor.{name}={duration}")
        assert done.returncode != 0
        assert "a duration like" in done.stderr or "want string" in done.stderr


LONG = "x" * 64


@pytest.mark.parametrize("where", ["commonLabels", "agent.podLabels", "metrics.rules.labels", "nodes.nodeSelector"])
@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("a/b/c=x", "a key of a label"),
        ("with space=x", "a key of a label"),
        ("-a=x", "a key of a label"),
        ("a_b/c=x", "a key of a label"),
        ("Example\\.com/c=x", "a key of a label"),
        (f"{LONG}=x", "a key of a label"),
        ("team=with space", "a value of a label"),
        ("team=a/b", "a value of a label"),
        ("team=a.", "a value of a label"),
        (f"team={LONG}", "a value of a label"),
    ],
)
def test_what_is_no_label_is_refused(where: str, label: str, says: str) -> None:
    done = template(REGISTRY, f"{where}.{label}")
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize("where", ["commonAnnotations", "controller.podAnnotations"])
@pytest.mark.parametrize("key", ["a/b/c", "with space", "a_b/c", "/a", "a/", LONG])
def test_what_is_no_key_of_an_annotation_is_refused(where: str, key: str) -> None:
    done = template(REGISTRY, f"{where}.{key}=x")
    assert done.returncode != 0
    assert "a key of an annotation" in done.stderr


@pytest.mark.parametrize("key", ["a", "A\\.b_c-d", "example\\.com/A\\.b", "a-b\\.c/d", LONG[1:]])
def test_labels_and_annotations_of_kubernetes_are_taken(key: str) -> None:
    for value in ("", "a", "A.b_c-d", LONG[1:]):
        assert template(REGISTRY, f"commonLabels.{key}={value}").returncode == 0
    assert template(REGISTRY, f"commonAnnotations.{key}=any text / with: signs").returncode == 0


def places(objects: Objects) -> list[tuple[object, object]]:
    specs = [pod(objects, component) for component in ("agent", "deviceplugin")]
    return [(spec.get("nodeSelector"), spec.get("tolerations")) for spec in specs]


def test_agent_and_device_plugin_run_on_the_same_nodes() -> None:
    selector = {"kubernetes.io/os": "linux", NFD.replace("\\", ""): "sriov"}
    found = render("nodes.tolerations[0].key=a", f"nodes.nodeSelector.{NFD}=sriov")
    assert places(found) == [(selector, [{"key": "a"}])] * 2
    assert pod(found, "controller")["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_the_older_values_count_where_both_are_the_same() -> None:
    """So that a file of values for an older chart goes on working."""
    both = [
        f"{pods}.{value}"
        for pods in ("agent", "devicePlugin")
        for value in ("nodeSelector.a=b", "tolerations[0].key=x")
    ]
    assert places(render(*both)) == [({"a": "b"}, [{"key": "x"}])] * 2


def test_options_and_variables_are_added_behind_those_of_the_chart() -> None:
    found = render("agent.host.extraArgs={--config=/c}", "agent.extraEnv[0].name=TZ", "agent.extraEnv[0].value=UTC")
    spec, before = pod(found, "agent"), pod(render(), "agent")
    assert container(spec, "host")["args"] == [*container(before, "host")["args"], "--config=/c"]
    assert environment(container(spec, "agent")) == {**environment(container(before, "agent")), "TZ": "UTC"}


def test_every_option_that_the_chart_sets_is_refused_as_an_extra_one() -> None:
    """The list in the templates is compared with what is rendered where everything is switched on."""
    everything = ("metrics.enabled=true", "devicePlugin.cdi=true", "resourceDomains={a.com}", "bootUnit.enabled=true")
    found = render(*everything, "logLevel=debug", "logFormat=json")
    values = {"controller": "controller", "agent": "agent", "host": "agent.host", "deviceplugin": "devicePlugin"}
    specs = [pod(found, component) for component in ("controller", "agent", "deviceplugin")]
    specs.append(found["DaemonSet", "virtfn-bootunit"]["spec"]["template"]["spec"])
    for item in (item for spec in specs for item in spec["containers"]):
        for argument in item["args"]:
            if argument.startswith("--"):
                value = f"{values.get(item['name'], 'bootUnit')}.extraArgs"
                done = template(REGISTRY, f"{value}={{{argument.partition('=')[0]}=x}}")
                assert f"{value}: the chart itself sets" in done.stderr, argument


def test_every_variable_that_the_chart_sets_is_refused_as_an_extra_one() -> None:
    found = render("metrics.enabled=true", "resourceDomains={a.com}", "startupTaint.enabled=true")
    for component, value in (("controller", "controller"), ("agent", "agent"), ("deviceplugin", "devicePlugin")):
        for name in environment(container(pod(found, component), component)):
            done = template(REGISTRY, f"{value}.extraEnv[0].name={name}")
            assert f"{value}.extraEnv: {name} is a name of the chart itself" in done.stderr
