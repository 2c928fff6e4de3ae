"""`virtfn import` prints what virtfn itself reads, says what it left out, and names the line of a fault."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from translated import config_map, sno_object, sno_policy, sriovdp_config

from virtfn_host.cli.policy import read_policies
from virtfn_host.cli.verbs import run
from virtfn_kubectl.read.documents import documents

GOOD: dict[str, Any] = {
    "resourceName": "dpdk",
    "selectors": {"pfNames": ["ens1f0#0-3"], "drivers": ["vfio-pci"], "isRdma": True},
}
UNKNOWN: dict[str, Any] = {"resourceName": "odd", "selectors": {"vendors": ["1234"], "devices": ["9999"]}}
SECOND: dict[str, Any] = {"resourceName": "net", "selectors": {"pfNames": ["ens1f1"], "drivers": ["iavf"]}}


def written(path: Path, value: object) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2))
    return str(path)


def test_what_is_printed_is_what_virtfn_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "sriovdp", written(tmp_path / "config.json", sriovdp_config(GOOD, SECOND))]) == 0
    out, err = capsys.readouterr()
    (tmp_path / "policies.yaml").write_text(out)
    policies = read_policies(tmp_path / "policies.yaml")
    assert [(it.name, it.pools[0].resource_name, it.pools[0].driver) for it in policies] == [
        ("dpdk", "intel.com/dpdk", "vfio-pci"),
        ("net", "intel.com/net", "kernel"),
    ]
    assert "# - isRdma is not carried over: a function on vfio-pci has no RDMA device" in out
    assert "--set 'resourceDomains={intel.com}'" in out
    assert err == "virtfn: read the comments above each object: they name what is not carried over\n"


def test_what_needs_a_decision_is_printed_as_a_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "sriovdp", written(tmp_path / "config.json", sriovdp_config(UNKNOWN, SECOND))]) == 4
    out, err = capsys.readouterr()
    assert [it["metadata"]["name"] for it in yaml.safe_load_all(out) if it] == ["net"]
    assert "# - to be decided by you: devices 9999: virtfn does not know it" in out
    assert "to be decided by you, and not for use as printed: resourceList[0], intel.com/odd" in err
    hidden = out.split("when that is done:\n")[1].split("---")[0]
    (tmp_path / "odd.yaml").write_text("\n".join(line[2:] for line in hidden.splitlines()))
    assert [it.name for it in read_policies(tmp_path / "odd.yaml")] == ["odd"]


def test_what_has_no_policy_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = sriovdp_config({"resourceName": "sf", "deviceType": "auxNetDevice"}, SECOND)
    assert run(["import", "sriovdp", written(tmp_path / "config.json", config)]) == 4
    assert "# There is no policy for it." in capsys.readouterr().out


def test_policies_and_networks_are_printed_in_one_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = sno_object("SriovNetwork", "net1", {"resourceName": "fast", "vlan": 7, "ipam": '{"type": "dhcp"}'})
    objects = [network, sno_policy("fast", nicSelector={"pfNames": ["ens1"]}), {"kind": "Namespace"}]
    path = written(tmp_path / "sno.yaml", yaml.safe_dump_all(objects))
    assert run(["import", "sno", path, "--resource-prefix", "example.org"]) == 0
    out = capsys.readouterr().out
    policy, attachment = (it for it in yaml.safe_load_all(out) if it)
    assert policy["spec"]["virtualFunctions"]["pools"][0]["resourceName"] == "example.org/fast"
    assert attachment["metadata"]["annotations"] == {"k8s.v1.cni.cncf.io/resourceName": "example.org/fast"}
    assert json.loads(attachment["spec"]["config"])["vlan"] == 7
    assert "# Namespace: not translated; the operator does not read it" in out


@pytest.mark.parametrize("networks", [1, 3])
def test_what_is_printed_of_the_operator_is_planned_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], networks: int
) -> None:
    """docs/migration.md, step 3: attachments are left out, here and by `kubectl virtfn plan`."""
    names = [f"net{number}" for number in range(networks)]
    objects = [sno_object("SriovNetwork", name, {"resourceName": "fast"}) for name in names]
    objects.insert(1, sno_policy("fast", nicSelector={"pfNames": ["ens1"]}))
    assert run(["import", "sno", written(tmp_path / "sno.yaml", yaml.safe_dump_all(objects))]) == 0
    out = capsys.readouterr().out
    path = tmp_path / "policies.yaml"
    path.write_text(out)
    told: list[str] = []
    assert [it.name for it in read_policies(path, told.append)] == ["fast"]
    assert told == [f"{path}: NetworkAttachmentDefinitions are left out ({networks}): they are no policies"]
    assert [it.attachment for it in documents(str(path), out)].count(True) == networks
    run(["plan", "--root", str(tmp_path), "-f", str(path)])
    assert told[0] in capsys.readouterr().err


def test_json_has_the_objects_and_the_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "sriovdp", written(tmp_path / "c.json", sriovdp_config(GOOD, UNKNOWN)), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert [(it["source"], it["usable"], it["object"]["metadata"]["name"]) for it in found["results"]] == [
        ("resourceList[0], intel.com/dpdk", True, "dpdk"),
        ("resourceList[1], intel.com/odd", False, "odd"),
    ]
    assert found["results"][0]["notes"][0].startswith("isRdma is not carried over")
    assert found["results"][1]["toBeDecided"][0].startswith("devices 9999")
    assert found["notes"][0].startswith("Resource names keep their domains.")


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps({"kind": "List", "items": [config_map(config_json=sriovdp_config(SECOND))]})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(["import", "sriovdp", "-"]) == 0
    assert "intel.com/net" in capsys.readouterr().out


UNQUOTED = """\
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetworkNodePolicy
metadata: {name: roots}
spec:
  resourceName: roots
  numVfs: 2
  nodeSelector: {}
  nicSelector:
    rootDevices: [0000:01:00.0, 0000:01:00.1, 0000:3b:00.0]
"""


def test_addresses_without_quotes_are_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "sno", written(tmp_path / "sno.yaml", UNQUOTED)]) == 0
    (policy,) = (it for it in yaml.safe_load_all(capsys.readouterr().out) if it)
    devices = policy["spec"]["devices"]
    assert [it["address"] for it in devices] == ["0000:01:00.0", "0000:01:00.1", "0000:3b:00.0"]


BLOCK = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: sriovdp-config}
data:
  config.json: |
    {
      "resourceList": [
        {"resourceName": "a", "selectors": {"pfNames": ["ens1"]}},
        {"resourceName": "b",
         "selectors": {"pfNames": ["ens1#x"]}}
      ]
    }
"""
TWO_POLICIES = """\
# a comment

---
---
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetworkNodePolicy
metadata: {name: first}
spec: {resourceName: a, numVfs: 4, nodeSelector: {}, nicSelector: {pfNames: [ens1]}}
---
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetworkNodePolicy
metadata: {name: second}
spec:
  resourceName: b
  nodeSelector: {}
  nicSelector:
    pfNames:
    - ens1
    - ens2#9
  numVfs: 4
"""

SOUND = TWO_POLICIES.replace("ens2#9", "ens2")
OF_PF_NAMES = 'data["config.json"]: resourceList[1].selectors.pfNames[0]'


@pytest.mark.parametrize(
    ("tool", "text", "said"),
    [
        (
            "sriovdp",
            BLOCK,
            f"line 10: {OF_PF_NAMES}: 'x' is not a VF index",
        ),
        ("sriovdp", BLOCK.replace('"ens1#x"]}}', '"ens1#1"]}},'), 'line 11: data["config.json"]: not JSON'),
        ("sriovdp", BLOCK.replace("ConfigMap", "Secret"), "line 1: want config.json with a resourceList"),
        ("sriovdp", BLOCK.replace("\ndata:", "\ndata: ["), "line 5: not valid YAML: found character '|'"),
        (
            "sriovdp",
            '{\n"resourceList": [\n{"resourceName": 7}]}',
            "line 3: resourceList[0].resourceName: 7 is not",
        ),
        ("sriovdp", '{"resourceList":\n [],\n "resourceList": []}', "line 3: key 'resourceList' is there twice"),
        ("sriovdp", "[\n" * 70 + "]" * 70, "line 66: more than 64 objects and lists within each other"),
        ("sriovdp", '{"resourceList": [\n{"resourceName" "a"}]}', "line 2: not valid YAML"),
        ("sriovdp", "a: 1\nb: \0\n", "line 2: not valid YAML: special characters are not allowed"),
        ("sriovdp", "a: 1\na: 2\n", "line 1: not valid YAML: key 'a' is there twice"),
        ("sriovdp", "a: 1\nb: !!timestamp 2026-99-99\n", "line 2: not valid YAML: month must be in 1..12"),
        ("sriovdp", f"a: 1\nb:\n  {'[' * 70}\n", "line 3: more than 64 objects and lists within each other"),
        ("sno", "".join(f"{' ' * n}a:\n" for n in range(70)), "line 65: more than 64 objects and lists within each"),
        ("sriovdp", "[1, 2]", "line 1: want a configuration: objects in JSON or YAML"),
        ("sriovdp", "a string", "line 1: want a configuration"),
        ("sriovdp", "---\na: 1\n---\n# then\n- a list\n", "line 5: want a configuration"),
        ("sno", "---\n---\n7\n---\nkind: Pod\n", "line 3: want a configuration"),
        ("sriovdp", "", "there is nothing in it; want a configuration: objects in JSON or YAML"),
        ("sno", "---\n---\n", "there is nothing in it; want a configuration"),
        ("sno", TWO_POLICIES, "line 19: spec.nicSelector.pfNames[1]: VF 9 is not below numVfs 4"),
        (
            "sno",
            SOUND.replace("numVfs: 4\n", "numVfs: many\n"),
            "line 20: spec.numVfs: 'many'",
        ),
        ("sno", SOUND.replace("second", "first"), "line 10: the document: SriovNetworkNodePolicy first is there twice"),
        ("sno", SOUND.replace("  numVfs: 4", ""), "line 13: spec.numVfs: is missing"),
        ("sno", "kind: Pod\n", "want objects of apiVersion"),
        ("sno", SOUND.replace("apiVersion", "version"), "want objects of apiVersion sriovnetwork.openshift.io/v1"),
        ("sno", "kind: SriovNetworkNodePolicy\n", "this is SriovNetworkNodePolicy of apiVersion None"),
    ],
)
def test_a_fault_has_its_line_and_its_reason(
    tool: str, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "in", text)
    assert run(["import", tool, path]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"virtfn: {path}: ")
    assert said in err
    assert len(err) < 600


def test_a_fault_in_a_text_of_one_line_has_the_line_of_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(config_map(config_json=sriovdp_config(GOOD, {})), indent=2).replace("{}]", "\\n{}]")
    assert run(["import", "sriovdp", written(tmp_path / "map.json", text)]) == 2
    assert "line 8, line 2 of its text: data" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").write_bytes(b"a: 1\nb: \xff\n")
    assert run(["import", "sno", str(tmp_path / "in")]) == 2
    assert "line 2: not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["", "Not a domain", "a/b", "a" * 300, "a\nb"])
def test_a_prefix_that_is_no_domain_is_usage(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "c.json", sriovdp_config(GOOD))
    assert run(["import", "sriovdp", path, "--resource-prefix", prefix]) == (2 if prefix else 0)
    assert ("is not a domain" in capsys.readouterr().err) == bool(prefix)


@pytest.mark.parametrize("words", [["import"], ["import", "sriovdp"], ["import", "other", "file"]])
def test_a_tool_and_a_file_must_be_named(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words)
    assert ended.value.code == 2


def test_text_cannot_end_a_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = {**SECOND, "colour": "a\nkind: Secret\n", "b\nkind: Secret": 1}
    assert run(["import", "sriovdp", written(tmp_path / "c.json", sriovdp_config(odd))]) == 0
    assert [it["kind"] for it in yaml.safe_load_all(capsys.readouterr().out) if it] == ["SriovPolicy"]
