"""The chart as Helm renders it, without a cluster, and ways to look into it. Knows nothing of what is right."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from virtfn_lab.go_tools import tools
from virtfn_lab.product import CHART, NAMESPACE

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
REGISTRY = "image.registry=registry.example/virtfn"
WORKLOADS = {"controller": "Deployment", "agent": "DaemonSet", "deviceplugin": "DaemonSet"}

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
"""By kind and name."""


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm, without a cluster."""
    return subprocess.run([tools() / "helm", *arguments], capture_output=True, text=True, check=False)


def template(*values: str, version: str = "1.37.0") -> subprocess.CompletedProcess[str]:
    """`helm template` with these values, for an API server of this version."""
    sets = [part for value in values for part in ("--set", value)]
    return helm("template", "virtfn", str(CHART), "--namespace", NAMESPACE, "--kube-version", version, *sets)


def render(*values: str, version: str = "1.37.0") -> Objects:
    """All objects of the chart; of some registry, where the values name none.

    Raises:
        AssertionError: Helm refuses.
    """
    done = template(REGISTRY, *values, version=version)
    assert done.returncode == 0, done.stderr
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def pod(objects: Objects, component: str) -> Object:
    """The pod's spec of a component."""
    spec: Object = objects[WORKLOADS[component], f"virtfn-{component}"]["spec"]["template"]["spec"]
    return spec


def pods(objects: Objects) -> dict[str, Object]:
    """All of them."""
    return {component: pod(objects, component) for component in WORKLOADS}


def container(spec: Object, name: str) -> Object:
    """One container of a pod."""
    (found,) = [item for item in spec["containers"] if item["name"] == name]
    assert isinstance(found, dict)
    return found


def mounts(spec: Object, name: str) -> dict[str, tuple[str | None, bool]]:
    """Where -> (path on the node, None when it is none of the node's; whether it can be written)."""
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in spec.get("volumes", [])}
    return {
        mount["mountPath"]: (paths[mount["name"]], not mount.get("readOnly", False))
        for mount in container(spec, name).get("volumeMounts", [])
    }


def powerless(item: Object) -> bool:
    """Whether a container has no capability, no way to more, a seccomp profile, and nothing to write to but mounts."""
    context = item["securityContext"]
    return (
        context["capabilities"] == {"drop": ["ALL"]}
        and context["readOnlyRootFilesystem"] is True
        and context["allowPrivilegeEscalation"] is False
        and context["seccompProfile"] == {"type": "RuntimeDefault"}
        and not context.get("privileged", False)
    )


def environment(item: Object) -> dict[str, str]:
    """A container's variables; of one that is a field of the pod, or one of its own resources, the name of that."""
    return {e["name"]: e.get("value") or _source(e["valueFrom"]) for e in item.get("env", [])}


def _source(value: Object) -> str:
    found: str = value["fieldRef"]["fieldPath"] if "fieldRef" in value else value["resourceFieldRef"]["resource"]
    return found
