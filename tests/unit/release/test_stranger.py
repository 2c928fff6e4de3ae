"""The stranger's test types what the README says: it finds the commands, fills them in, and knows when to go on."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from virtfn_lab.cluster import LabError
from virtfn_lab.paths import repository
from virtfn_release.stranger import (
    REGISTRY,
    Typed,
    filled,
    holds_a_vf,
    quick_start,
    settled,
    shell,
    strangers,
    table,
)

INSTALL = "helm install virtfn charts/virtfn \\\n  --set image.registry=registry.example/virtfn      # yours"
README = """# A project

    kubectl get nothing

## {heading}

You need this:

```console
$ kubectl version
Client Version: v1.37.0
```

    {install}
    kubectl get svp,svn

A policy, and what you should see:

```bash
kubectl apply -f - <<'EOF'
kind: SriovPolicy

metadata: {{name: fast}}
EOF
kubectl wait --for=condition=Ready svp/fast
```

```text
kubectl is not typed here
```

```yaml
kubectl: neither
```

    NAME   READY
    fast   True

## Next

    helm uninstall virtfn
"""


@pytest.mark.parametrize("heading", ["Quick start", "Use it", "A quick start on a real cluster"])
def test_the_commands_of_the_section_are_found_in_order(heading: str) -> None:
    assert quick_start(README.format(heading=heading, install=INSTALL.replace("\n", "\n    "))) == (
        "kubectl version",
        INSTALL,
        "kubectl get svp,svn",
        "kubectl apply -f - <<'EOF'\nkind: SriovPolicy\n\nmetadata: {name: fast}\nEOF",
        "kubectl wait --for=condition=Ready svp/fast",
    )


def test_a_page_may_be_a_quick_start_as_a_whole_and_a_loop_is_one_command() -> None:
    loop = "for word in a b; do\n  echo $word\ndone"
    page = f"# Quick start\n\n## 1. First\n\n```sh\nmake archive\n{loop}\n```\n\n## 2. Then\n\n```sh\n\nls | wc\n```\n"
    assert quick_start(page) == ("make archive", loop, "ls | wc")


def test_how_to_push_images_oneself_is_not_typed() -> None:
    page = (
        "## Use it\n\n```sh\nfor p in a b; do\n  docker build --target $p .\n  docker push x/$p\ndone\nhelm list\n```\n"
    )
    assert quick_start(page) == ("helm list",)


@pytest.mark.parametrize("command", ["for word in a b; do", "helm list \\", "kubectl apply -f - <<EOF"])
def test_a_command_without_an_end_is_refused(command: str) -> None:
    with pytest.raises(LabError, match="has no end"):
        quick_start(f"## Use it\n\n```sh\n{command}\n```\n")


@pytest.mark.parametrize("readme", ["", "# No\n\n    kubectl get x\n", "## Quick start\n\nNothing yet.\n"])
def test_a_readme_without_commands_is_refused(readme: str) -> None:
    with pytest.raises(LabError, match="Quick start"):
        quick_start(readme)


def test_every_command_of_our_readme_can_be_typed() -> None:
    commands = [
        filled(each, "1.2.3", {"NODE": "node-1"}) for each in quick_start((repository() / "README.md").read_text())
    ]
    assert any(each.startswith("helm install") for each in commands)
    for each in commands:
        done = subprocess.run(["bash", "-n", "-c", each], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (
            "helm install virtfn charts/virtfn --set image.registry=registry.example/virtfn",
            f"helm install virtfn oci://{REGISTRY}/charts/virtfn --plain-http --set image.registry={REGISTRY}",
        ),
        (
            "helm install v oci://registry.example/virtfn/charts/virtfn --version 0.1.0 -n x",
            f"helm install v oci://{REGISTRY}/charts/virtfn --plain-http --version 1.2.3 -n x",
        ),
        ("chart=oci://registry.example/virtfn/charts/virtfn", f"chart=oci://{REGISTRY}/charts/virtfn"),
        ("kubectl virtfn list NODE", "kubectl virtfn list node-1"),
        ("kubectl virtfn list <node>", "kubectl virtfn list node-1"),
        ("kubectl get MYNODES", "kubectl get MYNODES"),
        ("kubectl apply -f https://x.example/v1.2.3/crds.yaml", "kubectl apply -f https://x.example/v1.2.3/crds.yaml"),
    ],
)
def test_only_registry_chart_version_and_node_are_replaced(command: str, wanted: str) -> None:
    assert filled(command, "1.2.3", {"NODE": "node-1"}) == wanted


@pytest.mark.parametrize("command", ["kubectl get <your pod>", "helm install x REGISTRY/y", "kubectl get NODE"])
def test_a_word_that_nobody_filled_in_is_refused(command: str) -> None:
    with pytest.raises(LabError, match="does not know what to type"):
        filled(command, "1.2.3", {})


def test_a_variable_of_one_command_is_there_for_the_next(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = subprocess.run(shell(state, "name='a \"b'; echo one"), capture_output=True, text=True)
    second = subprocess.run(shell(state, 'echo "$name"'), capture_output=True, text=True)
    assert (first.stdout, second.stdout) == ("one\n", 'a "b\n')


def test_a_command_that_fails_fails(tmp_path: Path) -> None:
    assert subprocess.run(shell(tmp_path / "state", "name=1; (exit 3)")).returncode == 3


def test_images_must_come_from_the_registry_by_digest() -> None:
    images = [f"{REGISTRY}/agent@sha256:0a", f"{REGISTRY}/host:1.2.3", "localhost/virtfn/agent@sha256:0a"]
    pods = [{"spec": {"containers": [{"image": image}]}} for image in images]
    assert strangers(pods) == sorted(images[1:])


@pytest.mark.parametrize(
    ("resource", "phase", "holds"),
    [
        ("virtfn.dev/fast", "Running", True),
        ("virtfn.dev/fast", "Pending", False),
        ("cpu", "Running", False),
    ],
)
def test_a_pod_holds_a_vf_if_it_asked_for_one_and_runs(resource: str, phase: str, holds: bool) -> None:
    limits = {"resources": {"limits": {resource: "1"}}}
    assert holds_a_vf({"spec": {"containers": [{}, limits]}, "status": {"phase": phase}}) == holds


def policy(ready: str, observed: int = 2) -> dict[str, Any]:
    status = {"observedGeneration": observed, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"generation": 2}, "status": status}


@pytest.mark.parametrize(
    ("policies", "phases", "wanted"),
    [
        ([], [], True),
        ([policy("True")], ["Running", "Succeeded"], True),
        ([policy("False")], ["Running"], False),
        ([policy("True", observed=1)], [], False),
        ([{"metadata": {"generation": 1}}], [], False),
        ([policy("True")], ["Pending"], False),
        ([policy("True")], ["Failed"], False),
    ],
)
def test_the_next_command_waits_for_policies_and_pods(policies: list[Any], phases: list[str], wanted: bool) -> None:
    assert settled(policies, [{"status": {"phase": phase}} for phase in phases]) == wanted


def test_the_clock_runs_from_the_first_command_to_the_last() -> None:
    typed = [Typed(command="helm install \\\n  x", seconds=90), Typed(command="kubectl get svp", seconds=1.25)]
    assert list(table(typed)) == [
        "    0.0 s   +90.0 s  helm install \\ ...",
        "   90.0 s    +1.2 s  kubectl get svp",
        "2 commands, 1.5 minutes",
    ]
