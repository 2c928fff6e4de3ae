"""What a program prints is held up to a bound and for its time: a pod or a server may print without end."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fake_cluster import Ask, FakeCluster, agent, cluster_of, recorded

from virtfn_kubectl.cluster import PATIENCE, AskError, Cluster, Ran, run_program

Program = Callable[[str], str]
MIB = 1 << 20


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return a function that writes a shell script and returns its path."""

    def of(script: str) -> str:
        path = tmp_path / "kubectl"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return of


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bounds a test's own: MiB, not hundreds of them."""
    monkeypatch.setattr("virtfn_kubectl.cluster.ANSWER_BYTES", MIB)
    monkeypatch.setattr("virtfn_kubectl.cluster.LIST_BYTES", 2 * MIB)


ENDLESS = [
    "exec cat /dev/zero",
    "exec cat /dev/zero >&2",
    "exec yes",
    "cat /dev/zero & exec cat /dev/zero >&2",
    "trap '' TERM; while :; do echo no; done",
    "cat; exec yes",
]


@pytest.mark.parametrize("script", ENDLESS)
@pytest.mark.parametrize(("verb", "most"), [("exec", MIB), ("get", 2 * MIB)])
def test_a_program_that_prints_without_end_is_killed(program: Program, script: str, verb: str, most: int) -> None:
    began = time.monotonic()
    with pytest.raises(OSError, match=f"more than {most} bytes"):
        run_program([program(script), verb], PATIENCE, "given")
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("script", ["printf x; exec tail -f /dev/null", "exec sleep 60 >&- 2>&-"])
def test_a_deadline_holds_whatever_a_program_prints(program: Program, script: str) -> None:
    with pytest.raises(TimeoutError, match="did not end within 0 s"):
        run_program([program(script)], 0.3)


@pytest.mark.parametrize("stream", ["", " >&2"])
@pytest.mark.parametrize("size", [0, 1, 65_536, MIB])
def test_what_is_within_the_bound_comes_whole(program: Program, size: int, stream: str) -> None:
    done = run_program([program(f"head -c {size} /dev/zero | tr '\\0' x{stream}"), "exec"], PATIENCE)
    assert done == Ran(status=0, out="" if stream else "x" * size, err="x" * size if stream else "")


@pytest.mark.parametrize("given", [None, "", "a\n", "é" * 300_000])
@pytest.mark.parametrize(("script", "shown"), [("cat", True), ("exit 0", False), ("head -c 0; cat >&-", False)])
def test_what_is_given_is_read_or_not(program: Program, given: str | None, script: str, shown: bool) -> None:
    assert run_program([program(script)], PATIENCE, given).out == ((given or "") if shown else "")


@pytest.mark.parametrize(
    ("printed", "out"), [(r"a\r\nb\rc\n", "a\nb\nc\n"), (r"\303\251\377", "é\N{REPLACEMENT CHARACTER}")]
)
def test_line_ends_are_one_character_and_what_is_no_utf_8_is_replaced(program: Program, printed: str, out: str) -> None:
    assert run_program([program(f"printf '{printed}'")], PATIENCE).out == out


@pytest.mark.parametrize("words", [["list", "node-1"], ["list", "node-1", "--json"], ["explain", "node-1", "3b:00.0"]])
def test_an_answer_without_end_is_not_asked_for_again(ask: Ask, program: Program, words: list[str]) -> None:
    endless, asked = program("exec yes"), []

    class Cluster(FakeCluster):
        """Runs the endless program for `kubectl exec`."""

        def __call__(self, words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
            if "exec" not in words:
                return super().__call__(words, seconds, given)
            asked.append(words)
            return run_program([endless, *words[1:]], seconds, given)

    answer = ask(Cluster(lists=cluster_of({**recorded("healthy"), "pods": [agent()]}).lists), *words)
    assert (answer.status, len(asked)) == (1, 1)
    assert f"more than {MIB} bytes" in answer.err
    if "--json" in words:
        assert "more than" in json.loads(answer.out)["error"]["message"]


def test_a_list_and_helm_s_values_are_bounded(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = program("exec yes")
    with pytest.raises(AskError, match=f"more than {2 * MIB} bytes"):
        Cluster(program=endless).items("/p")
    shutil.copy(endless, Path(endless).with_name("helm"))
    monkeypatch.setenv("PATH", f"{Path(endless).parent}:/usr/bin:/bin")
    with pytest.raises(AskError, match=re.escape("Helm's values: ") + f".*more than {2 * MIB} bytes"):
        Cluster().helm_values("a", "b")
