"""Nothing that others write rewrites a terminal, a report or a picture: no control character, no hidden sign."""

from __future__ import annotations

import copy
import json
import sys
import tarfile
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask, agent, cluster_of, recorded

from virtfn_host.cli.paint import Paint
from virtfn_kubectl.bundle.redacted import Collected, redacted
from virtfn_kubectl.cluster import Ran, fit, parsed
from virtfn_kubectl.read.printable import is_printable, printable

EVIL = {
    "a window's title": "\x1b]0;owned\x07",
    "a cleared screen": "\x1b[2J\x1b[1;1H",
    "a colour": "\x1b[32mall is well\x1b[0m",
    "hidden text": "\x1b[8m",
    "a sequence of one byte": "\x9b2J",
    "a return": "a\rb",
    "a step back": "a\bb",
    "a form feed": "a\fb",
    "DEL": "\x7f",
    "another direction": "\u202egnp.exe",
    "an Arabic mark": "\u061c",
    "a soft hyphen": "\xad",
    "a byte order mark": "\ufeff",
    "a tag": "\U000e0041",
    "noncharacters": "\ufffe\uffff\ufdd0\U0010ffff",
    "half a pair": "\ud83d",
    "a line of its own": "\u2028",
    "NUL": "\x00",
}
TAKEN_OUT = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_clean(text: str) -> bool:
    return not any(unicodedata.category(it) in TAKEN_OUT or ord(it) & 0xFFFE == 0xFFFE for it in set(text) - {*"\n\t"})


def test_every_character_of_these_kinds_is_replaced_and_no_other() -> None:
    for number in range(sys.maxunicode + 1):
        letter = chr(number)
        if not is_clean(letter):
            assert (printable(letter), is_printable(letter)) == ("\N{REPLACEMENT CHARACTER}", False), hex(number)
        elif unicodedata.category(letter) != "Cn":  # of what is not assigned yet some is taken out
            assert (printable(letter), is_printable(letter)) == (letter, True), hex(number)


@pytest.mark.parametrize("text", ["a\nb\tc", "größer … 日本", "\N{NO-BREAK SPACE}", "👍🏽", "\ue000", ""])
def test_text_of_any_script_stays(text: str) -> None:
    assert (printable(text), fit(text), parsed(json.dumps([text]))) == (text, text, [text])


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize("as_ascii", [True, False])
def test_json_with_it_escaped_or_as_it_is(evil: str, as_ascii: bool) -> None:
    written = json.dumps({evil: [evil]}, ensure_ascii=as_ascii)
    for text in (written, written.replace("\\u007f", "\\u007F")):
        ((key, (value,)),) = parsed(text).items()
        assert is_clean(key)
        assert is_clean(value)


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_the_bundle_of_a_report(ask: Ask, tmp_path: Path, evil: str) -> None:
    pod = agent()
    pod["metadata"]["labels"]["app.kubernetes.io/instance"] = "virtfn"
    pod["status"]["message"] = evil
    values = {"image": {"tag": evil}, "resourceDomains": [evil]}
    cluster = cluster_of({**recorded("healthy"), "pods": [pod]})
    cluster.helm = Ran(status=0, out=json.dumps(values, ensure_ascii=False), err="")
    cluster.answers["/api/v1/namespaces/virtfn-system/pods/virtfn-agent-x/log"] = f"2026 INFO fine\n{evil} end\n"
    path = tmp_path / "out.tar.gz"
    ask(cluster, "report", "-o", str(path))
    with tarfile.open(path) as bundle:
        files = {it.name: bundle.extractfile(it).read().decode() for it in bundle.getmembers()}  # type: ignore[union-attr]
    (log,) = [text for name, text in files.items() if name.endswith(".agent.log")]
    assert log.startswith("2026 INFO fine\n")
    assert log.endswith(" end\n")
    assert json.loads(files["out/values.json"])["image"]
    assert [name for name, text in files.items() if not is_clean(text)] == []


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_no_part_of_a_bundle_needs_to_be_clean_before(evil: str) -> None:
    body = {"metadata": {"name": evil}, "status": {"conditions": [{"message": evil}]}, "message": evil}
    lists = {name: [body] for name in ("policies", "nodes", "members", "pods", "workloads", "events")}
    files = redacted(
        Collected(**lists, values={"image": evil}, logs={(evil, evil): evil}, versions={"a": evil}, texts={"x": evil})
    )
    assert [name for name, text in files.items() if not is_clean(name + text)] == []


# --- what a node prints ----------------------------------------------------------------------------------------------


def painted() -> list[str]:
    paint = Paint(True)
    return [part("x") for part in (paint.head, paint.good, paint.bad, paint.held)]


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize("color", ["never", "auto"])
def test_without_colour_a_node_sends_no_sequence_at_all(ask: Ask, evil: str, color: str) -> None:
    ran = Ran(status=0, out=f"0000:3b:00.0 {evil}\n", err=f"virtfn: {evil}\n")
    answer = ask(
        cluster_of({**recorded("healthy"), "pods": [agent()]}, executed=ran), "list", "node-1", "--color", color
    )
    assert answer.out.startswith("0000:3b:00.0 ")
    assert is_clean(answer.out + answer.err)


@pytest.mark.parametrize("code", ["8", "5", "7", "30;40", "38;5;0", "", "0;8", "031", "99"])
def test_with_colour_only_those_of_virtfn_stay(ask: Ask, code: str) -> None:
    good = "".join(painted())
    ran = Ran(status=0, out=f"{good} \x1b[{code}mhidden\n", err=f"virtfn: {good}\n")
    cluster = cluster_of({**recorded("healthy"), "pods": [agent()]}, executed=ran)
    answer = ask(cluster, "list", "node-1", "--color", "always")
    assert good in answer.out
    assert is_clean(answer.out.replace(good, "") + answer.err)


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_picture_is_xml_whatever_a_status_says(ask: Ask, tmp_path: Path, evil: str) -> None:
    fleet = copy.deepcopy(recorded("healthy"))
    status: Any = fleet["nodes"][0]["status"]
    status["functions"][0] |= {"netdev": evil, "driver": evil, "pool": evil, "heldBy": [evil]}
    status["functions"][0]["vfs"] = [{"indexes": "0", "driver": evil, "pool": evil, "heldBy": [evil]}]
    path = tmp_path / "x.svg"
    assert ask(cluster_of(fleet), "topology", "node-1", "-o", str(path)).status == 0
    text = path.read_text()
    assert is_clean(text)
    ET.fromstring(text)
    assert is_clean(ask(cluster_of(fleet), "topology", "node-1").out)
