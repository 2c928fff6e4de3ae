"""What `virtfn import` makes of a configuration, in few words, and whether virtfn takes it."""

import json
from collections.abc import Mapping
from typing import Any

from crd_schema import check, crd_schema

from virtfn_host.core.translate.asked import Translated, Translation
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import PolicyConfig

GROUP = "sriovnetwork.openshift.io/v1"
_SCHEMA = crd_schema("sriovpolicies")


def sriovdp_config(*resources: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json of the network device plugin."""
    return {"resourceList": list(resources)}


def config_map(**data: object) -> dict[str, Any]:
    """A ConfigMap of configurations; `config_json` is the key config.json."""
    texts = {key.replace("_", ".") if key == "config_json" else key: json.dumps(value) for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sriovdp-config"}, "data": texts}


def sno_object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the network operator."""
    metadata = {"name": name, "namespace": "sriov-network-operator"}
    return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def sno_policy(name: str = "fast", **spec: object) -> dict[str, Any]:
    """A SriovNetworkNodePolicy; what is not said is as in most examples."""
    usual = {"nodeSelector": {"example.com/sriov": "true"}, "resourceName": name.replace("-", "_"), "numVfs": 8}
    return sno_object("SriovNetworkNodePolicy", name, {**usual, **spec})


def expect_taken(translation: Translation) -> None:
    """Every policy, also one that needs a decision, passes the CRD's schema and virtfn's own parser."""
    for one in policies(translation):
        document = one.document
        assert document is not None
        check(_SCHEMA, document)
        read = policy_config(name="imported", uid="u", generation=1, spec=document["spec"])
        assert isinstance(read, PolicyConfig), read


def policies(translation: Translation) -> list[Translated]:
    """The results that have a SriovPolicy."""
    return [one for one in translation.results if one.document is not None and one.document["kind"] == "SriovPolicy"]


def brief(one: Translated) -> tuple[str, str, str, object, object]:
    """Name, resource, driver, count and indexes; "whole" as count of a policy for whole functions."""
    assert one.document is not None
    spec = one.document["spec"]
    name = one.document["metadata"]["name"]
    if "wholeFunctions" in spec:
        whole = spec["wholeFunctions"]
        return name, whole["resourceName"], whole["driver"], "whole", None
    (pool,) = spec["virtualFunctions"]["pools"]
    return name, pool["resourceName"], pool["driver"], spec["virtualFunctions"].get("count"), pool.get("indexes")


def briefly(translation: Translation) -> list[tuple[str, str, str, object, object]]:
    """All policies, in the order in which they are printed."""
    return [brief(one) for one in policies(translation)]


def devices(translation: Translation, name: str) -> list[dict[str, str]]:
    """The matchers of a policy."""
    (found,) = [one.document for one in policies(translation) if brief(one)[0] == name]
    assert found is not None
    matchers: list[dict[str, str]] = found["spec"]["devices"]
    return matchers


def said(translation: Translation) -> str:
    """Everything that is said of the results."""
    return "\n".join(text for one in translation.results for text in (*one.notes, *one.open))
