"""Finds names in sentences: pods, namespaces, owners and budgets that no object of the report has any more, and hosts.

Events, conditions and logs outlive the pods that they name. The sentences are virtfn's own and the API server's; a test
(tests/unit/kubectl/test_names_in_sentences.py) builds virtfn's by the functions that make them. Hosts are in errors of
connections and certificates, in the words of aiohttp, OpenSSL and Go. A text may be JSON, so a quote may have a
backslash. Pure.
"""

import re
from collections.abc import Iterator

from virtfn_operator.api.bounds import MARK

_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_QUOTE = r"\\*[\"']"
_POD = rf"(?:{_NAME}/{_NAME}|with uid [0-9a-f-]{{1,64}})"
_PODS = re.compile(rf"\bpods? ({_POD}(?:, {_POD})*)")
"""`pod default/dpdk-0`, `pods default/dpdk-0, with uid 7a-2, default/dpdk-1`."""
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?"
_COVERED = rf"(?:not )?(?:\*\.)?{_HOST}"
_CERTIFIED = re.compile(rf"\bcertificate is valid for ({_COVERED}(?:, {_COVERED})*)")
"""`certificate is valid for kubernetes, *.corp.example, 10.0.0.1, not lb.corp.example`."""
_CUT = re.compile(rf"(\bpods? (?:{_POD}, )*){_NAME}[-./]*{MARK}")

_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("pod", rf"\bpods? {_QUOTE}({_NAME})"),
        ("pod", rf"/namespaces/{_NAME}/pods/({_NAME})"),
        ("pod", rf"\bpod ({_NAME}) has not ended"),
        ("namespace", rf"/namespaces/({_NAME})"),
        ("namespace", rf"\bnamespace {_QUOTE}({_NAME})"),
        ("namespace", rf"\bis in the namespace ({_NAME})[-.]*[,{MARK}]"),
        ("owner", rf"\bbelongs to the DaemonSet ({_NAME})"),
        ("budget", rf"\bThe disruption budget ({_NAME})"),
        ("admission", rf"\b(?:admission webhook|ValidatingAdmissionPolicy|with binding) {_QUOTE}(?!virtfn-)({_NAME})"),
        ("host", rf"\bhttps?://(?:[^/\s@]{{1,512}}@)?({_HOST})"),
        ("host", rf"\b(?:lookup|(?:connect|connection) to (?:the )?(?:host|server)) ({_HOST})"),
        ("host", rf"\b(?:certificate is not valid for|hostname) {_QUOTE}({_HOST})"),
        ("host", rf"\bwanted to match ({_HOST})"),
    )
)


def named_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names in the sentences of a text, each with its kind, like `pod`."""
    for listed in _PODS.findall(text):
        for pod in listed.split(", "):
            namespace, slash, name = pod.partition("/")
            yield from (("namespace", namespace), ("pod", name)) if slash else ()
    for listed in _CERTIFIED.findall(text):
        yield from (("host", name.removeprefix("not ").removeprefix("*.")) for name in listed.split(", "))
    for kind, pattern in _NAMED:
        yield from ((kind, name) for name in pattern.findall(text))


def without_cut(text: str) -> str:
    """Return a text without the part of a namespace where it was cut: it may be a word that other sentences need."""
    return _CUT.sub(rf"\1{MARK}", text)
