"""`rollout pause` and `resume`: what is written, what is said, and what is not written twice."""

from __future__ import annotations

import json

import pytest
from fake_cluster import Ask, FakeCluster, cluster_of, recorded

PAUSED = "virtfn.dev/paused"


def fleet(paused: str | None = None, name: str = "changing") -> FakeCluster:
    found = recorded(name)
    annotations = {"kept": "as it is"} | ({} if paused is None else {PAUSED: paused})
    found["policies"][0]["metadata"]["annotations"] = annotations
    return cluster_of(found)


def written(cluster: FakeCluster) -> dict[str, str]:
    found: dict[str, str] = cluster.lists["/apis/virtfn.dev/v1alpha1/sriovpolicies"][0]["metadata"]["annotations"]
    return found


def patches(cluster: FakeCluster) -> list[list[str]]:
    return [call for call in cluster.calls if "patch" in call]


@pytest.mark.parametrize("name", ["fast", "policy/fast", "svp/fast"])
def test_pause_writes_the_annotation_and_nothing_else(ask: Ask, name: str) -> None:
    cluster = fleet()
    answer = ask(cluster, "rollout", "pause", name)
    assert (answer.status, answer.err) == (0, "")
    assert written(cluster) == {"kept": "as it is", PAUSED: "true"}
    ((*_, patch, _),) = patches(cluster)
    assert json.loads(patch.removeprefix("--patch=")) == {"metadata": {"annotations": {PAUSED: "true"}}}


def test_pause_says_who_goes_on_who_waits_and_how_to_go_on(ask: Ask) -> None:
    assert ask(fleet(), "rollout", "pause", "fast").out.splitlines() == [
        "policy fast: paused",
        "  goes on to the end of its change: node-2",
        "  waits until it is resumed: node-3",
        "  go on with: kubectl virtfn rollout resume fast",
    ]


@pytest.mark.parametrize("value", ["true", "yes", "1", ""])
def test_resume_takes_away_what_paused_it(ask: Ask, value: str) -> None:
    cluster = fleet(value)
    answer = ask(cluster, "rollout", "resume", "fast", "--json")
    assert written(cluster) == {"kept": "as it is"}
    assert answer.document == {
        "policy": "fast",
        "paused": False,
        "changed": True,
        "mayChange": ["node-2"],
        "waiting": ["node-3"],
        "stoppedBy": None,
    }


@pytest.mark.parametrize(
    ("action", "before", "says"),
    [
        ("pause", "true", "is paused already"),
        ("pause", "anything", "is paused already"),
        ("pause", "", "is paused already"),
        ("resume", None, "is not paused"),
        ("resume", "false", "is not paused"),
    ],
)
def test_what_is_so_already_is_not_written(ask: Ask, action: str, before: str | None, says: str) -> None:
    cluster = fleet(before)
    answer = ask(cluster, "rollout", action, "fast")
    assert (answer.status, patches(cluster)) == (0, [])
    assert f"policy fast {says}; nothing was changed" in answer.out


def test_twice_is_as_once(ask: Ask) -> None:
    cluster = fleet()
    for _ in range(2):
        assert ask(cluster, "rollout", "pause", "fast").status == 0
    assert len(patches(cluster)) == 1


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_policy_that_is_not_there_is_named(ask: Ask, action: str) -> None:
    answer = ask(fleet(), "rollout", action, "slow")
    assert answer.status == 4
    assert "there is no policy slow; there are policies fast" in answer.err


def test_one_that_is_deleted_meanwhile_is_told(ask: Ask) -> None:
    cluster = fleet()
    cluster.patch_error = 'Error from server (NotFound): sriovpolicies.virtfn.dev "fast" not found'
    answer = ask(cluster, "rollout", "pause", "fast")
    assert (answer.status, "deleted meanwhile" in answer.err) == (4, True)


@pytest.mark.parametrize(("action", "before"), [("pause", None), ("resume", "true")])
def test_a_missing_permission_is_told_in_words(ask: Ask, action: str, before: str | None) -> None:
    cluster = fleet(before)
    cluster.patch_error = (
        'Error from server (Forbidden): sriovpolicies.virtfn.dev "fast" is forbidden: User "eve" cannot patch resource'
    )
    answer = ask(cluster, "rollout", action, "fast", "--json")
    assert answer.status == 1
    assert answer.document["error"]["reason"] == "Forbidden"
    assert f"you may not {action} a rollout, which needs the permissions to get and patch SriovPolicies" in answer.err
    assert 'User "eve" cannot patch' in answer.err


def test_a_change_that_does_not_stay_is_not_reported_as_done(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = fleet()
    body = json.dumps(cluster.lists["/apis/virtfn.dev/v1alpha1/sriovpolicies"][0])
    monkeypatch.setattr(FakeCluster, "_patch", lambda *_: type(cluster.executed)(status=0, out=body, err=""))
    answer = ask(cluster, "rollout", "pause", "fast")
    assert (answer.status, "its answer is not paused" in answer.err) == (1, True)


def test_a_resumed_rollout_that_a_failure_stops_is_told(ask: Ask) -> None:
    cluster = fleet("true")
    cluster.lists["/apis/virtfn.dev/v1alpha1/sriovpolicies"][0]["status"]["rollout"] = {"stoppedBy": "node-2"}
    assert "still stopped: node node-2 failed in its turn" in ask(cluster, "rollout", "resume", "fast").out


@pytest.mark.parametrize("name", ["node/fast", "pod/fast", "Fast", "a b"])
def test_what_is_no_name_of_a_policy_is_a_usage_error(ask: Ask, name: str) -> None:
    assert ask(fleet(), "rollout", "pause", name).status == 2
