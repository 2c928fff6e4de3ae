"""The verb `plan`: what is sent where, what counts as an answer, and what is said of nodes that give none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask
from plan_law import CONTROLLER, MEMBERS, PODS, POLICIES, PlanCluster, PlanFleet

from virtfn_kubectl.cluster import Ran

Body = dict[str, Any]
Words = Sequence[str]


def policy(name: str = "fast", count: int = 2, **spec: Any) -> Body:
    functions = {"count": count, "pools": [{"resourceName": name}]}
    return {
        "metadata": {"name": name},
        "spec": {"devices": [{"vendor": "8086"}], "virtualFunctions": functions, **spec},
    }


class Cluster(PlanCluster):
    """Answers as `told` says, one after the other, before it answers well."""

    def __init__(self, fleet: PlanFleet) -> None:
        super().__init__(fleet, "")
        self.ran: list[list[str]] = []
        self.execs: list[list[str]] = []
        self.told: list[Ran] = []
        self.refusal = ""
        """The words with which `kubectl apply` ends with status 1."""
        self.times: list[float] = []

    def __call__(self, words: Words, seconds: float, given: str | None = None) -> Ran:
        """See PlanCluster."""
        self.ran.append(list(words))
        if "exec" in words:
            self.execs.append(list(words))
            self.times.append(seconds)
            if self.told:
                return self.told.pop(0)
        if "apply" in words and self.refusal:
            return Ran(status=1, out="", err=f"{self.refusal}\n")
        return super().__call__(words, seconds, given)


@pytest.fixture
def fleet() -> Iterator[Callable[..., Cluster]]:
    """Return a function that makes a fleet with some policies, which are carried out."""
    made: list[PlanFleet] = []

    def of(*policies: Body, nodes: int = 1) -> Cluster:
        found = PlanFleet()
        made.append(found)
        found.lists[PODS].append(CONTROLLER)
        for number in range(nodes):
            found.add(f"n{number}", {"number": str(number)}, pfs=1, total_vfs=7)
        for body in policies:
            found.put(POLICIES, body)
        asyncio.run(found.settle())
        return Cluster(found)

    yield of
    for found in made:
        for node in found.nodes.values():
            node.close()


Fleet = Callable[..., Cluster]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a policy file and returns its path."""

    def of(*documents: Body | str) -> str:
        path = tmp_path / "fast.yaml"
        path.write_text("\n---\n".join(it if isinstance(it, str) else json.dumps(it) for it in documents))
        return str(path)

    return of


File = Callable[..., str]
LOST = Ran(status=0, out="", err="")


def test_a_new_policy_is_told_step_by_step_and_nothing_is_written(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet()
    before = json.dumps(cluster.fleet.lists)
    answer = ask(cluster, "plan", "-f", file(policy()))
    assert (answer.status, answer.err) == (0, "")
    assert "policy fast: new; 1 node matches; at first it is Changing" in answer.out
    assert "0000:01:00.0: set sriov_numvfs 0 -> 2" in answer.out
    assert json.dumps(cluster.fleet.lists) == before
    assert cluster.fleet.nodes["n0"].done == []


def test_the_api_server_checks_the_file_and_stores_nothing(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet()
    ask(cluster, "plan", "-f", file(policy()), "--context", "lab")
    (applied,) = [call for call in cluster.ran if "apply" in call]
    assert {"--dry-run=server", "--validate=strict", "--context=lab"} <= set(applied)
    assert {call[2] for call in cluster.ran if "apply" not in call} == {"get", "exec"}


def test_the_node_is_asked_in_its_agents_container_with_a_deadline(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet()
    ask(cluster, "plan", "-f", file(policy()))
    ((*words,),) = cluster.execs
    assert words[1:] == [
        "exec",
        "--stdin",
        "--namespace=virtfn-system",
        "virtfn-agent-n0",
        "--container=agent",
        "--",
        "/opt/virtfn/bin/virtfn-operator",
        "preview",
        "--log-level=error",
    ]
    assert cluster.times == [60.0]


def test_nodes_that_are_not_concerned_are_not_asked(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet(nodes=3)
    wanted = policy(nodeSelector={"matchLabels": {"number": "1"}})
    document = ask(cluster, "plan", "-f", file(wanted), "--json").document
    assert [node["name"] for node in document["nodes"]] == ["n1"]
    assert document["unchangedNodes"] == 2
    assert len(cluster.execs) == 1


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("answer", [LOST, Ran(status=0, out='{"version": 1, "gener', err="")])
def test_an_answer_that_was_lost_is_asked_for_again(ask: Ask, fleet: Fleet, file: File, lost: int, answer: Ran) -> None:
    cluster = fleet()
    cluster.told = [answer] * lost
    assert ask(cluster, "plan", "-f", file(policy())).status == 0
    assert len(cluster.execs) == lost + 1


OTHER = json.dumps({"version": 1, "generation": 99, "status": {"observedGeneration": 99}, "pfs": []})
REFUSED = json.dumps({"version": 1, "error": {"reason": "HostUnreachable", "message": "no host process"}})


@pytest.mark.parametrize(
    ("answers", "asked", "why"),
    [
        ([LOST] * 3, 3, "the answer is not whole (kubectl exec ended with 0)"),
        ([Ran(status=0, out=OTHER, err="")] * 3, 3, "the answer is not whole"),
        ([Ran(status=0, out='{"version": 2}', err="")] * 3, 3, "the answer is not whole"),
        ([Ran(status=137, out="", err="command terminated with exit code 137")] * 3, 3, "exit code 137"),
        ([Ran(status=1, out="", err='Error from server (Forbidden): pods "x" is forbidden')], 1, "is forbidden"),
        ([Ran(status=2, out="", err="invalid choice: 'preview' (choose from ...)")], 1, "of an older version"),
        ([Ran(status=1, out=REFUSED, err="")], 1, "HostUnreachable: no host process"),
    ],
)
def test_a_node_that_does_not_tell_is_unknown_and_not_unchanged(
    ask: Ask, fleet: Fleet, file: File, answers: list[Ran], asked: int, why: str
) -> None:
    cluster = fleet()
    cluster.told = list(answers)
    answer = ask(cluster, "plan", "-f", file(policy()))
    assert answer.status == 1
    assert "it is not known what happens there" in answer.out
    assert why in " ".join(answer.out.split())
    assert len(cluster.execs) == asked


def test_a_node_without_an_agent_is_unknown_and_the_others_are_told(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet(nodes=2)
    cluster.fleet.lists[PODS][1]["status"]["phase"] = "Pending"
    document = ask(cluster, "plan", "-f", file(policy()), "--json").document
    first, second = document["nodes"]
    assert "no agent runs there" in first["unknown"]
    assert (first["devices"], first["turn"], second["unknown"]) == (None, None, None)
    assert document["stand"] == "Unknown"


def test_a_deadline_that_passes_is_told(ask: Ask, fleet: Fleet, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = fleet()
    real = Cluster.__call__

    def slow(self: Cluster, words: Words, seconds: float, given: str | None = None) -> Ran:
        if "exec" in words:
            raise TimeoutError(f"kubectl did not end within {seconds:.0f} s")
        return real(self, words, seconds, given)

    monkeypatch.setattr(Cluster, "__call__", slow)
    answer = ask(cluster, "plan", "-f", file(policy()))
    assert (answer.status, "did not end within 60 s" in answer.out) == (1, True)


def test_turns_are_in_the_order_of_the_controller(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet(policy(), nodes=3)
    document = ask(cluster, "plan", "-f", file(policy(count=3)), "--json").document
    assert [node["turn"] for node in document["nodes"]] == [
        {"atOnce": True, "place": None, "held": None},
        {"atOnce": False, "place": 1, "held": None},
        {"atOnce": False, "place": 2, "held": None},
    ]
    assert "turns, in this order: n0, n1, n2" in ask(cluster, "plan", "-f", file(policy(count=3))).out


@pytest.mark.parametrize("held", ["cordoned", "paused"])
def test_a_turn_that_does_not_come_says_why(ask: Ask, fleet: Fleet, file: File, held: str) -> None:
    cluster, wanted = fleet(policy()), policy(count=3)
    if held == "paused":
        wanted["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    else:
        cluster.fleet.put(MEMBERS, {**cluster.fleet.one(MEMBERS, "n0"), "spec": {"unschedulable": True}})
    (node,) = ask(cluster, "plan", "-f", file(wanted), "--json").document["nodes"]
    assert held in node["turn"]["held"]
    assert "gets none now" in ask(cluster, "plan", "-f", file(wanted)).out


def test_a_pod_in_the_way_is_named_with_the_steps_that_follow(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet(policy())
    node = cluster.fleet.nodes["n0"]
    node.hold(node.free()[0], "dpdk-0", opened=False)
    answer = ask(cluster, "plan", "-f", file(policy(count=3)))
    assert answer.status == 3
    assert "default/dpdk-0" in answer.out
    assert "when what holds it has gone:" in answer.out
    evicting = policy(count=3, disruption={"whenInUse": "Evict"})
    (told,) = ask(cluster, "plan", "-f", file(evicting), "--json").document["nodes"]
    assert told["evict"] == ["default/dpdk-0"]


def test_a_policy_that_loses_is_told_with_the_winner(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet(policy())
    answer = ask(cluster, "plan", "-f", file(policy("late", 5)), "--json")
    assert answer.status == 1
    (late,) = answer.document["policies"]
    assert (late["stand"], late["change"]) == ("Rejected", "new")
    assert any("CountConflict" in text and "policy fast" in text for text in late["notGiven"])


def test_a_deleted_policy_gives_back_what_it_has(ask: Ask, fleet: Fleet) -> None:
    answer = ask(fleet(policy()), "plan", "--delete", "fast")
    assert answer.status == 0
    assert "policy fast: deleted; what it has is given back" in answer.out
    assert "set sriov_numvfs 2 -> 0" in answer.out


def test_an_unchanged_policy_changes_nothing(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet(policy())
    answer = ask(cluster, "plan", "-f", file(policy()))
    assert (answer.status, cluster.execs) == (0, [])
    assert "policy fast: unchanged" in answer.out
    assert "nothing changes on 1 node" in answer.out


def test_a_policy_that_matches_no_node_is_status_4(ask: Ask, fleet: Fleet, file: File) -> None:
    wanted = policy(nodeSelector={"matchLabels": {"number": "7"}})
    assert ask(fleet(), "plan", "-f", file(wanted)).status == 4


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (
            'Error from server (BadRequest): error when creating "STDIN": unknown field "spec.device"',
            'unknown field "spec.device"',
        ),
        ('The SriovPolicy "fast" is invalid: spec.devices[0].vendor: Invalid value: "xyz"', "spec.devices[0].vendor"),
        ("error: error parsing STDIN: error converting YAML to JSON: yaml: line 2: mapping values", "yaml: line 2"),
    ],
)
def test_a_bad_document_is_named_with_its_line_and_field(
    ask: Ask, fleet: Fleet, file: File, refusal: str, says: str
) -> None:
    cluster = fleet()
    cluster.refusal = refusal
    path = file(policy(), policy("late"))
    answer = ask(cluster, "plan", "-f", path)
    assert answer.status == 2
    assert f"{path}: document 1 (line 1): " in answer.err
    assert says in answer.err
    assert "STDIN" not in answer.err
    assert cluster.execs == []


def test_a_missing_permission_is_no_fault_of_the_file(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet()
    cluster.refusal = 'Error from server (Forbidden): sriovpolicies.virtfn.dev "fast" is forbidden: User "eve" cannot'
    answer = ask(cluster, "plan", "-f", file(policy()))
    assert (answer.status, 'User "eve"' in answer.err) == (1, True)


NETWORK = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: net}\n"


@pytest.mark.parametrize("networks", [1, 3])
def test_networks_beside_policies_are_left_out_and_not_sent(ask: Ask, fleet: Fleet, file: File, networks: int) -> None:
    cluster = fleet()
    answer = ask(cluster, "plan", "-f", file(*[NETWORK] * networks, policy()))
    assert answer.status == 0
    assert f"NetworkAttachmentDefinitions are left out ({networks})" in answer.err
    assert len([call for call in cluster.ran if "apply" in call]) == 1


def test_a_file_of_networks_only_is_refused(ask: Ask, fleet: Fleet, file: File) -> None:
    answer = ask(fleet(), "plan", "-f", file(NETWORK, NETWORK))
    assert (answer.status, "only NetworkAttachmentDefinitions" in answer.err) == (2, True)


def test_another_kind_is_refused(ask: Ask, fleet: Fleet, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = fleet()
    monkeypatch.setattr("virtfn_kubectl.cluster.Cluster.would_store", lambda *_: {"kind": "Pod"})
    answer = ask(cluster, "plan", "-f", file(policy()))
    assert (answer.status, "want kind SriovPolicy, got Pod" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 2, "name a file with -f, or a policy with --delete"),
        (["-f", "/nowhere/x.yaml"], 2, "/nowhere/x.yaml: No such file"),
        (["--delete", "slow"], 4, "there is no policy slow; there are policies fast"),
        (["--delete", "node/fast"], 2, "write the name of a policy"),
        (["--delete", "fast", "--delete", "fast"], 2, "policy fast is there twice"),
    ],
)
def test_mistakes_are_told(ask: Ask, fleet: Fleet, words: list[str], status: int, says: str) -> None:
    answer = ask(fleet(policy()), "plan", *words)
    assert (answer.status, says in answer.err) == (status, True)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "there is nothing in it"),
        (b"# c\n---\n", "nothing in it"),
        (b"a: 1\nb: \xff\n", "line 2: not UTF-8"),
        (b"#" * (1 << 21), "longer than"),
    ],
)
def test_a_file_that_is_none_is_told(ask: Ask, fleet: Fleet, tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    answer = ask(fleet(), "plan", "-f", str(path))
    assert (answer.status, f"{path}: " in answer.err, says in answer.err) == (2, True, True)


def test_the_settings_of_the_controller_count(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet()
    wanted = policy("example.com/fast")
    wanted["metadata"]["name"] = "fast"
    answer = ask(cluster, "plan", "-f", file(wanted), "--json")
    assert (answer.status, answer.document["policies"][0]["reason"]) == (1, "InvalidPolicy")
    assert answer.document["nodes"] == []
    env = [{"name": "VIRTFN_RESOURCE_DOMAINS", "value": "example.com"}]
    controller = json.loads(json.dumps(CONTROLLER))
    controller["spec"]["containers"][0]["env"] = env
    cluster.fleet.lists[PODS][0] = controller
    (node,) = ask(cluster, "plan", "-f", file(wanted), "--json").document["nodes"]
    assert node["devices"][0]["policies"] == ["fast"]


def test_without_a_controller_the_defaults_are_taken_and_said(ask: Ask, fleet: Fleet, file: File) -> None:
    cluster = fleet()
    del cluster.fleet.lists[PODS][0]
    assert "its settings are taken to be the defaults" in ask(cluster, "plan", "-f", file(policy())).err


def test_alike_nodes_are_told_once(ask: Ask, fleet: Fleet, file: File) -> None:
    out = ask(fleet(nodes=4), "plan", "-f", file(policy())).out
    assert "nodes n0, n1, n2, n3: " in out
    assert out.count("set sriov_numvfs 0 -> 2") == 1
