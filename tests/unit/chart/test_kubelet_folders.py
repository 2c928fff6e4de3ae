"""The kubelet's root-dir moves its folder pod-resources and not its folder device-plugins (kubernetes#120626)."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

CHART = Path(__file__).resolve().parents[3] / "charts" / "virtfn"
TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").glob("*.yaml")))
KUBELET = json.loads((CHART / "values.schema.json").read_text())["properties"]["kubelet"]


def test_pod_resources_is_below_the_value_and_device_plugins_is_not() -> None:
    paths = re.findall(r"hostPath: \{path: ([^,]*kubelet[^,]*),", TEMPLATES)
    assert sorted(set(paths)) == ["/var/lib/kubelet/device-plugins", "{{ .Values.kubelet.rootDir }}/pod-resources"]


@pytest.mark.parametrize(
    "root",
    [
        "/var/lib/kubelet",
        "/var/lib/k0s/kubelet",
        "/var/snap/microk8s/common/var/lib/kubelet",
        "/data01/kubelet",
        "/home/user/.kubelet",
        "/k",
    ],
)
def test_a_root_dir_is_an_absolute_path(root: str) -> None:
    assert Draft7Validator(KUBELET).is_valid({"rootDir": root})


@pytest.mark.parametrize(
    "root",
    [
        *("", "/", "kubelet", "./kubelet", "~/kubelet"),
        *("/var/lib/kubelet/", "/var//kubelet", "/var/../kubelet", "/var/./kubelet", "/var/lib/.."),
        *("/a b", "/a,b", "/a}", "/a: b", "/a#b", "/a:b", "/{{ .Values }}", "/ä"),
    ],
)
def test_what_the_mount_would_not_survive_is_refused(root: str) -> None:
    """Kubernetes refuses `..` in such a path; the other signs would end the path in the template."""
    assert not Draft7Validator(KUBELET).is_valid({"rootDir": root})
