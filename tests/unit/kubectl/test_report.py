"""`report`: no name and no secret is in it, names are the same words everywhere, and what helps is still there."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask, FakeCluster, cluster_of, recorded
from hypothesis import given
from hypothesis import strategies as st

from virtfn_kubectl.bundle.kept import MEMBER, NODE, POD, POLICY, kept
from virtfn_kubectl.bundle.pseudonyms import KNOWN, Pseudonyms
from virtfn_kubectl.bundle.redacted import Collected, redacted
from virtfn_kubectl.bundle.scrubbed import scrubbed
from virtfn_kubectl.cluster import Ran

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl-c2ln_bmF0dXJl"
SECRETS = {
    "a service account token": JWT,
    "a bearer": "Authorization: Bearer abc.def-123",
    "a password": "db_password=hunter2hunter2",
    "a password in JSON": '{"registryPassword": "correct horse"}',
    "a password of an option": "--admin-password s3cr3t-word",
    "a token in YAML": "token: 8f7a9b",
    "an API key": "X-Api-Key: k3yk3yk3y",
    "a key of a cloud": "AKIAIOSFODNN7EXAMPLE",
    "a secret key of a cloud": "aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "a forge's token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "a URL with a password": "https://user:pa55@registry.example.com/v2",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc\n-----END RSA PRIVATE KEY-----",
    "a private key that was cut": "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7",
    "a MAC": "3c:fd:fe:12:34:56",
    "a MAC in capitals and dashes": "3C-FD-FE-12-34-56",
    "a MAC of a router": "3cfd.fe12.3456",
    "a MAC in a netdev's name": "enx3cfdfe123456",
    "a GUID": "00:11:22:33:44:55:66:77",
    "a GUID in words of four": "0011:2233:4455:6677",
    "a serial number": "serialNumber: 3c-fd-fe-ff-ff-12-34-56",
    "a serial number of a disk": "serial number S4EMNX0R627402",
    "a UUID": "0b7e1234-aaaa-bbbb-cccc-001122334455",
    "an address": "192.168.17.23",
    "an address of version 6": "fd00:1234::17",
    "a long address of version 6": "2001:db8:85a3:0:0:8a2e:370:7334",
    "a mail address": "jane.doe@corp.example.com",
    "encoded bytes": "dGhpcyBpcyBhIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgcmVhZA==",
    "a digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
TELLING = (
    JWT, "abc.def-123", "hunter2", "correct horse", "s3cr3t", "8f7a9b", "k3yk3", "AKIAIO", "wJalrX", "16C7e42F", "pa55",
    "MIIEp", "12:34:56", "12-34-56", "fe12.3456", "fe123456", "22:33:44", "2233:4455", "ff-ff-12", "S4EMN", "aaaa-bbbb",
    "168.17", "fd00:1234", "85a3", "jane.doe", "dGhpcy", "9f86d0",
)  # fmt: skip
"""A part of each secret that must not be left."""
HARMLESS = (
    "0000:3b:00.1: unbind from igbvf: Device or resource busy (EBUSY)",
    "VF 0-3,6 of 0000:af:00.0 on vfio-pci as virtfn.dev/fast; IOMMU group 59",
    "2026-01-01T11:30:00Z write 4 to sriov_numvfs: No space left on device",
    "opens only with a VF token; bind the PF to its own driver",
    "/var/lib/virtfn/journal.json: permission denied; look at /sys/bus/pci/devices/0000:3b:00.0/driver_override",
    "kernel 6.12.43+deb13-amd64, kubelet v1.31.4, 8086:10c9, class 020000",
    "netdev ens1f0np0 has no link",
)


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("around", ["{}", "error: {} was refused", "a=b {}, c", '{{"message": "{}"}}', "x\n{}\ny"])
def test_a_secret_in_a_text_is_taken_out(secret: str, around: str) -> None:
    text = scrubbed(around.format(secret))
    assert [part for part in TELLING if part in text] == []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_helps_stays(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "token" * 60_000, "0:" * 150_000, "-----BEGIN X-----" * 20_000, "a@" * 150_000]
)
def test_a_text_made_to_be_slow_is_read_to_its_end(text: str) -> None:
    assert isinstance(scrubbed(text), str)


def filled(fields: Any, secret: str) -> Any:
    """An object that has the secret in every field that is kept, and in fields that are not."""
    if fields is None:
        return secret
    found = {name: filled(below, secret) for name, below in fields.items()}
    return {
        **found,
        "annotations": {"x": secret},
        "env": [{"name": "A", "value": secret}],
        "other": [secret, {"a": secret}],
    }


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_no_secret_of_any_object_or_log_is_in_the_report(secret: str) -> None:
    found = Collected(
        policies=[filled(POLICY, secret)],
        nodes=[filled(NODE, secret)],
        members=[filled(MEMBER, secret)],
        pods=[filled(POD, secret)],
        workloads=[filled(POD, secret)],
        events=[{"message": secret, "involvedObject": {"name": secret}}],
        values={"image": {"tag": secret, "registry": secret}, "extraEnv": {"A": secret}, "resourceDomains": [secret]},
        logs={("pod", "host"): f"INFO {secret}\n", (secret, secret): secret},
        versions={"apiServer": secret},
        texts={"status.txt": secret},
    )
    files = redacted(found)
    whole = "\n".join([*files, *files.values()])
    assert [part for part in TELLING if part in whole] == []


@pytest.mark.parametrize(
    "field", ["env", "envFrom", "args", "command", "volumeMounts", "livenessProbe", "imagePullSecrets"]
)
def test_fields_of_pods_in_which_secrets_live_are_left_out_whatever_they_hold(field: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {field: [{"value": "plain"}], "containers": [{field: ["plain"]}]}}
    assert "plain" not in redacted(Collected(pods=[pod]))["pods.json"]


def test_annotations_and_labels_of_users_are_left_out() -> None:
    metadata = {
        "name": "p",
        "annotations": {"team": "plain"},
        "labels": {"customer": "plain"},
        "managedFields": ["plain"],
    }
    found = Collected(policies=[{"metadata": metadata, "spec": {"nodeSelector": {"matchLabels": {"rack": "plain"}}}}])
    assert "plain" not in redacted(found)["policies.json"]


def test_commands_of_processes_and_registries_are_left_out() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"image": "registry.corp.example/team/host:0.2.0"}]}}
    log = "process 4242 (secretapp --db) has its group open"
    files = redacted(Collected(pods=[pod], logs={("p", "host"): log}))
    assert '"host:0.2.0"' in files["pods.json"]
    assert "corp" not in files["pods.json"]
    assert "secretapp" not in "".join(files.values())


# --- names -----------------------------------------------------------------------------------------------------------


def private(name: str) -> dict[str, Any]:
    """A recorded fleet with private names instead of its own."""
    own = {"node-1": "gpu-rack7.corp.example", "node-2": "10.11.12.13", "fast": "trading_desk", "default": "hedge-fund"}
    text = json.dumps(recorded(name)).replace("dpdk-0", "quote-engine-0").replace("team-a", "team-blue")
    for word, instead in own.items():
        text = (
            text.replace(f'"{word}"', f'"{instead}"')
            .replace(f" {word}:", f" {instead}:")
            .replace(f"{word}/m", f"{instead}/m")
        )
        text = text.replace(f"virtfn.dev/{word}", f"virtfn.dev/{instead}").replace(
            f"policy {word}", f"policy {instead}"
        )
    found: dict[str, Any] = json.loads(text)
    return found


PRIVATE = ("gpu-rack7", "corp", "11.12", "trading", "desk", "hedge", "quote", "team-blue", "vm-7")


def collected(name: str, **more: Any) -> Collected:
    fleet = private(name)
    kinds = {kind: fleet[kind] for kind in ("policies", "nodes", "members", "pods", "events")}
    return Collected(**kinds, **more)


@pytest.mark.parametrize("fleet", ["healthy", "changing", "blocked", "failed"])
def test_no_name_is_in_the_report(fleet: str) -> None:
    logs = {
        (
            "quote-engine-0",
            "host",
        ): "pod hedge-fund/quote-engine-0 has VF 1 of PCIDEVICE_VIRTFN_DEV_TRADING_DESK\n",
        ("x", "agent"): "host gpu-rack7: TRADING-DESK of pod team-blue/vm-7 and pods hedge-fund/quote-engine-0\n",
    }
    files = redacted(collected(fleet, logs=logs, texts={"status.txt": "trading_desk on gpu-rack7.corp.example\n"}))
    whole = "\n".join([*files, *files.values()]).lower()
    assert [name for name in PRIVATE if name in whole] == []


def test_a_name_is_the_same_word_everywhere() -> None:
    files = redacted(collected("blocked", texts={"status.txt": "trading_desk on gpu-rack7.corp.example\n"}))
    (policy,) = json.loads(files["policies.json"])
    nodes = json.loads(files["nodes.json"])
    word = policy["metadata"]["name"]
    assert word.startswith("policy-")
    assert {item["name"] for node in nodes for item in node["spec"]["policies"]} == {word}
    assert policy["status"]["problems"][0]["node"] == nodes[0]["metadata"]["name"]
    assert files["status.txt"] == f"{word} on {nodes[0]['metadata']['name']}\n"
    assert len({node["metadata"]["name"] for node in nodes}) == 2


def test_what_is_needed_to_help_is_in_the_report() -> None:
    (node, *_) = json.loads(redacted(collected("blocked"))["nodes.json"])
    status = node["status"]
    assert status["functions"][0]["address"] == "0000:3b:00.0"
    assert status["functions"][0]["netdev"] == "ens1f0"
    assert status["plan"]["blocked"][0]["reason"] == "VfsInUse"
    assert status["policies"][0]["message"].startswith("0000:3b:00.0: cannot go from 4 to 6 VFs while pod ")
    assert status["conditions"][0]["lastTransitionTime"] == "2026-01-01T11:30:00Z"


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("my-pool", "resource-1"),
        ("virtfn.dev/my-pool: 3", "virtfn.dev/resource-1: 3"),
        ("PCIDEVICE_VIRTFN_DEV_MY_POOL=1", "PCIDEVICE_VIRTFN_DEV_resource-1=1"),
        ("my-pool-2 my-pools amy-pool", "resource-1-2 my-pools amy-pool"),
        ("a.b.c and a.b", "node-1 and node-2"),
        ("x-a.b.c-y", "x-node-1-y"),
        ("web-0web-0 web-0", "web-0web-0 pod-1"),
    ],
)
def test_names_are_found_from_sign_to_sign(text: str, replaced: str) -> None:
    names = Pseudonyms()
    names.add("resource", ["my-pool"])
    names.add("node", ["a.b.c", "a.b"])
    names.add("pod", ["web-0"])
    assert names.replaced(text) == replaced


@given(st.lists(st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?\Z"), min_size=1, max_size=8), st.data())
def test_no_known_name_is_left_as_a_word(known: list[str], data: st.DataObject) -> None:
    names = Pseudonyms()
    names.add("secretnameof", known)
    text = data.draw(st.lists(st.sampled_from([*known, "x", "of"])).map(" ".join))
    left = set(names.replaced(text).split()) & ({*known} - KNOWN)
    assert left <= {"x", "of"} - {*known}


@pytest.mark.parametrize("number", [1, 5_000])
def test_very_many_parts_and_names_end(number: int) -> None:
    names = Pseudonyms()
    names.add("node", (f"worker-{n}.example" for n in range(number)))
    assert "node-1" in names.replaced("a-" * 20_000 + "worker-0.example")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, JSON)
def test_any_object_can_be_redacted(one: Any, other: Any) -> None:
    body = {"metadata": one, "spec": other, "status": one}
    files = redacted(
        Collected(policies=[body, one], nodes=[body, other], pods=[body], events=[body, one], values=other)
    )
    assert all(isinstance(json.loads(files[name]), list) for name in ("policies.json", "nodes.json"))


def test_depth_and_length_of_an_object_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"spec": deep}
    assert kept(deep, POLICY) is not None
    assert len(kept([{"name": "x"}] * 20_000, {"name": None})) == 10_000


# --- the file --------------------------------------------------------------------------------------------------------


WORKLOADS = "/apis/apps/v1/namespaces/virtfn-system"


def installed(**more: Any) -> FakeCluster:
    fleet = private("blocked")
    labels = {
        "app.kubernetes.io/name": "virtfn",
        "app.kubernetes.io/component": "agent",
        "app.kubernetes.io/instance": "r",
    }
    pod = {
        "metadata": {"name": "virtfn-agent-q7x", "namespace": "virtfn-system", "labels": labels},
        "spec": {"nodeName": "gpu-rack7.corp.example", "containers": [{"name": "agent"}, {"name": "host"}]},
        "status": {"phase": "Running"},
    }
    found = cluster_of({**fleet, "pods": [pod]}, **more)
    found.lists |= {f"{WORKLOADS}/daemonsets": [], f"{WORKLOADS}/deployments": []}
    log = "/api/v1/namespaces/virtfn-system/pods/virtfn-agent-q7x/log"
    found.answers = {"/version": '{"gitVersion": "v1.31.4"}', log: f"INFO node gpu-rack7 token={JWT}\n"}
    return found


def read(path: Path) -> dict[str, str]:
    with tarfile.open(path) as bundle:
        members = bundle.getmembers()
        assert all(member.isfile() and member.mode == 0o600 for member in members)
        return {member.name: bundle.extractfile(member).read().decode() for member in members}  # type: ignore[union-attr]


def test_the_bundle_has_objects_logs_versions_and_values(ask: Ask, tmp_path: Path) -> None:
    values = Ran(status=0, out=json.dumps({"controller": {"replicas": 2}, "extraEnv": "plain"}), err="")
    path = tmp_path / "out.tar.gz"
    answer = ask(installed(helm=values), "report", "-o", str(path))
    assert answer.status == 0
    files = read(path)
    (log,) = [name for name in files if re.fullmatch(r"out/logs/pod-\d+\.host\.log", name)]
    assert re.fullmatch(r"INFO node node-\d token=\(secret\)\n", files[log])
    assert json.loads(files["out/values.json"]) == {"controller": {"replicas": 2}}
    assert json.loads(files["out/versions.json"])["apiServer"] == "v1.31.4"
    assert "Blocked: VfsInUse" in files["out/status.txt"]
    assert [name for name in PRIVATE if name in "".join(files.values())] == []


def test_only_its_owner_may_read_it_even_if_the_file_was_there(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    path.write_text("old")
    path.chmod(0o666)
    assert ask(installed(), "report", "-o", str(path)).status == 0
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "path", ["/api/v1/nodes", f"{WORKLOADS}/daemonsets", "/version", "/api/v1/namespaces/default/events"]
)
def test_what_may_not_be_read_is_left_out_and_said(ask: Ask, tmp_path: Path, path: str) -> None:
    cluster = installed()
    cluster.errors[path] = "Error from server (Forbidden): no"
    bundle = tmp_path / "out.tar.gz"
    answer = ask(cluster, "report", "-o", str(bundle))
    assert answer.status == 0
    assert f"left out: {path}" in answer.err
    assert path in read(bundle)["out/left-out.txt"]


def test_helm_that_is_not_there_is_said(ask: Ask, tmp_path: Path) -> None:
    answer = ask(installed(), "report", "-o", str(tmp_path / "x.tar.gz"), "--json", "--context", "lab")
    assert any("release: not found" in line for line in answer.document["leftOut"])


def test_nothing_to_report_is_status_4(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    assert ask(cluster_of({}), "report", "-o", str(path)).status == 4
    assert not path.exists()


def test_a_folder_that_is_not_there_is_status_1(ask: Ask, tmp_path: Path) -> None:
    assert ask(installed(), "report", "-o", str(tmp_path / "no/x.tar.gz")).status == 1
