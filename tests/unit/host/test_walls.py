"""Attacks that once worked through the socket, on a real host process: no outside file is written or run."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from host_process import HostProcess, answers, host_process
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress

PF = "0000:01:00.0"
WHOLE = {"pf": PF, "index": None, "address": PF}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostProcess, FakeKernel]]:
    """One machine for all tests, which also shows that no test harms it."""
    folder = tmp_path_factory.mktemp("walls")
    kernel = FakeKernel(folder / "m", pfs=3)
    with host_process(folder, kernel) as process:
        yield process, kernel


@pytest.fixture
def host(machine: tuple[HostProcess, FakeKernel]) -> HostProcess:
    return machine[0]


@pytest.fixture
def kernel(machine: tuple[HostProcess, FakeKernel]) -> FakeKernel:
    return machine[1]


def plan(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"pfs": [{"pf": PF, "steps": list(steps), "blocked": [], "displaces": []}]}


def test_a_driver_s_name_writes_no_other_file(host: HostProcess, kernel: FakeKernel) -> None:
    """Once path and value were joined by NUL for the process that writes, and a name went into the path as it came."""
    victim = kernel.root / "somewhere/bind"
    victim.parent.mkdir()
    victim.write_text("as it was")
    kernel._unbind(PciAddress.parse(PF))
    joined = f"x\0={b'0'.hex()}\0{victim}\0={b'evil'.hex()}\0/nowhere"
    for name in (joined, "../../../../somewhere", str(victim.parent), "a/../../../../../somewhere", "", "..", "\n"):
        for step in ("Bind", "SetDriverOverride"):
            body = {"kind": step, "function": WHOLE} | (
                {"driver": name} if step == "Bind" else {"value": name, "expects": None}
            )
            word, said = host.last("apply", plan(body))
            if word == "report":  # the kernel accepts any line as override, so the step is refused for its effect
                assert said["results"][0]["outcome"] == "failed"
                assert "refused" in said["results"][0]["message"]
            else:
                assert said["message"].startswith("refused, nothing was done: Plan.pfs[0].steps[0]")
    assert victim.read_text() == "as it was"
    assert (kernel.devices / PF / "driver_override").read_text() == "(null)\n"
    assert host.last("ping") == ("pong", None)


def test_a_file_in_the_shared_folder_is_no_module_and_a_word_is_no_option(host: HostProcess) -> None:
    evil = host.socket.parent / "evil.ko"
    evil.write_bytes(b"\0" * 64)
    for name in (str(evil), "evil.ko", "./evil", "-r", "--version", "-C", "", "no such", "x" * 100, "a\nb", "a\0b"):
        word, said = host.last("apply", plan({"kind": "LoadModule", "pf": PF, "module": name}))
        assert word == "error"
        assert "is not the name of a module" in said["message"]
    word, said = host.last("apply", plan({"kind": "LoadModule", "pf": PF, "module": "no_such_module"}))
    assert (word, said["results"][0]["outcome"]) == ("report", "failed")


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        b"{}\n",
        b"null\n",
        b'{"apply": null}\n',
        b'{"observe": null, "ping": null}\n',
        b'{"observe": {"links": 1}}\n',
        b"[" * 100_000 + b"\n",
        b'{"apply": ' + b"[" * 60 + b"]" * 60 + b"}\n",
        b'{"apply": ' + b'{"a":' * 60_000 + b"1" + b"}" * 60_000 + b"}\n",
        b'{"observe": ' + b"9" * 5000 + b"}\n",
        b'{"observe": NaN}\n',
        b'{"observe": "\\ud800"}\n',
        b"\xff\xfe\n",
        b'{"' + b"x" * 200_000 + b'": null}\n',
        b'{"apply": {"pfs": [{"pf": "0000:01:00.0", "steps": "' + b"x" * 200_000 + b'"}]}}\n',
        b"\0" * 1000 + b"\n",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_whatever_comes_is_answered_in_one_short_line_and_the_next_request_too(host: HostProcess, text: bytes) -> None:
    with host.connect() as client:
        client.sendall(text)
        ((word, body),) = answers(client)
        assert word == "error"
        assert len(json.dumps(body)) < 1500
        client.sendall(b'{"ping": null}\n')
        assert answers(client) == [("pong", None)]
    assert "Traceback" not in host.log()


def test_a_file_of_sysfs_that_is_not_what_a_kernel_writes_fails_its_step_alone(
    host: HostProcess, kernel: FakeKernel
) -> None:
    other = "0000:03:00.0"
    (kernel.devices / other / "virtfn0").symlink_to("../no address")
    steps: list[dict[str, Any]] = [
        {"kind": "SetNumVfs", "pf": other, "value": 0, "expects": 0},
        {"kind": "Forget", "pf": other},
    ]
    word, said = host.last("apply", plan(*steps))
    assert word == "report"
    assert [result["outcome"] for result in said["results"]] == ["failed", "notTried"]
    assert "not what a kernel writes" in said["results"][0]["message"]
