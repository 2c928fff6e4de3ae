"""What the chart renders to: who is privileged, has the token, may write where, may ask the API server for what."""

from pathlib import Path

import pytest

from virtfn_lab.chart import (
    REGISTRY,
    TOKEN,
    Objects,
    container,
    environment,
    helm,
    mounts,
    pod,
    pods,
    powerless,
    render,
    template,
)
from virtfn_lab.product import CHART

LAB = ("image.registry=localhost/virtfn", "image.tag=lab", "image.pullPolicy=Never", "kubelet.rootDir=/srv/kubelet")


@pytest.fixture(scope="module")
def objects() -> Objects:
    return render()


def test_lint_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_unknown_values_are_refused() -> None:
    done = helm("template", str(CHART), "--set", "images.tag=x")
    assert done.returncode != 0
    assert "images" in done.stderr


def test_controller_is_no_root_and_sees_no_machine(objects: Objects) -> None:
    spec = pod(objects, "controller")
    assert objects["Deployment", "virtfn-controller"]["spec"]["replicas"] == 2
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["runAsNonRoot"] is True
    item = container(spec, "controller")
    assert mounts(spec, "controller") == {TOKEN: (None, False)}
    assert powerless(item)
    assert item["args"] == ["controller"]
    assert environment(item) == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "VIRTFN_LEASE": "virtfn-controller",
        "VIRTFN_TURN_TIMEOUT": "900",
        "VIRTFN_MEMORY": "limits.memory",
    }


def test_agent_has_the_token_and_no_power(objects: Objects) -> None:
    spec = pod(objects, "agent")
    item = container(spec, "agent")
    assert powerless(item)
    assert mounts(spec, "agent") == {
        TOKEN: (None, False),
        "/run/virtfn-host": (None, False),
        "/run/virtfn": ("/run/virtfn", True),
        "/run/virtfn-ledger": ("/run/virtfn-ledger", False),
        "/var/lib/kubelet/pod-resources": ("/var/lib/kubelet/pod-resources", False),
    }
    seen = environment(item)
    for variable in ("VIRTFN_HOST_SOCKET", "VIRTFN_POOLS", "VIRTFN_LEDGER", "VIRTFN_PODRESOURCES"):
        assert str(Path(seen[variable]).parent) in mounts(spec, "agent")


def test_host_has_the_power_and_no_token(objects: Objects) -> None:
    spec = pod(objects, "agent")
    item = container(spec, "host")
    assert item["securityContext"]["privileged"] is True
    assert item["securityContext"]["seccompProfile"] == {"type": "Unconfined"}
    assert item["securityContext"]["readOnlyRootFilesystem"] is True
    # For the command `virtfn` in this container; the host process clears its environment.
    assert environment(item) == {"VIRTFN_DEV": "/host/dev", "VIRTFN_PROC": "/host/proc"}
    assert mounts(spec, "host") == {
        "/run/virtfn-host": (None, True),
        "/var/lib/virtfn": ("/var/lib/virtfn", True),
        "/sys": ("/sys", True),
        "/host/dev": ("/dev", False),
        "/lib/modules": ("/lib/modules", False),
        "/host/proc": ("/proc", False),
    }


def test_the_socket_is_alone_in_a_small_volume(objects: Objects) -> None:
    spec = pod(objects, "agent")
    (volume,) = [v for v in spec["volumes"] if v["name"] == "host-socket"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}
    assert [v["name"] for v in spec["volumes"] if "emptyDir" in v] == ["host-socket"]


def test_the_host_is_asked_whether_it_answers_by_its_own_program(objects: Objects) -> None:
    """A look takes its time behind a blocked write; so the probe is no look (docs/decisions/0011)."""
    item = container(pod(objects, "agent"), "host")
    for probe in ("startupProbe", "livenessProbe"):
        assert item[probe]["exec"]["command"] == ["/opt/virtfn/bin/virtfn-host", "--check", item["args"][0]]
        assert item[probe]["timeoutSeconds"] > 5, "the program itself waits for five"
    alive = item["livenessProbe"]
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 600, "short of CPU is not dead"


@pytest.mark.parametrize("name", ["controller", "agent", "deviceplugin"])
def test_a_pod_shows_the_last_words_of_what_ended(objects: Objects, name: str) -> None:
    found = pod(objects, name)["containers"]
    assert [one["terminationMessagePolicy"] for one in found] == ["FallbackToLogsOnError"] * len(found)


@pytest.mark.parametrize("name", ["controller", "agent", "deviceplugin"])
def test_a_node_short_of_cpu_restarts_nothing(objects: Objects, name: str) -> None:
    alive = container(pod(objects, name), name)["livenessProbe"]
    assert alive["timeoutSeconds"] >= 20
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 180


def test_device_plugin_has_neither(objects: Objects) -> None:
    spec = pod(objects, "deviceplugin")
    assert powerless(container(spec, "deviceplugin"))
    assert mounts(spec, "deviceplugin") == {
        "/run/virtfn": ("/run/virtfn", False),
        "/run/virtfn-ledger": ("/run/virtfn-ledger", True),
        "/var/lib/virtfn-grants": ("/var/lib/virtfn-grants", True),
        "/run/k8s.cni.cncf.io/devinfo/dp": ("/var/run/k8s.cni.cncf.io/devinfo/dp", True),
        "/var/lib/kubelet/device-plugins": ("/var/lib/kubelet/device-plugins", True),
        "/host/dev/vfio": ("/dev/vfio", False),
    }


@pytest.mark.parametrize(
    ("value", "where", "path"),
    [
        ("devicePlugin.cdi=true", "/run/cdi", "/var/run/cdi"),
        ("devicePlugin.deviceInfo=false", "/run/k8s.cni.cncf.io/devinfo/dp", ""),
        ("devicePlugin.cdi=false", "/run/cdi", ""),
    ],
)
def test_the_device_plugin_writes_for_other_programs_only_where_a_value_says_so(
    value: str, where: str, path: str
) -> None:
    found = mounts(pod(render(value), "deviceplugin"), "deviceplugin")
    assert found.get(where) == ((path, True) if path else None)


def test_daemonsets_run_everywhere_and_are_not_evicted(objects: Objects) -> None:
    for component in ("agent", "deviceplugin"):
        spec = pod(objects, component)
        assert spec["tolerations"] == [{"operator": "Exists"}]
        assert spec["priorityClassName"] == "system-node-critical"


def test_the_labs_values() -> None:
    objects = render(*LAB)
    items = [item for spec in pods(objects).values() for item in spec["containers"]]
    assert {i["image"] for i in items} == {f"localhost/virtfn/{i['name']}:lab" for i in items}
    assert {item["imagePullPolicy"] for item in items} == {"Never"}
    agent = pod(objects, "agent")
    assert mounts(agent, "agent")["/var/lib/kubelet/pod-resources"][0] == "/srv/kubelet/pod-resources"


@pytest.mark.parametrize(
    "root", ["/var/lib/k0s/kubelet", "/var/snap/microk8s/common/var/lib/kubelet", "/data01/kubelet"]
)
def test_another_root_dir_moves_pod_resources_and_not_device_plugins(root: str) -> None:
    """The second is a constant of the kubelet (kubernetes#120626)."""
    objects = render(f"kubelet.rootDir={root}")
    plugin = pod(objects, "deviceplugin")
    found = mounts(pod(objects, "agent"), "agent") | mounts(plugin, "deviceplugin")
    assert found["/var/lib/kubelet/pod-resources"] == (f"{root}/pod-resources", False)
    assert found["/var/lib/kubelet/device-plugins"] == ("/var/lib/kubelet/device-plugins", True)
    assert "--kubelet-dir=/var/lib/kubelet/device-plugins" in container(plugin, "deviceplugin")["args"]


@pytest.mark.parametrize("root", ["kubelet", "/var/lib/kubelet/", "/var/../kubelet"])
def test_a_root_dir_that_is_none_is_refused_in_words(root: str) -> None:
    done = template(REGISTRY, f"kubelet.rootDir={root}")
    assert done.returncode != 0
    assert "/kubelet/rootDir" in done.stderr
    assert "an absolute path like /var/lib/kubelet" in done.stderr


@pytest.mark.parametrize(
    ("value", "component"), [("controller", "controller"), ("agent", "agent"), ("devicePlugin", "deviceplugin")]
)
def test_selinux_options_are_those_of_one_pod(value: str, component: str) -> None:
    objects = render(f"{value}.seLinuxOptions.type=spc_t", f"{value}.seLinuxOptions.level=s0")
    contexts = {name: spec.get("securityContext", {}) for name, spec in pods(objects).items()}
    options = {name: context["seLinuxOptions"] for name, context in contexts.items() if "seLinuxOptions" in context}
    assert options == {component: {"type": "spc_t", "level": "s0"}}
    assert contexts["controller"]["runAsNonRoot"] is True


def test_no_pod_has_selinux_options_of_ours(objects: Objects) -> None:
    assert "seLinuxOptions" not in str(objects)


@pytest.mark.parametrize("option", ["label=spc_t", "type=", "level=0"])
def test_selinux_options_that_are_none_are_refused(option: str) -> None:
    done = template(REGISTRY, f"agent.seLinuxOptions.{option}")
    assert done.returncode != 0
    assert "/agent/seLinuxOptions" in done.stderr
