"""Where the SR-IOV network operator's CRDs are, whoever applies an object of it is told of `virtfn import`."""

from __future__ import annotations

import pytest
import yaml

from virtfn_lab.chart import render
from virtfn_lab.cluster import Cluster

HINT = "virtfn-import-hint"
POLICY = {
    "apiVersion": "sriovnetwork.openshift.io/v1",
    "kind": "SriovNetworkNodePolicy",
    "metadata": {"name": "fast", "namespace": "default"},
    "spec": {"resourceName": "fast", "numVfs": 4, "nodeSelector": {}, "nicSelector": {"vendor": "8086"}},
}
CRD_NAME = "sriovnetworknodepolicies.sriovnetwork.openshift.io"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": CRD_NAME},
    "spec": {
        "group": "sriovnetwork.openshift.io",
        "scope": "Namespaced",
        "names": {
            "kind": "SriovNetworkNodePolicy",
            "plural": "sriovnetworknodepolicies",
            "singular": "sriovnetworknodepolicy",
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("values", "there"),
    [((), True), (("admissionPolicy.hintImport=false",), False), (("admissionPolicy.enabled=false",), False)],
)
def test_the_hint_only_warns_and_can_be_switched_off(values: tuple[str, ...], there: bool) -> None:
    objects = render(*values)
    assert (("ValidatingAdmissionPolicy", HINT) in objects) is there
    assert (("ValidatingAdmissionPolicyBinding", HINT) in objects) is there
    if there:
        assert objects["ValidatingAdmissionPolicy", HINT]["spec"]["failurePolicy"] == "Ignore"
        assert objects["ValidatingAdmissionPolicyBinding", HINT]["spec"]["validationActions"] == ["Warn"]


def test_without_the_operators_crds_kubectl_itself_answers(cluster: Cluster) -> None:
    answer = cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(POLICY), check=False)
    assert answer.returncode != 0
    assert 'no matches for kind "SriovNetworkNodePolicy"' in answer.stderr


def test_a_policy_of_the_operator_is_taken_with_the_commands_name(cluster: Cluster) -> None:
    try:
        cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{CRD_NAME}")
        answer = cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(POLICY))
        assert "`virtfn import sno FILE` prints objects that take its place" in answer.stderr
    finally:
        cluster.kubectl("delete", "--ignore-not-found", f"crd/{CRD_NAME}", check=False)
