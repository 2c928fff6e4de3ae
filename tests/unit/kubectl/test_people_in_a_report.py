"""`report`: who asked, whose home folder it was, and what people call their processes are not in it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from fake_cluster import Ask, cluster_of, recorded

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Process, holder_text
from virtfn_kubectl.bundle.redacted import Collected, redacted
from virtfn_operator.api.bounds import cut_text

AT = PciAddress.parse("0000:01:10.0")


def told(text: str) -> str:
    return redacted(Collected(texts={"x.txt": text}))["x.txt"]


def told_in_json(text: str) -> str:
    log = json.dumps({"message": text}, ensure_ascii=False)
    return redacted(Collected(logs={("p", "agent"): log}))["logs/p.agent.log"]


# --- commands of processes -------------------------------------------------------------------------------------------

COMMANDS = ["acme", "acme)", "(acme)", "a) acme", "a), acme)", "a) has acme", ")acme", "x)acme)y"]
COMMANDS += ['a") acme', "a\\) acme"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_part_of_a_command_is_left(command: str) -> None:
    process = Process(pid=12, command=command)
    for cause in (Cause.GROUP_OPEN, Cause.CDEV_OPEN):
        sentence = holder_text(Holder(address=AT, cause=cause, process=process, at="/dev/vfio/devices/vfio0"))
        assert "acme" in sentence
        for text in (sentence, f"held by {sentence}, and so on", f"({process})", f"{process}", f"x {process}: no"):
            assert "acme" not in told(text)
            assert "acme" not in told_in_json(text)
            assert "process 12" in told(text)


@pytest.mark.parametrize("command", ["acme)b --password=x", "longer than any command of today (acme)acme"])
def test_a_command_that_is_longer_than_the_kernels_ends_where_its_sentence_goes_on(command: str) -> None:
    assert told(f"process 7 ({command}) has its group open") == "process 7 has its group open"


@pytest.mark.parametrize("most", range(14, 24))
def test_of_a_sentence_that_is_cut_no_part_of_a_command_is_left(most: int) -> None:
    assert "acme" not in told(cut_text("process 12 (acme-app) has its group open", most))


def test_what_follows_a_command_stays() -> None:
    text = "process 12 (qemu-system-x86) has its group open, process 3 (dpdk) has /dev/vfio/devices/vfio1 (a cdev) open"
    assert told(text) == "process 12 has its group open, process 3 has /dev/vfio/devices/vfio1 (a cdev) open"


# --- users, home folders and the API server's name -------------------------------------------------------------------

USERS = ["acme", "acme.doe", "acme@corp.example", "oidc:acme doe", "arn:aws:iam::123456789012:user/acme"]
USERS += ["CORP\\\\acme", "system:serviceaccount:ci:acme-bot", 'a\\"acme']


@pytest.mark.parametrize("user", USERS)
def test_who_may_not_read_is_not_told(user: str) -> None:
    said = f'nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" at the cluster scope'
    assert told(said) == told(said.replace(user, "b"))
    assert "acme" not in told_in_json(said)
    assert 'cannot list resource "nodes"' in told(said)


@pytest.mark.parametrize("account", ["virtfn-controller", "virtfn-agent"])
def test_accounts_of_the_chart_stay(account: str) -> None:
    said = f'User "system:serviceaccount:virtfn-system:{account}" cannot create resource "pods/eviction"'
    assert told(said) == said


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/home/acme/.kube/config: permission denied", "/home/(user)/.kube/config: permission denied"),
        ("no helm in /home/acme", "no helm in /home/(user)"),
        ("/Users/acme doe/bin/helm is no program", "/Users/(user)/bin/helm is no program"),
        ("exec: C:\\Users\\acme\\helm.exe", "exec: C:\\Users\\(user)\\helm.exe"),
        ("/var/home/acme.doe/x", "/var/home/(user)/x"),
        ("dial tcp: lookup k8s.acme.example: no such host", "dial tcp: lookup (host): no such host"),
        ('Get "https://k8s.acme.example:6443/api": EOF', 'Get "https://(host):6443/api": EOF'),
    ],
)
def test_folders_and_hosts_of_people_are_not_told(path: str, left: str) -> None:
    assert told(path) == left
    assert "acme" not in told_in_json(path)


def test_what_was_left_out_names_no_user(ask: Ask, tmp_path: Path) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.errors["/api/v1/nodes"] = 'Error from server (Forbidden): nodes is forbidden: User "acme.doe" cannot list'
    path = tmp_path / "x.tar.gz"
    assert ask(cluster, "report", "-o", str(path)).status == 0
    with tarfile.open(path) as bundle:
        left_out = bundle.extractfile("x/left-out.txt")
        assert left_out is not None
        assert 'User "(user)" cannot list' in left_out.read().decode()


@pytest.mark.parametrize("text", ['User "', "/home/", "process 1 (\\", "process 1 (", "https://a@"])
def test_a_text_made_to_be_slow_is_read_to_its_end(text: str) -> None:
    assert isinstance(told(text * 20_000), str)
