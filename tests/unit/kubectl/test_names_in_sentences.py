"""`report`: no name is left of any sentence that the operator makes; each is made by the operator's own function."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from virtfn_host.core.checks.usable import held, names_of, open_outside
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Pod, Process
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Plan
from virtfn_kubectl.bundle.redacted import Collected, redacted
from virtfn_operator.agent.found import Done
from virtfn_operator.agent.leaving import Displacement, HoldingPod
from virtfn_operator.agent.naming import named
from virtfn_operator.agent.ready import ready
from virtfn_operator.api.bounds import cut_text
from virtfn_operator.api.node_spec import PodId
from virtfn_operator.api.node_state import read_node
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.evict import Eviction, EvictionAnswer, Facts, Said, evicting, read_pods
from virtfn_operator.controller.evictions import Evictions
from virtfn_operator.lifecycle.leaving import GIVEN_UP, left_on

AT = PciAddress.parse("0000:01:10.0")
PODS = tuple((f"acme-ns{n}", f"acme-pod{n}.x-{n}") for n in range(5))
UID = "7a0b1234-aaaa-bbbb-cccc-001122334455"
HELD = tuple(Holder(address=AT, cause=Cause.KUBELET, pod=Pod(namespace=ns, name=name)) for ns, name in PODS)
BUDGET = "The disruption budget acme-pdb needs 2 healthy pods and has 2 currently"
DENIED = 'admission webhook "policy.acme.example" denied the request: no'
FORBIDDEN = (
    'POST /api/v1/namespaces/acme-ns1/pods/acme-pod1/eviction: 403: pods "acme-pod1" is forbidden: User '
    '"system:serviceaccount:virtfn-system:virtfn-controller" cannot create resource "pods/eviction" in API group "" in '
    'the namespace "acme-ns1"'
)


def of_agent(*pods: HoldingPod, in_turn: bool, withdrawn: bool) -> str:
    """Return what a node says of pods that are to be evicted."""
    leaving = Displacement(pods=pods, functions=frozenset({AT}))
    calm = SimpleNamespace(stuck=None, journal_error=None)
    found: Any = SimpleNamespace(observation=calm, plan=Plan(pfs=()), leaving=leaving, mismatches=(), notes=())
    spec: Any = SimpleNamespace(rejected=(), may_change=in_turn)
    done = Done(withdrawn=frozenset({AT}) if withdrawn else frozenset())
    return ready(spec, 1, found, done, changing=None).message


def stuck() -> str:
    observation = SimpleNamespace(stuck=SimpleNamespace(held=[AT], text="a write hangs"), journal_error=None)
    found: Any = SimpleNamespace(observation=observation, in_use=InUse(holders=HELD))
    return ready(SimpleNamespace(rejected=(), may_change=True), 1, found, Done(), changing=None).message  # type: ignore[arg-type]


def of_controller(answer: EvictionAnswer | None = None, **metadata: Any) -> str:
    """Return why a pod is not evicted."""
    ids = {"namespace": "acme-ns1", "name": "acme-pod1", "uid": UID}
    plan = {"disruptive": True, "evict": {"withdrawn": True, "pods": [{"device": "d", **ids}]}}
    state = read_node(
        {
            "metadata": {"name": "n1", "generation": 7},
            "spec": {"policies": [], "mayChange": True, "evict": [ids]},
            "status": {"observedGeneration": 7, "plan": plan},
        }
    )
    pods = read_pods(
        [{"metadata": {**ids, **metadata}}], frozenset({"acme-ns1"} if not metadata and not answer else ())
    )
    found = evicting(state, Facts(pods={"n1": pods}, answers={} if answer is None else {UID: answer}))
    assert found.why is not None
    return found.why[1]


def uninstalled(*holders: Holder) -> str:
    blocked = {"device": str(AT), "pods": list(named(holders))}
    return "\n".join(
        left_on({"metadata": {"name": "n1"}, "spec": GIVEN_UP, "status": {"plan": {"blocked": [blocked]}}}).lines
    )


HOLDING = tuple(HoldingPod(device=AT, namespace=ns, name=name) for ns, name in PODS)
KNOWN_BY_UID = HoldingPod(device=AT, uid=UID)
DAEMON: dict[str, Any] = {"ownerReferences": [{"kind": "DaemonSet", "name": "acme-ds", "controller": True}]}
EVICTED = of_agent(*HOLDING, in_turn=True, withdrawn=True)
OUTSIDE = Holder(address=AT, cause=Cause.GROUP_OPEN, process=Process(pid=7, command="acme-app"))
SENTENCES = {
    "pods must leave": EVICTED,
    "pods are still offered": of_agent(*HOLDING, in_turn=True, withdrawn=False),
    "pods wait for other nodes": of_agent(*HOLDING[:2], in_turn=False, withdrawn=False),
    "one pod is known by its uid": of_agent(HOLDING[0], KNOWN_BY_UID, HOLDING[1], in_turn=True, withdrawn=True),
    "the first pod is known by its uid": of_agent(KNOWN_BY_UID, *HOLDING, in_turn=True, withdrawn=True),
    "a write hangs": stuck(),
    "holders": ", ".join(named(HELD)),
    "holders of a change": names_of(HELD),
    "a change waits": held(HELD, "igbvf", "vfio-pci").text,  # type: ignore[union-attr]
    "a process has it": open_outside([OUTSIDE]).text,  # type: ignore[union-attr]
    "held after an uninstall": uninstalled(*HELD),
    "a budget refuses": of_controller(EvictionAnswer(said=Said.REFUSED, text=BUDGET)),
    "a webhook refuses": of_controller(EvictionAnswer(said=Said.REFUSED, text=DENIED)),
    "a right is missing": of_controller(EvictionAnswer(said=Said.REFUSED, text=FORBIDDEN)),
    "a DaemonSet's pod": of_controller(**DAEMON),
    "a static pod": of_controller(annotations={"kubernetes.io/config.mirror": "x"}),
    "a namespace that is left alone": of_controller(),
}


def left(files: dict[str, str]) -> bool:
    return "acme" in "".join([*files, *files.values()]).lower()


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_no_name_of_a_sentence_is_in_the_report(sentence: str) -> None:
    assert "acme" in sentence
    told = {"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "message": sentence}]}}
    for found in (
        Collected(events=[{"message": sentence}]),
        Collected(policies=[told]),
        Collected(nodes=[told]),
        Collected(pods=[told]),
        Collected(logs={("p", "agent"): f"WARNING {sentence}\n"}),
        Collected(texts={"status.txt": sentence}),
    ):
        files = redacted(found)
        assert not left(files)
        kept = "\n".join(files.values())
        assert [
            word for word in ("evict", "leave", "held", "end", "use") if word in sentence and word not in kept
        ] == []


def test_a_sentence_that_is_cut_leaves_no_part_of_a_name() -> None:
    for name in ("pods must leave", "a budget refuses", "a DaemonSet's pod", "a namespace that is left alone"):
        cut = (cut_text(SENTENCES[name], most) for most in range(16, len(SENTENCES[name])))
        assert [text for text in cut if left(redacted(Collected(events=[{"message": text}])))] == []


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (None, "evicted pod"),
        (KubeError(429, "429", cause=BUDGET), "is not evicted"),
        (KubeError(403, FORBIDDEN), "is not evicted"),
    ],
)
async def test_no_name_of_the_controllers_log_is_in_the_report(
    error: KubeError | None, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def evict(*_: str) -> None:
        if error is not None:
            raise error

    with caplog.at_level(logging.INFO):
        kube: Any = SimpleNamespace(evict=evict)
        pod = PodId(namespace="acme-ns1", name="acme-pod1", uid=UID)
        await Evictions(kube).send([Eviction(node="n1", pod=pod)])
    assert word in caplog.text
    assert not left(redacted(Collected(logs={("p", "controller"): caplog.text})))


@pytest.mark.parametrize("part", ["spec", "status"])
def test_pods_to_evict_that_no_sentence_names_are_replaced(part: str) -> None:
    pods = [{"device": str(AT), "namespace": "acme-ns", "name": "acme-pod", "uid": UID}]
    fields = {"spec": {"evict": pods}, "status": {"plan": {"evict": {"withdrawn": True, "pods": pods}}}}
    node = {"metadata": {"name": "n1"}, part: fields[part]}
    assert not left(redacted(Collected(nodes=[node], logs={("p", "agent"): "acme-ns acme-pod\n"})))


def test_a_name_is_the_same_word_in_every_sentence() -> None:
    events = [{"message": SENTENCES[it]} for it in ("pods must leave", "holders", "a DaemonSet's pod")]
    pods = [{"namespace": ns, "name": name} for ns, name in PODS]
    node = {"metadata": {"name": "n1"}, "status": {"plan": {"evict": {"pods": pods}}}}
    files = redacted(Collected(events=events, nodes=[node]))
    listed = json.loads(files["nodes.json"])[0]["status"]["plan"]["evict"]["pods"]
    words = [f"{it['namespace']}/{it['name']}" for it in listed]
    assert len(set(words)) == len(PODS)
    told = [it["message"] for it in json.loads(files["events.json"])]
    assert told[0].startswith(f"pods {', '.join(words[:3])} and 2 more")
    assert told[1] == ", ".join(f"pod {word}" for word in words)


@pytest.mark.parametrize(
    "text",
    [
        "a pod that is being started (device plugin's ledger) will be evicted from what is to be changed",
        "look at the log of its virtfn-deviceplugin pod; the DaemonSet of it was not found",
        "PF has no netdev in the host's network namespace; is it in another one?",
        "it is unknown what the kubelet offers to pods: no answer",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        "a function that no pod …, and is of that",
    ],
)
def test_words_that_are_no_names_stay(text: str) -> None:
    assert redacted(Collected(texts={"x.txt": text}))["x.txt"] == text


@pytest.mark.parametrize(
    "text", ["pod " * 50_000, "pods a/b, " * 30_000, "pods " + "a/b, " * 50_000, "pod a." * 40_000]
)
def test_a_text_made_to_be_slow_is_read_to_its_end(text: str) -> None:
    assert "x.txt" in redacted(Collected(texts={"x.txt": text}))


def test_reasons_of_evictions_are_no_names() -> None:
    text = f"{Reason.EVICTING} {Reason.EVICTION_BLOCKED}"
    assert redacted(Collected(texts={"x.txt": text}))["x.txt"] == text
