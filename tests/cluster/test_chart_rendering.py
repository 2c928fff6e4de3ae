"""What the chart renders to: who is privileged, has the token, may write where, may ask the API server for what."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_lab.go_tools import tools
from virtfn_lab.product import CHART

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
LAB = ("image.registry=localhost/virtfn", "image.tag=lab", "image.pullPolicy=Never", "kubelet.rootDir=/srv/kubelet")

Object = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tools() / "helm", *arguments], capture_output=True, text=True, check=False)


def render(*values: str) -> dict[tuple[str, str], Object]:
    sets = [part for value in values for part in ("--set", value)]
    done = helm("template", "virtfn", str(CHART), "--namespace", "virtfn-system", *sets)
    assert done.returncode == 0, done.stderr
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Object]:
    return render()


def pod(objects: dict[tuple[str, str], Object], kind: str, component: str) -> Object:
    spec: Object = objects[kind, f"virtfn-{component}"]["spec"]["template"]["spec"]
    return spec


def container(spec: Object, name: str) -> Object:
    (found,) = [item for item in spec["containers"] if item["name"] == name]
    assert isinstance(found, dict)
    return found


def mounts(spec: Object, name: str) -> dict[str, tuple[str | None, bool]]:
    """Where -> (path on the node, None when it is none of the node's; whether it can be written)."""
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in spec["volumes"]}
    return {
        mount["mountPath"]: (paths[mount["name"]], not mount.get("readOnly", False))
        for mount in container(spec, name).get("volumeMounts", [])
    }


def powerless(item: Object) -> bool:
    context = item["securityContext"]
    return (
        context["capabilities"] == {"drop": ["ALL"]}
        and context["readOnlyRootFilesystem"] is True
        and context["allowPrivilegeEscalation"] is False
        and context["seccompProfile"] == {"type": "RuntimeDefault"}
        and not context.get("privileged", False)
    )


def environment(item: Object) -> dict[str, str]:
    return {e["name"]: e.get("value") or e["valueFrom"]["fieldRef"]["fieldPath"] for e in item.get("env", [])}


def test_lint_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_unknown_values_are_refused() -> None:
    done = helm("template", str(CHART), "--set", "images.tag=x")
    assert done.returncode != 0
    assert "images" in done.stderr


def test_controller_is_no_root_and_sees_no_machine(objects: dict[tuple[str, str], Object]) -> None:
    spec = pod(objects, "Deployment", "controller")
    assert objects["Deployment", "virtfn-controller"]["spec"]["replicas"] == 2
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert "volumes" not in spec
    item = container(spec, "controller")
    assert powerless(item)
    assert item["args"] == ["controller"]
    assert environment(item) == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "VIRTFN_LEASE": "virtfn-controller",
    }


def test_agent_has_the_token_and_no_power(objects: dict[tuple[str, str], Object]) -> None:
    spec = pod(objects, "DaemonSet", "agent")
    assert spec["automountServiceAccountToken"] is False
    item = container(spec, "agent")
    assert powerless(item)
    assert mounts(spec, "agent") == {
        TOKEN: (None, False),
        "/run/virtfn-host": (None, True),
        "/run/virtfn": ("/run/virtfn", True),
        "/run/virtfn-ledger": ("/run/virtfn-ledger", False),
        "/var/lib/kubelet/pod-resources": ("/var/lib/kubelet/pod-resources", False),
    }
    seen = environment(item)
    for variable in ("VIRTFN_HOST_SOCKET", "VIRTFN_POOLS", "VIRTFN_LEDGER", "VIRTFN_PODRESOURCES"):
        assert str(Path(seen[variable]).parent) in mounts(spec, "agent")


def test_host_has_the_power_and_no_token(objects: dict[tuple[str, str], Object]) -> None:
    spec = pod(objects, "DaemonSet", "agent")
    item = container(spec, "host")
    assert item["securityContext"]["privileged"] is True
    assert "env" not in item
    assert mounts(spec, "host") == {
        "/run/virtfn-host": (None, True),
        "/var/lib/virtfn": ("/var/lib/virtfn", True),
        "/sys": ("/sys", True),
        "/host/dev": ("/dev", True),
        "/lib/modules": ("/lib/modules", False),
        "/host/proc": ("/proc", False),
    }


def test_the_token_is_projected_in_full(objects: dict[tuple[str, str], Object]) -> None:
    (volume,) = [v for v in pod(objects, "DaemonSet", "agent")["volumes"] if v["name"] == "token"]
    token, authority, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["path"] == "token"
    assert authority["configMap"] == {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert namespace["downwardAPI"]["items"][0]["path"] == "namespace"


def test_device_plugin_has_neither(objects: dict[tuple[str, str], Object]) -> None:
    spec = pod(objects, "DaemonSet", "deviceplugin")
    assert spec["automountServiceAccountToken"] is False
    assert objects["ServiceAccount", "virtfn-deviceplugin"]["automountServiceAccountToken"] is False
    assert powerless(container(spec, "deviceplugin"))
    assert mounts(spec, "deviceplugin") == {
        "/run/virtfn": ("/run/virtfn", False),
        "/run/virtfn-ledger": ("/run/virtfn-ledger", True),
        "/var/lib/kubelet/device-plugins": ("/var/lib/kubelet/device-plugins", True),
        "/sys": ("/sys", False),
        "/host/dev": ("/dev", False),
    }
    assert objects["DaemonSet", "virtfn-deviceplugin"]["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] == 0


def test_daemonsets_run_everywhere_and_are_not_evicted(objects: dict[tuple[str, str], Object]) -> None:
    for component in ("agent", "deviceplugin"):
        spec = pod(objects, "DaemonSet", component)
        assert spec["tolerations"] == [{"operator": "Exists"}]
        assert spec["priorityClassName"] == "system-node-critical"


def test_the_labs_values() -> None:
    objects = render(*LAB)
    pods = [pod(objects, kind, name.removeprefix("virtfn-")) for kind, name in objects if kind in WORKLOADS]
    items = [item for spec in pods for item in spec["containers"]]
    assert {i["image"] for i in items} == {f"localhost/virtfn/{i['name']}:lab" for i in items}
    assert {item["imagePullPolicy"] for item in items} == {"Never"}
    agent = pod(objects, "DaemonSet", "agent")
    assert mounts(agent, "agent")["/var/lib/kubelet/pod-resources"][0] == "/srv/kubelet/pod-resources"


WORKLOADS = ("Deployment", "DaemonSet")
READ = {"get", "list", "watch"}
RULES: dict[tuple[str, str], dict[str, set[str]]] = {
    ("ClusterRole", "virtfn-controller"): {
        "sriovpolicies": READ,
        "sriovpolicies/status": {"patch", "update"},
        "sriovnodes": READ | {"patch", "update"},
        "nodes": READ,
    },
    ("ClusterRole", "virtfn-agent"): {
        "sriovnodes": READ | {"create", "patch"},
        "sriovnodes/status": {"get", "patch", "update"},
        "nodes": {"get"},
    },
    ("Role", "virtfn-controller"): {"leases": {"get", "create", "update", "patch"}},
    ("Role", "virtfn-events"): {"events": {"create", "patch"}},
}


def test_nobody_may_more_than_this(objects: dict[tuple[str, str], Object]) -> None:
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for key, item in objects.items():
        if key[0] in ("ClusterRole", "Role"):
            verbs: dict[str, set[str]] = {}
            for rule in item["rules"]:
                for resource in rule["resources"]:
                    verbs.setdefault(resource, set()).update(rule["verbs"])
            found[key] = verbs
    assert found == RULES


def test_every_binding_binds_what_exists(objects: dict[tuple[str, str], Object]) -> None:
    bindings = [item for (kind, _), item in objects.items() if kind.endswith("RoleBinding")]
    assert len(bindings) == len(RULES)
    for item in bindings:
        assert (item["roleRef"]["kind"], item["roleRef"]["name"]) in RULES
        for subject in item["subjects"]:
            assert (subject["kind"], subject["name"]) in objects
            assert subject["namespace"] == "virtfn-system"
