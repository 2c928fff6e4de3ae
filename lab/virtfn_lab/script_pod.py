"""A pod of the device plugin's image that runs a script of the tests, with the kubelet's folder of plugins."""

import json
from pathlib import Path

from virtfn_lab.images import REGISTRY, TAG

FOLDER = "/var/lib/kubelet/device-plugins"


def script_pod(name: str, script: Path, *words: str) -> tuple[str, str]:
    """Return a ConfigMap with the script, and the pod that runs it with these words; both have this name."""
    data = {script.name: script.read_text()}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    container = {
        "name": "plugin",
        "image": f"{REGISTRY}/deviceplugin:{TAG}",
        "imagePullPolicy": "Never",
        "command": ["/opt/virtfn/bin/python3", f"/script/{script.name}", *words],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [
            {"name": "script", "mountPath": "/script"},
            {"name": "device-plugins", "mountPath": FOLDER},
        ],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [
            {"name": "script", "configMap": {"name": name}},
            {"name": "device-plugins", "hostPath": {"path": FOLDER, "type": "Directory"}},
        ],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    return json.dumps(config_map), json.dumps(pod)
