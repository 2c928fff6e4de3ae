"""Policy files with any content: the error says at once what is wrong."""

import os
import threading
import time
from pathlib import Path

import pytest

from virtfn_host.cli.policy import LIMIT, UsageError, read_policies

GOOD = """
apiVersion: virtfn.dev/v1alpha1
kind: SriovPolicy
metadata: {name: fast}
spec:
  devices: [{vendor: "8086"}]
  virtualFunctions: {count: 4, pools: [{resourceName: fast, driver: vfio-pci}]}
"""
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "  nothing: *x\n", "not valid YAML"),
        (GOOD + LAUGHS, "more than 100000 values"),
        (GOOD + "loop: &loop [*loop]\n", "within each other"),
        (GOOD + f"deep: {'[' * 100}{']' * 100}\n", "within each other"),
        (GOOD + f"deep: {'[' * 20_000}{']' * 20_000}\n", "not valid YAML|within each other"),
        ('{"kind": "SriovPolicy", "kind": "SriovPolicy"}', "key 'kind' is there twice"),
        ("[" * 100_000, "within each other"),
        (GOOD + "kind: SriovPolicy\n", "key 'kind' is there twice"),
        (GOOD + "date: !!timestamp 2026-99-99\n", "not valid YAML"),
        (GOOD + f"number: {'9' * 5000}\n", "not valid YAML"),
        (GOOD + "? {a: b}\n: c\n", "not valid YAML"),
        (GOOD + "python: !!python/object/apply:os.system [id]\n", "not valid YAML"),
        ("kind: SriovPolicy\nspec: [1]\n", "InvalidPolicy"),
        ("kind: SriovPolicy\nspec: text\n", "InvalidPolicy"),
        ("kind: {a: b}\n", "want kind SriovPolicy"),
        (f"kind: {'x' * 100_000}\n", "want kind SriovPolicy, got 'x+"),
        ("kind: NetworkAttachmentDefinition\n", "want kind SriovPolicy"),
        (
            f"apiVersion: k8s.cni.cncf.io.example/v1\nkind: NetworkAttachmentDefinition\n---{GOOD}",
            "want kind SriovPolicy",
        ),
        ("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachment\n", "want kind SriovPolicy"),
        ("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\n", "want SriovPolicy objects, got only"),
        ("", "want SriovPolicy objects"),
        (GOOD.replace("virtfn.dev/v1alpha1", "other.example/v1"), "want apiVersion virtfn.dev/v1alpha1, got 'other.ex"),
        (
            GOOD.replace("virtfn.dev/v1alpha1", "virtfn.dev/v9"),
            "want apiVersion virtfn.dev/v1alpha1, got 'virtfn.dev/v9'",
        ),
        (GOOD.replace("virtfn.dev/v1alpha1", "[1]"), "want apiVersion virtfn.dev/v1alpha1, got"),
        (f"{GOOD}---\n{GOOD}", "two policies are named 'fast'; give each its own metadata.name"),
        (GOOD.replace("name: fast", r'name: "a\e[2Jb\nvirtfn: all is fine"'), r"metadata.name: 'a\\x1b\[2Jb\\nvirtfn"),
        (GOOD.replace("name: fast", "name: [a]"), r"metadata.name: \['a'\] is no name of an object"),
        (GOOD.replace("name: fast", "name:"), "metadata.name: None is no name of an object"),
        (GOOD.replace("name: fast", "name: 7"), "metadata.name: 7 is no name of an object"),
        (GOOD.replace("name: fast", 'name: ""'), "metadata.name: '' is no name of an object"),
        (GOOD.replace("name: fast", "name: Fast"), "metadata.name: 'Fast' is no name of an object; write lower-case"),
        (GOOD.replace("name: fast", f"name: {'a' * 254}"), "metadata.name: 'aaa.+ is no name of an object"),
        (f"a: &a [{'1, ' * 9_000}]\nb: [{'*a, ' * 9_000}]\n{GOOD}", "more than 100000 values"),
        (f"a: &a [{'1, ' * 40_000}]\nb: [{'*a, ' * 40_000}]\n{GOOD}", "more than 100000 values"),
        ("\0", "not valid YAML"),
        ("!" * 100_000, "not valid YAML"),
        ("x" * (LIMIT + 1), "longer than"),
    ],
)
def test_what_is_no_file_of_policies_is_refused_in_a_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(UsageError, match=said) as refused:
        read_policies(tmp_path / "p.yaml")
    assert time.process_time() - began < 20
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("path", "said"), [("/dev/zero", "longer than"), ("/", "Is a directory"), ("/no/file", "No such")]
)
def test_what_is_no_file_is_refused_and_what_has_no_end_is_not_read_to_it(path: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_policies(Path(path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"kind: \xff")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_policies(tmp_path / "p.yaml")


def test_a_file_that_a_shell_made_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.yaml")
    writing = threading.Thread(target=(tmp_path / "p.yaml").write_text, args=(GOOD,))
    writing.start()
    assert [policy.name for policy in read_policies(tmp_path / "p.yaml")] == ["fast"]
    writing.join()


def test_aliases_that_mean_little_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(GOOD.replace("{vendor: ", "&d {vendor: ") + "# *d\n")
    assert len(read_policies(tmp_path / "p.yaml")) == 1


@pytest.mark.parametrize("address", ["0000:01:00.0", "0000:00:10.7", "0001:02:03.1", "0000:3b:00.0"])
def test_an_address_without_quotes_is_an_address(address: str, tmp_path: Path) -> None:
    """YAML 1.1 reads the first three as numbers to base 60; Kubernetes' parser, and so `kubectl apply`, does not."""
    (tmp_path / "p.yaml").write_text(GOOD.replace('{vendor: "8086"}', f"{{address: {address}}}"))
    (policy,) = read_policies(tmp_path / "p.yaml")
    assert str(policy.devices[0].address) == address
