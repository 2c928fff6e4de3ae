"""What is in the images as they run: each process has its own libraries and no others, installed and not linked."""

from __future__ import annotations

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.product import NAMESPACE

PYTHON = "/opt/virtfn/bin/python3"
ASKED = ("kopf", "aiohttp", "kubernetes", "requests", "urllib3", "httpx", "grpc")
WANTED = {
    ("deploy/virtfn-controller", "controller"): {"kopf", "aiohttp", "kubernetes", "requests", "urllib3"},
    ("ds/virtfn-agent", "agent"): {"kopf", "aiohttp", "grpc"},
    ("ds/virtfn-agent", "host"): set(),
    ("ds/virtfn-deviceplugin", "deviceplugin"): {"grpc"},
}


@pytest.mark.parametrize("where", WANTED, ids=lambda where: where[1])
def test_an_image_has_its_own_libraries_only(cluster: Cluster, where: tuple[str, str]) -> None:
    workload, container = where
    program = (
        "import importlib.util as u, virtfn_host; "
        f"print(*(n for n in {ASKED!r} if u.find_spec(n))); print(virtfn_host.__file__)"
    )
    shown = cluster.shown("-n", NAMESPACE, workload, "-c", container, "--", PYTHON, "-c", program)
    libraries, place = shown.splitlines()
    assert set(libraries.split()) == WANTED[where]
    assert "/site-packages/" in place


def test_no_compiler_is_left_in_an_image(cluster: Cluster) -> None:
    for workload, container in WANTED:
        find = ["sh", "-c", "command -v gcc cc clang make || echo none"]
        shown = cluster.shown("-n", NAMESPACE, workload, "-c", container, "--", *find)
        assert shown.split() == ["none"], (workload, container)
