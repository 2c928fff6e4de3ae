"""Render the chart with Helm, without a cluster, and look into the result. What is right is the test's business."""

from __future__ import annotations

import subprocess
import tempfile
from typing import Any

import yaml

from virtfn_lab import go_tools
from virtfn_lab.product import CHART, NAMESPACE

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
REGISTRY = "image.registry=registry.example/virtfn"
VERSION = "1.37.0"
"""Version of the API server that the chart is rendered for, if a test says no other."""
WORKLOADS = {"controller": "Deployment", "agent": "DaemonSet", "deviceplugin": "DaemonSet"}

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
"""Rendered objects by kind and name."""


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm, without a cluster."""
    return subprocess.run([go_tools.helm(), *arguments], capture_output=True, text=True, check=False)


def template(*values: str, version: str = VERSION, hooks: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `helm template` with these values, for an API server of this version; without what `helm test` runs.

    Args:
        values: as for --set.
        version: of the API server.
        hooks: whether to render the hooks, too.
    """
    sets = [part for value in values for part in ("--set", value)]
    return helm(*_template(version), "--skip-tests" if hooks else "--no-hooks", *sets)


def _template(version: str) -> tuple[str, ...]:
    return "template", "virtfn", str(CHART), "--namespace", NAMESPACE, "--kube-version", version


def render_values(values: Object, version: str = VERSION) -> str:
    """Return what `helm template` prints for these values, those of `helm test` included.

    Args:
        values: what a file of values has; keys that it leaves out are the chart's.

    Raises:
        AssertionError: Helm refuses the values.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        done = helm(*_template(version), "--values", file.name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(*values: str, version: str = "1.37.0", hooks: bool = False) -> Objects:
    """Return the objects that an installed chart consists of; an example registry is filled in where none is named.

    Args:
        values: as for --set.
        version: of the API server.
        hooks: whether to return the hooks' objects, too, which are there for a moment only.

    Raises:
        AssertionError: Helm refuses the values.
    """
    done = template(REGISTRY, *values, version=version, hooks=hooks)
    assert done.returncode == 0, done.stderr
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def pod(objects: Objects, component: str) -> Object:
    """Return the pod spec of a component."""
    spec: Object = objects[WORKLOADS[component], f"virtfn-{component}"]["spec"]["template"]["spec"]
    return spec


def pods(objects: Objects) -> dict[str, Object]:
    """Return the pod specs of all components."""
    return {component: pod(objects, component) for component in WORKLOADS}


def container(spec: Object, name: str) -> Object:
    """Return one container of a pod."""
    (found,) = [item for item in spec["containers"] if item["name"] == name]
    assert isinstance(found, dict)
    return found


def mounts(spec: Object, name: str) -> dict[str, tuple[str | None, bool]]:
    """Return the mounts of a container: mount path -> (path on the node or None, whether it is writable)."""
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in spec.get("volumes", [])}
    return {
        mount["mountPath"]: (paths[mount["name"]], not mount.get("readOnly", False))
        for mount in container(spec, name).get("volumeMounts", [])
    }


def powerless(item: Object) -> bool:
    """Whether a container has no capabilities, cannot gain any, has a seccomp profile and a read-only root."""
    context = item["securityContext"]
    return (
        context["capabilities"] == {"drop": ["ALL"]}
        and context["readOnlyRootFilesystem"] is True
        and context["allowPrivilegeEscalation"] is False
        and context["seccompProfile"] == {"type": "RuntimeDefault"}
        and not context.get("privileged", False)
    )


def environment(item: Object) -> dict[str, str]:
    """Return a container's variables; for a reference to a pod field or a resource, that field's or resource's name."""
    return {e["name"]: e.get("value") or _source(e["valueFrom"]) for e in item.get("env", [])}


def _source(value: Object) -> str:
    found: str = value["fieldRef"]["fieldPath"] if "fieldRef" in value else value["resourceFieldRef"]["resource"]
    return found
