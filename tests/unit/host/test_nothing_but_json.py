"""A process that is to log in JSON writes nothing else to stderr, also where it cannot start."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONTROLLER = ("virtfn_operator", "controller")
AGENT = ("virtfn_operator", "agent")
HOST = ("virtfn_host.process.serve",)
PLUGIN = ("virtfn_deviceplugin",)
JSON = "--log-format=json"
BEGIN = "argparse.Namespace(log_format='json', log_level='info')"


def run(*words: str, **environ: str) -> tuple[int, list[dict[str, Any]]]:
    """Run Python; return its exit status and the lines of its stderr."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env={**path, **environ}, timeout=50, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((*CONTROLLER, JSON, "--no-such"), "--no-such"),
        ((*HOST, "--no-such", "--log-format", "json"), "--no-such"),
        ((*PLUGIN, JSON, "--log-level=x"), "--log-level"),
        (("virtfn_host.process.clean_up", "--no-such", JSON), "--no-such"),
    ],
)
def test_a_wrong_argument_is_a_line(words: tuple[str, ...], named: str) -> None:
    status, (line,) = run("-m", *words)
    assert status == 2
    assert line["level"] == "error"
    assert named in line["message"]


@pytest.mark.parametrize(
    ("process", "environ", "named"),
    [
        (CONTROLLER, {}, "POD_NAME"),
        (CONTROLLER, {"POD_NAME": "c", "POD_NAMESPACE": "v", "VIRTFN_HEALTH_PORT": "x"}, "VIRTFN_HEALTH_PORT"),
        (AGENT, {}, "NODE_NAME"),
        (("virtfn_operator", "clean-up"), {}, "POD_NAMESPACE"),
    ],
)
def test_a_wrong_setting_is_a_line(process: tuple[str, ...], environ: dict[str, str], named: str) -> None:
    status, (line,) = run("-m", *process, JSON, VIRTFN_API_URL="http://127.0.0.1:1", **environ)
    assert status == 2
    assert named in line["message"]


def test_a_state_folder_that_cannot_be_made_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, lines = run("-m", *HOST, JSON, f"--journal={tmp_path}/file/journal.json", f"--socket={tmp_path}/s")
    assert status == 1
    assert "file" in lines[-1]["message"]


def of_plugin(folder: Path, **options: str) -> list[str]:
    """The words that start a device plugin below a folder."""
    (folder / "kubelet").mkdir()
    words = {"kubelet-dir": folder / "kubelet", "ledger": folder / "l.json", "pools": folder / "p.json", **options}
    return ["-m", *PLUGIN, JSON, *(f"--{name}={value}" for name, value in words.items())]


def test_a_wrong_domain_is_a_line(tmp_path: Path) -> None:
    status, (line,) = run(*of_plugin(tmp_path, **{"resource-domains": "kubernetes.io"}))
    assert status == 2
    assert "resourceDomains" in line["message"]


def test_an_error_that_is_not_caught_is_a_line_with_its_traceback(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        status, lines = run(*of_plugin(tmp_path, **{"health-port": str(taken.getsockname()[1])}))
    assert status == 1
    assert "Traceback" in lines[-1]["exception"]


def test_an_error_of_a_thread_is_a_line() -> None:
    program = (
        "import argparse, threading\n"
        "from virtfn_host.logs.start import start_log\n"
        f"start_log({BEGIN})\n"
        "for error in (ValueError, SystemExit):\n"
        "    def fail(): raise error('on purpose')\n"
        "    thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
    )
    status, (line,) = run("-c", program)
    assert status == 0
    assert "ValueError: on purpose" in line["exception"]


@pytest.mark.parametrize("package", ["virtfn_operator", "virtfn_deviceplugin"])
def test_grpc_writes_no_line_of_its_own(package: str) -> None:
    program = (
        f"import argparse, {package}.__main__ as main\nmain.start_log({BEGIN})\n"
        "import asyncio, grpc\n"
        "async def listen():\n"
        "    try: grpc.aio.server().add_insecure_port('unix:///no/such/folder/x.sock')\n"
        "    except RuntimeError: print('refused')\n"
        "asyncio.run(listen())\n"
    )
    assert run("-c", program) == (0, [])
