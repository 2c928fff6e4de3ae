"""A real kubectl writes as `plan` and `rollout pause` want it: a dry run stores nothing, a pause is one annotation."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_cluster import Answer, cluster_of, recorded
from kubectl_served import Served, refused, served

from virtfn_kubectl.cluster import Cluster, run_program
from virtfn_kubectl.verbs import run

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="THERE IS NO kubectl HERE")
Real = Callable[..., Answer]
PAUSED = "virtfn.dev/paused"
NEW = """\
# what a person writes
apiVersion: virtfn.dev/v1alpha1
kind: SriovPolicy
metadata: {name: new}
spec:
  devices: [{vendor: "8086"}]
  virtualFunctions: {count: 2, pools: [{resourceName: new}]}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(cluster_of(recorded("changing")), tmp_path) as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def real(server: Served, capsys: pytest.CaptureFixture[str]) -> Real:
    """Return a function that runs a command line with the real kubectl."""

    def asked(*words: str) -> Answer:
        status = run(words, {}, run_program)
        printed = capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    return asked


def test_a_dry_run_is_asked_for_with_strict_fields_and_returns_what_would_be_stored(server: Served) -> None:
    stored = Cluster().would_store(NEW)
    assert (stored["kind"], stored["metadata"]["uid"], stored["spec"]["devices"]) == (
        "SriovPolicy",
        "u",
        [{"vendor": "8086"}],
    )
    (written,) = server.written
    assert (written.method, written.query["dryRun"], written.query["fieldValidation"]) == ("POST", "All", "Strict")


def test_an_edit_is_merged_with_what_is_there_and_not_stored(server: Served) -> None:
    before = recorded("changing")["policies"][0]
    stored = Cluster().would_store(NEW.replace("name: new", "name: fast"))
    assert stored["spec"]["virtualFunctions"]["count"] == 2
    assert stored["metadata"]["uid"] == before["metadata"]["uid"]
    assert {written.query.get("dryRun") for written in server.written} == {"All"}
    assert server.cluster.lists["/apis/virtfn.dev/v1alpha1/sriovpolicies"][0]["spec"] == before["spec"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("a: 1\nb: c: 2\n", "yaml: line 10"),
        ("kind: SriovPolicy\nmetadata: {name: x}\n", "apiVersion not set"),
    ],
)
def test_what_kubectl_cannot_read_names_the_document(real: Real, tmp_path: Path, document: str, says: str) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(f"{NEW}---\n{document}")
    answer = real("plan", "-f", str(path))
    assert answer.status == 2
    assert f"{path}: document 2 (line 9): " in answer.err
    assert says in answer.err


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (
            refused(
                "Invalid", 422, 'SriovPolicy.virtfn.dev "new" is invalid: spec.devices[0].vendor: Invalid value: "x"'
            ),
            "spec.devices[0].vendor",
        ),
        (
            refused("BadRequest", 400, 'strict decoding error: unknown field "spec.device"'),
            'unknown field "spec.device"',
        ),
    ],
)
def test_what_the_api_server_refuses_names_file_and_field(
    real: Real, server: Served, tmp_path: Path, status: dict[str, object], says: str
) -> None:
    server.refusal = status
    path = tmp_path / "one.yaml"
    path.write_text(NEW)
    answer = real("plan", "-f", str(path))
    assert answer.status == 2
    assert answer.err.startswith(f"kubectl virtfn: {path}: ")
    assert says in answer.err
    assert "STDIN" not in answer.err


def test_a_missing_right_is_told_with_the_apis_word(real: Real, server: Served, tmp_path: Path) -> None:
    server.refusal = refused("Forbidden", 403, 'sriovpolicies.virtfn.dev is forbidden: User "eve" cannot create')
    path = tmp_path / "one.yaml"
    path.write_text(NEW)
    answer = real("plan", "-f", str(path), "--json")
    assert (answer.status, answer.document["error"]["reason"]) == (1, "Forbidden")
    answer = real("rollout", "pause", "fast")
    assert answer.status == 1
    assert "which needs the permissions to get and patch SriovPolicies" in answer.err


def test_a_pause_patches_one_annotation_and_a_resume_takes_it_away(real: Real, server: Served) -> None:
    body = server.cluster.lists["/apis/virtfn.dev/v1alpha1/sriovpolicies"][0]
    assert real("rollout", "pause", "fast").status == 0
    assert body["metadata"]["annotations"] == {PAUSED: "true"}
    assert real("rollout", "pause", "fast").out.startswith("policy fast is paused already")
    assert real("rollout", "resume", "fast").status == 0
    assert PAUSED not in body["metadata"]["annotations"]
    assert [(w.method, w.kind, w.body) for w in server.written] == [
        ("PATCH", "application/merge-patch+json", {"metadata": {"annotations": {PAUSED: value}}})
        for value in ("true", None)
    ]
