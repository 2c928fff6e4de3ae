"""The API server's audit log as the lab reads it, and which wall an answer comes from."""

import json
from pathlib import Path

import pytest

from virtfn_lab.audit import LOG, POLICY, calls, options
from virtfn_lab.privileges import Wall, wall
from virtfn_lab.thief import Answer

EVENT = {
    "verb": "patch",
    "requestURI": "/apis/virtfn.dev/v1alpha1/sriovnodes/node-1/status?fieldManager=x",
    "user": {
        "username": "system:serviceaccount:virtfn-system:virtfn-agent",
        "extra": {"authentication.kubernetes.io/node-name": ["node-1"]},
    },
    "userAgent": "Python/3.11 aiohttp/3",
    "objectRef": {"resource": "sriovnodes", "name": "node-1", "apiGroup": "virtfn.dev", "subresource": "status"},
    "responseStatus": {"code": 200},
    "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
}
DISCOVERY = {
    "verb": "get",
    "requestURI": "/apis/virtfn.dev/v1alpha1",
    "user": {"username": "system:serviceaccount:default:default"},
    "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
}


def test_a_request_is_told_by_who_asked_what_of_which_object(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text(json.dumps(EVENT) + "\n" + json.dumps(DISCOVERY) + "\n" + '{"half a li')
    patch, discovery = calls(tmp_path)
    assert (patch.account, patch.node) == ("virtfn-system:virtfn-agent", "node-1")
    assert (patch.verb, patch.group, patch.resource, patch.name) == (
        "patch",
        "virtfn.dev",
        "sriovnodes/status",
        "node-1",
    )
    assert (patch.path, patch.status) == ("/apis/virtfn.dev/v1alpha1/sriovnodes/node-1/status", 200)
    assert (discovery.account, discovery.node, discovery.resource, discovery.status) == ("default:default", "", "", 0)


def test_only_service_accounts_are_noted_and_none_of_kubernetes_own(tmp_path: Path) -> None:
    words = options(tmp_path)
    assert f"--audit-policy-file={tmp_path / POLICY}" in words
    own, noted, others = json.loads((tmp_path / POLICY).read_text())["rules"]
    assert (own["level"], noted["level"], others) == ("None", "Metadata", {"level": "None"})


@pytest.mark.parametrize(
    ("status", "message", "want"),
    [
        (200, "", Wall.NONE),
        (401, "Unauthorized", Wall.TOKEN),
        (403, 'secrets is forbidden: User "system:serviceaccount:a:b" cannot list resource "secrets"', Wall.RBAC),
        (403, "sriovnodes \"n\" is forbidden: ValidatingAdmissionPolicy 'virtfn-agent' with binding", Wall.POLICY),
        (403, 'pods "n" is forbidden: violates PodSecurity "restricted:latest"', None),
        (409, "already exists", None),
        (422, "is invalid", None),
        (404, "not found", None),
        (500, "ValidatingAdmissionPolicy is broken", None),
    ],
)
def test_an_answer_of_no_wall_is_taken_for_none(status: int, message: str, want: Wall | None) -> None:
    text = json.dumps({"kind": "Status", "message": message})
    assert wall(Answer(status=status, text=text)) is want
