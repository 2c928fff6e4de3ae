"""The files of one example fit each other: pods ask for what its policies offer, and read the variables of that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_deviceplugin.grant.environment import environment

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FOLDERS = {"dpdk": (), "netdev": (), "nvme": ("policy-whole.yaml",), "rdma": (), "virtual-machine": ()}
"""Folders of examples/, each with the policies that it uses beside its own."""
NETWORKS, RESOURCE = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/resourceName"

Objects = dict[str, list[Any]]
"""Objects by kind."""


def objects(folder: str) -> Objects:
    paths = [*sorted((EXAMPLES / folder).glob("*.yaml")), *(EXAMPLES / name for name in FOLDERS[folder])]
    found: Objects = {"SriovPolicy": [], "Pod": [], "NetworkAttachmentDefinition": []}
    for path in paths:
        for document in yaml.safe_load_all(path.read_text()):
            found[document["kind"]].append(document)
    return found


def offered(found: Objects) -> set[str]:
    specs = [policy["spec"] for policy in found["SriovPolicy"]]
    pools = [pool for spec in specs for pool in spec.get("virtualFunctions", {}).get("pools", ())]
    pools += [spec["wholeFunctions"] for spec in specs if "wholeFunctions" in spec]
    return {f"virtfn.dev/{pool['resourceName']}" for pool in pools}


def asked(pod: Any) -> set[str]:
    (container,) = pod["spec"]["containers"]
    return {name for name in container["resources"]["limits"] if "/" in name}


def test_every_folder_is_looked_at() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_ask_for_what_is_offered(folder: str) -> None:
    found = objects(folder)
    assert found["Pod"]
    for pod in found["Pod"]:
        assert asked(pod)
        assert asked(pod) <= offered(found)


@pytest.mark.parametrize("folder", ["dpdk", "nvme", "virtual-machine"])
def test_pods_read_the_variable_of_their_own_resource(folder: str) -> None:
    for pod in objects(folder)["Pod"]:
        read = set(re.findall(r"\$(PCIDEVICE_\w+)", str(pod["spec"]["containers"])))
        assert len(read) == 1
        assert read <= {key for resource in asked(pod) for key in environment(resource, ())}


def test_networks_are_of_resources_that_are_offered_and_asked_for() -> None:
    found = objects("netdev")
    metadata = [network["metadata"] for network in found["NetworkAttachmentDefinition"]]
    networks = {one["name"]: one["annotations"][RESOURCE] for one in metadata}
    assert set(networks.values()) <= offered(found)
    for pod in found["Pod"]:
        assert asked(pod) == {networks[pod["metadata"]["annotations"][NETWORKS]]}
