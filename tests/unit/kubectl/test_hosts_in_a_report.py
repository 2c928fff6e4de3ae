"""`report`: no error of a connection, a certificate or a kubeconfig tells where the API server is and who asked."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from virtfn_kubectl.bundle.redacted import Collected, redacted

HOSTS = ["corpbank-prod.hcp.westeurope.azmk8s.io", "API.prod.corp.example", "corp", "k8s_1.corp.example"]


def by_aiohttp(host: str) -> list[str]:
    """Return errors of the library with which agent and controller ask the API server."""
    keys: dict[str, Any] = {"host": host, "port": 6443, "is_ssl": True, "ssl": True}
    key = ConnectionKey(**{**dict.fromkeys(ConnectionKey._fields), **keys})
    mismatch = ssl.SSLCertVerificationError(
        1, f"Hostname mismatch, certificate is not valid for '{host}'. (_ssl.c:1006)"
    )
    return [
        str(aiohttp.ClientConnectorDNSError(key, OSError(-2, "Name or service not known"))),
        str(aiohttp.ClientConnectorCertificateError(key, mismatch)),
        str(mismatch),
    ]


def sentences(host: str) -> list[str]:
    return [
        *by_aiohttp(host),
        f"no answer from https://{host}:6443: ClientConnectorDNSError: {by_aiohttp(host)[0]}",
        f"Connection timeout to host https://{host}:6443/version",
        f"Unable to connect to the server: x509: certificate is valid for kubernetes, {host}, 10.0.0.1, not 10.0.0.2",
        f"x509: certificate is valid for kubernetes, *.{host}, not {host}",
        f"x509: certificate is not valid for any names, but wanted to match {host}",
        f"The connection to the server {host}:6443 was refused - did you specify the right host or port?",
        f"The connection to the server {host} was refused - did you specify the right host or port?",
        f"proxyconnect tcp: dial tcp: lookup {host}: no such host",
        f'Get "https://jane:pw@{host}:6443/api?timeout=60s": dial tcp: lookup {host} on 10.0.0.10:53: no such host',
        f"hostname '{host}' doesn't match 'a.invalid'",
    ]


def reports(text: str) -> list[str]:
    """Return a report's text for each place where a sentence may stand, in JSON or not."""
    told = {"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "message": text}]}}
    collected = (
        Collected(texts={"left-out.txt": text}),
        Collected(logs={("p", "agent"): f"WARNING {text}\n"}),
        Collected(logs={("p", "agent"): json.dumps({"message": text, "level": "warning"})}),
        Collected(events=[{"message": text}]),
        Collected(nodes=[told]),
        Collected(policies=[told]),
        Collected(pods=[told]),
    )
    return ["\n".join(redacted(found).values()) for found in collected]


@pytest.mark.parametrize("host", HOSTS)
def test_no_error_of_a_connection_names_the_host(host: str) -> None:
    for text in sentences(host):
        assert [told for told in reports(text) if "corp" in told.lower()] == [], text


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_one_sentence_names_is_the_same_word_in_every_text(host: str) -> None:
    for text in sentences(host):
        found = Collected(logs={("p", "agent"): text}, texts={"x.txt": f"peer {host}:6443 of {host.lower()}"})
        assert redacted(found)["x.txt"] == "peer host-1:6443 of host-1"


def test_several_hosts_of_a_certificate_are_several_words() -> None:
    text = "certificate is valid for kubernetes.default.svc, api.corp.example, *.lb.corp.example, not old.corp.example"
    told = redacted(Collected(texts={"x.txt": text}))["x.txt"]
    assert told == "certificate is valid for kubernetes.default.svc, host-1, *.host-2, not host-3"


@pytest.mark.parametrize(
    "text",
    [
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "error: You must be logged in to the server (Unauthorized)",
        "error: You must be logged in to the server (the server has asked for the client to provide credentials)",
        "GET /api/v1/nodes: 403: the server could not find the requested resource",
        "x509: certificate is valid for kubernetes, kubernetes.default, kubernetes.default.svc.cluster.local",
        "the connection to the server localhost was refused",
        "certificate has expired or is not yet valid: current time is after the end; the API server is on no host",
    ],
)
def test_words_that_are_no_hosts_stay(text: str) -> None:
    assert redacted(Collected(texts={"x.txt": text}))["x.txt"] == text


@pytest.mark.parametrize(
    "name", ["corp-prod-eu", "arn:aws:eks:eu-west-1:123456789012:cluster/corp", "jane@corp", "corp x"]
)
def test_no_name_of_a_kubeconfig_is_told(name: str) -> None:
    texts = [
        f'error: context "{name}" does not exist',
        f'Error: Kubernetes cluster unreachable: context "{name}" does not exist',
        f'auth info "{name}" does not exist',
        f'no server found for cluster "{name}"',
        f'user "jane" was not found for context "{name}"',
        f'while trying to verify candidate authority certificate "{name}")',
        f"error: You must be logged in to the server ({name} has asked for the server to provide credentials)",
    ]
    if " " not in name:
        texts += [
            f"Error in configuration: context was not found for specified context: {name}",
            f"unable to read client-cert /etc/k8s/crt.pem for {name} due to open /etc/k8s/crt.pem: no such file",
        ]
    for text in texts:
        assert [told for told in reports(text) if "corp" in told or "jane" in told] == [], text


@pytest.mark.parametrize(
    "text",
    [
        "certificate is valid for " + "a, " * 80_000,
        "certificate is valid for " * 10_000,
        "certificate is valid for " + "a" * 200_000,
        "https://a@" * 20_000,
        'context "' * 25_000,
        "server (" * 30_000,
        "client-key a for " * 9_000,
    ],
)
def test_a_text_made_to_be_slow_is_read_to_its_end(text: str) -> None:
    assert "x.txt" in redacted(Collected(texts={"x.txt": text}))
