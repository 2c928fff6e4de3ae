"""A real API server refuses every bad policy with a message that names the field, and takes every example.

`bad_policies/*.yaml` begin with `# want: <part of the refusal>`.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BAD = sorted((Path(__file__).parent / "bad_policies").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
WANT = "# want: "

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_policy_is_refused_and_told_why(kubectl: Kubectl, path: Path) -> None:
    text = path.read_text()
    answer = kubectl("apply", "--dry-run=server", "-f", "-", stdin=text, check=False)
    assert answer.returncode != 0, answer.stdout
    assert text.splitlines()[0].removeprefix(WANT) in answer.stderr
    assert "no such key" not in answer.stderr
    assert "type conversion error" not in answer.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_taken(kubectl: Kubectl, path: Path) -> None:
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=path.read_text())


LONGEST = "/".join((".".join(["a" * 60] * 4), "b" * 61))
"""With two digits, the longest name that the schema allows."""


@pytest.mark.parametrize("name", ["fast", LONGEST], ids=["short names", "the longest names"])
def test_the_largest_policy_is_within_the_price_of_the_rules(kubectl: Kubectl, name: str) -> None:
    """Rules also have a price when they run; it must not refuse what their messages allow."""
    pools = "".join(
        f'\n    - {{resourceName: {name}{n:02}, indexes: "{",".join(str(n * 8 + i) for i in range(0, 8, 2))}"}}'
        for n in range(64)
    )
    policy = (
        "apiVersion: virtfn.dev/v1alpha1\nkind: SriovPolicy\nmetadata: {name: largest}\nspec:\n"
        f'  devices: [{{vendor: "8086"}}]\n  virtualFunctions:\n    count: 2048\n    pools:{pools}\n'
    )
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=policy)


@pytest.mark.parametrize("field", ["svp.spec", "svp.spec.devices", "svp.spec.virtualFunctions.pools", "svn.status"])
def test_explain_describes_every_field(kubectl: Kubectl, field: str) -> None:
    shown = kubectl("explain", field).stdout
    assert "FIELDS:" in shown
    assert "<no description>" not in shown
