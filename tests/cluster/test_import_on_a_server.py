"""What `virtfn import` prints is taken by a real API server: schema, CEL rules and all, with every resource name."""

from __future__ import annotations

import pytest
import yaml
from other_tools import SNO, SRIOVDP
from translated import briefly, policies, sriovdp_config

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.sno import translate_sno
from virtfn_host.core.translate.sriovdp import translate_sriovdp
from virtfn_lab.cluster import Cluster

TRANSLATED = {
    **{f"sriovdp: {name}": translate_sriovdp([sriovdp_config(*entries)]) for name, entries in SRIOVDP.items()},
    **{f"sno: {name}": translate_sno(objects) for name, objects in SNO.items()},
}


def test_there_are_enough() -> None:
    assert len(TRANSLATED) >= 12


@pytest.mark.parametrize("found", TRANSLATED.values(), ids=TRANSLATED.keys())
def test_a_server_takes_every_policy(cluster: Cluster, found: Translation) -> None:
    documents = [one.document for one in policies(found)]
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-o", "yaml", "-f", "-", stdin=yaml.safe_dump_all(documents)
    )
    taken = yaml.safe_load(answer.stdout)
    specs = [item["spec"] for item in taken.get("items", [taken])]
    pools = [spec.get("wholeFunctions") or spec["virtualFunctions"]["pools"][0] for spec in specs]
    assert [pool["resourceName"] for pool in pools] == [resource for _, resource, *_ in briefly(found)]
