"""A node comes over from another tool, as docs/migration.md says, while pods hold VFs: no VF is touched, names stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from translated import sno_policy, sriovdp_config

from virtfn_host.cli.verbs import run
from virtfn_lab.node import LEFT, RIGHT, Node
from virtfn_lab.other_tool import Offer, addresses, made_by_hand, served_by_another, used, user
from virtfn_lab.product import allocatable, functions

EVERY = {"kubernetes.io/os": "linux"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """The other tool's configuration, the VFs that it made, and what it offers of them."""

    tool: str
    config: Any
    made: Mapping[str, int]
    offers: Mapping[str, Sequence[Offer]]


def sno(*policies: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(policies)}


MIGRATIONS = {
    "operator: VFs of every card with these ids": Migration(
        tool="sno",
        config=sno(
            sno_policy(
                "intelnics",
                nodeSelector=EVERY,
                nicSelector={"vendor": "8086", "deviceID": "10c9"},
                deviceType="vfio-pci",
                numVfs=3,
            )
        ),
        made={LEFT: 3, RIGHT: 3},
        offers={"openshift.io/intelnics": (Offer(LEFT, range(3)), Offer(RIGHT, range(3)))},
    ),
    "operator: two policies divide a PF": Migration(
        tool="sno",
        config=sno(
            sno_policy(
                "dpdk",
                nodeSelector=EVERY,
                nicSelector={"pfNames": ["eth1#0-3"]},
                priority=10,
                deviceType="vfio-pci",
                numVfs=7,
            ),
            sno_policy("net", nodeSelector=EVERY, nicSelector={"pfNames": ["eth1#4-6"]}, priority=20, numVfs=7),
        ),
        made={LEFT: 7},
        offers={
            "openshift.io/dpdk": (Offer(LEFT, range(4)),),
            "openshift.io/net": (Offer(LEFT, range(4, 7), vfio=False),),
        },
    ),
    "operator: netdevs without topology": Migration(
        tool="sno",
        config=sno(
            sno_policy(
                "netdevs",
                nodeSelector=EVERY,
                nicSelector={"vendor": "8086", "pfNames": ["eth2"]},
                excludeTopology=True,
                numVfs=2,
            )
        ),
        made={RIGHT: 2},
        offers={"openshift.io/netdevs": (Offer(RIGHT, range(2), vfio=False),)},
    ),
    "operator: PFs by address": Migration(
        tool="sno",
        config=sno(
            sno_policy(
                "roots",
                nodeSelector=EVERY,
                nicSelector={"rootDevices": [LEFT, RIGHT]},
                deviceType="vfio-pci",
                numVfs=2,
            )
        ),
        made={LEFT: 2, RIGHT: 2},
        offers={"openshift.io/roots": (Offer(LEFT, range(2)), Offer(RIGHT, range(2)))},
    ),
    "operator: VFs that something else makes": Migration(
        tool="sno",
        config=sno(
            sno_policy(
                "kept",
                nodeSelector=EVERY,
                nicSelector={"pfNames": ["eth1"]},
                externallyManaged=True,
                deviceType="vfio-pci",
                numVfs=4,
            )
        ),
        made={LEFT: 4},
        offers={"openshift.io/kept": (Offer(LEFT, range(4)),)},
    ),
    "operator: another range of each PF": Migration(
        tool="sno",
        config=sno(
            sno_policy(
                "split",
                nodeSelector=EVERY,
                nicSelector={"pfNames": ["eth1#0-1", "eth2#2-3"]},
                deviceType="vfio-pci",
                numVfs=4,
            )
        ),
        made={LEFT: 4, RIGHT: 4},
        offers={"openshift.io/split": (Offer(LEFT, range(2)), Offer(RIGHT, range(2, 4)))},
    ),
    "plugin: VFs by their own ids": Migration(
        tool="sriovdp",
        config=sriovdp_config(
            {"resourceName": "vfs", "selectors": {"vendors": ["8086"], "devices": ["10ca"], "drivers": ["vfio-pci"]}}
        ),
        made={LEFT: 3, RIGHT: 2},
        offers={"intel.com/vfs": (Offer(LEFT, range(3)), Offer(RIGHT, range(2)))},
    ),
    "plugin: two resources of a PF by ranges": Migration(
        tool="sriovdp",
        config=sriovdp_config(
            {"resourceName": "dpdk", "selectors": {"drivers": ["vfio-pci"], "pfNames": ["eth1#0-3"]}},
            {"resourceName": "netdevice", "selectors": {"drivers": ["igbvf"], "pfNames": ["eth1#4,6"]}},
        ),
        made={LEFT: 7},
        offers={
            "intel.com/dpdk": (Offer(LEFT, range(4)),),
            "intel.com/netdevice": (Offer(LEFT, (4, 6), vfio=False),),
        },
    ),
    "plugin: PFs by address, one with a range": Migration(
        tool="sriovdp",
        config=sriovdp_config(
            {"resourceName": "roots", "selectors": {"rootDevices": [f"{LEFT}#0-1", RIGHT], "drivers": ["vfio-pci"]}}
        ),
        made={LEFT: 3, RIGHT: 2},
        offers={"intel.com/roots": (Offer(LEFT, range(2)), Offer(RIGHT, range(2)))},
    ),
}


@pytest.fixture(params=[*MIGRATIONS.values()], ids=[*MIGRATIONS])
def migration(request: pytest.FixtureRequest, node: Node) -> Iterator[Migration]:
    """A migration, with its VFs there; when its policies are gone, they are as the other tool had them."""
    found: Migration = request.param
    offers = [offer for each in found.offers.values() for offer in each]
    with made_by_hand(node, found.made, offers):
        before = functions(node.cluster)
        yield found
        node.cluster.kubectl("delete", "pods", "--all", "--wait=true")
        node.cluster.kubectl("delete", "svp", "--all")
        node.until("as the other tool had it", lambda: functions(node.cluster) == before, 90)


def imported(migration: Migration, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `virtfn import` prints of the other tool's configuration; nothing is left to be decided."""
    file = folder / "config.json"
    file.write_text(json.dumps(migration.config))
    capsys.readouterr()
    assert run(["import", migration.tool, str(file)]) == 0
    printed = capsys.readouterr().out
    assert {one["kind"] for one in yaml.safe_load_all(printed)} == {"SriovPolicy"}
    return printed


def test_no_vf_is_touched_and_pods_get_theirs_under_the_same_names(
    migration: Migration, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = imported(migration, tmp_path, capsys)
    vfs = [vf for each in migration.offers.values() for offer in each for vf in addresses(node, offer)]
    resources = {f"pod-{number}": resource for number, resource in enumerate(migration.offers)}
    with node.untouched(*vfs):
        with served_by_another(node, migration.offers):
            node.apply(*(user(pod, resource) for pod, resource in resources.items()))
            held = [used(node, pod) for pod in resources]
            began = running(node, resources)
        node.apply(policies)
        for resource, offers in migration.offers.items():
            wanted = sum(len(offer.indexes) for offer in offers)
            node.until(f"{resource}: {wanted}", lambda: allocatable(node.cluster, resource) == wanted, 90)  # noqa: B023
        node.converged()
        node.apply(*(user(f"new-{pod}", resource) for pod, resource in resources.items()))
        more = [used(node, f"new-{pod}") for pod in resources]
    assert set(more) <= set(vfs)
    assert not set(more) & set(held)
    assert running(node, resources) == began


def running(node: Node, pods: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """Uid, phase and restarts of pods."""
    found: list[Any] = [node.cluster.get("pod", pod) for pod in pods]
    return [
        (one["metadata"]["uid"], one["status"]["phase"], one["status"]["containerStatuses"][0]["restartCount"])
        for one in found
    ]
