"""`make stranger`: the README's quick start on a cluster of the lab, typed command by command, with a clock.

Nothing of the lab's own ways is used: the images are pulled by digest from a registry that runs beside the cluster, and
the chart is its package from there. From the README differ only host names and the release's version, and that the
registry has no TLS. After each command it waits for what a person would wait for, before the next one is typed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtfn_lab import registry
from virtfn_lab.cluster import Cluster, LabError, up
from virtfn_lab.paths import repository
from virtfn_lab.prereqs import FOR_REGISTRIES, MissingProgramsError, ensure
from virtfn_lab.product import NAMESPACE, all_ready, functions
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError
from virtfn_release.push import CHARTS
from virtfn_release.release import LIST, folder
from virtfn_release.release_version import ReleaseError

ADDRESS = "10.77.0.1:5000"
"""Where the registry listens: the lab's own address, which nodes reach."""
REGISTRY = f"{ADDRESS}/virtfn"
EXAMPLE = "registry.example/virtfn"
"""The registry in the README."""
CHART = "charts/virtfn"
"""The chart in a README that installs it from the checkout."""
HEADING = re.compile(r"^##? .*(quick start|use it)", re.IGNORECASE)
LANGUAGES = ("sh", "bash", "shell", "console")
"""Blocks of these languages are typed."""
PROGRAMS = ("helm", "kubectl")
"""So are blocks of no language that begin with one of these; others show files or what one sees."""
NOT_TYPED = re.compile(r"\bdocker (build|push)\b")
"""How to make and push images oneself: here they are those of the release."""

_UNFILLED = re.compile(r"<[a-z][a-z -]*>|\b(?:NODE|VERSION|REGISTRY)\b")

# Variables of one command are there for the next, as in one terminal.
_SHELL = 'if [ -e "$0" ]; then . "$0"; fi; set -a; eval "$1"; status=$?; export -p > "$0"; exit $status'

_READY = 600
"""Seconds in which the chart's pods usually become ready on an emulated node that pulls four images."""
_SETTLED = 180
"""Likewise a policy and a pod."""
_TIMEOUT = 1800
"""Seconds after which a command has hung."""


_NO_PROXY = ["env", *(f"{name}={ADDRESS.partition(':')[0]}" for name in ("NO_PROXY", "no_proxy"))]
"""The beginning of a command that may ask the registry, on a machine that reaches others through a proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command that was typed, and how long it took until all that it asked for was there."""

    command: str
    seconds: float


def quick_start(page: str) -> tuple[str, ...]:
    """Return the commands of a page's quick start, in order; a here-document or a loop is one command.

    Args:
        page: Markdown with a section called `Quick start` or `Use it`, or with such a title.

    Raises:
        LabError: there is no such section, no command in it, or a command without an end.
    """
    commands = [command for block in _blocks(_section(page)) for command in _commands(block)]
    if not commands:
        raise LabError("the page has no section `Quick start` or `Use it` with commands in blocks")
    return tuple(command for command in commands if not NOT_TYPED.search(command))


def _section(page: str) -> list[str]:
    lines = page.splitlines()
    begin = next((number for number, line in enumerate(lines) if HEADING.match(line)), len(lines))
    mark = lines[begin].partition(" ")[0] + " " if begin < len(lines) else ""
    end = next((n for n in range(begin + 1, len(lines)) if lines[n].startswith(mark)), len(lines))
    return lines[begin + 1 : end]


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of code blocks with commands, fenced or indented."""
    block: list[str] = []
    fence: str | None = None
    for line in [*lines, ""]:
        if fence is not None:
            if line.strip() == "```":
                if fence in LANGUAGES or (not fence and block and block[0].startswith(PROGRAMS)):
                    yield block
                block, fence = [], None
            else:
                block.append(line)
        elif line.startswith("```"):
            fence = line[3:].strip()
        elif line.startswith("    "):
            block.append(line[4:])
        elif block:
            if block[0].startswith(PROGRAMS):
                yield block
            block = []


def _commands(block: Sequence[str]) -> Iterator[str]:
    """Yield complete commands; where some lines have a prompt, the others are output."""
    prompted = any(line.startswith("$ ") for line in block)
    command = ""
    for line in [line[2:] for line in block if line.startswith("$ ")] if prompted else block:
        command += line + "\n"
        if _complete(command):
            if command.strip():
                yield command.strip()
            command = ""
    if command:
        raise LabError(f"a command has no end:\n{command}")


def _complete(command: str) -> bool:
    """Whether a shell would carry out what was typed so far; it warns of a here-document without end."""
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode == 0 and not done.stderr and not command.endswith("\\\n")


def filled(command: str, version: str, values: Mapping[str, str]) -> str:
    """Return a command of the README for the lab: its registry, the chart from there, this version and node.

    Args:
        version: the release's, in place of VERSION and of the one that the README names.
        values: other words to replace, like NODE.

    Raises:
        LabError: a word is left for which the lab has no value.
    """
    command = command.replace(EXAMPLE, REGISTRY)
    package = f"oci://{REGISTRY}/{CHARTS}/virtfn"
    command = re.sub(rf"(?<=\s){re.escape(CHART)}(?=\s|$)", package, command)
    if command.startswith("helm ") and "--plain-http" not in command:
        command = re.sub(r"(oci://\S+)", r"\1 --plain-http", command, count=1)
    command = re.sub(r"--version[ =]\S+", f"--version {version}", command)
    for word, value in {"VERSION": version, **values}.items():
        command = re.sub(rf"<{word.lower()}>|\b{word}\b", value, command)
    if left := _UNFILLED.search(command):
        raise LabError(f"the lab does not know what to type for {left[0]} in: {command}")
    return command


def strangers(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the images of pods that are not from the lab's registry by digest."""
    images = [container["image"] for pod in pods for container in pod["spec"]["containers"]]
    return sorted({image for image in images if not re.fullmatch(rf"{re.escape(REGISTRY)}/\w+@sha256:\w+", image)})


def holds_a_vf(pod: Mapping[str, Any]) -> bool:
    """Whether a pod runs that asked for a resource of virtfn."""
    limits = [container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"]]
    asked = any(name.startswith("virtfn.dev/") for each in limits for name in each)
    return asked and pod["status"].get("phase") == "Running"


def table(typed: Sequence[Typed]) -> Iterator[str]:
    """Yield a line for each command, with the seconds from the first one on, and the whole in minutes."""
    since = 0.0
    for each in typed:
        first, *more = each.command.splitlines()
        yield f"{since:7.1f} s {each.seconds:+7.1f} s  {first}{' ...' if more else ''}"
        since += each.seconds
    yield f"{len(typed)} commands, {since / 60:.1f} minutes"


def shell(state: Path, command: str) -> list[str]:
    """Return the words that run one command of a session.

    Args:
        state: file in which the session's variables are kept; the first command makes it.
    """
    return ["bash", "-c", _SHELL, str(state), command]


def main() -> int:
    """Play the quick start; return the exit status. The lab keeps running for a closer look."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("page", nargs="?", default="README.md", help="page with the commands (default: %(default)s)")
    page = repository() / parser.parse_args().page
    try:
        release = folder(repository())
        version = _version(release)
        commands = quick_start(page.read_text())
        commands = tuple(filled(command, version, {"NODE": "node-1"}) for command in commands)
        ensure(tuple(FOR_REGISTRIES))
        cluster = up()
        with tempfile.TemporaryDirectory() as session, _registry(cluster):
            _push(cluster)
            typed = tuple(_type_all(cluster, commands, release, Path(session)))
    except (LabError, ReleaseError, CommandFailedError, MissingProgramsError) as error:
        print(error, file=sys.stderr)
        return 1
    for line in table(typed):
        print(line)
    return 0


def _version(release: Path) -> str:
    try:
        listed = json.loads((release / LIST).read_text())
    except FileNotFoundError as error:
        text = f"there is no release to install: make release VERSION=1.2.3 REGISTRY={REGISTRY}"
        raise ReleaseError(text) from error
    if listed["registry"] not in ("", REGISTRY):
        raise ReleaseError(f"the release names {listed['registry']}; make it with REGISTRY={REGISTRY}")
    return str(listed["version"])


@contextmanager
def _registry(cluster: Cluster) -> Iterator[None]:
    """Serve an empty registry in the lab's network; let the node pull from it without TLS."""
    served = registry.command(cluster.folder / "registry", ADDRESS)
    log = cluster.folder / "registry.log"
    process = cluster.start(["sh", "-c", 'log=$0; exec "$@" > "$log" 2>&1', str(log), *served])
    try:
        host, _, port = ADDRESS.partition(":")
        probe = f"import socket; print(socket.socket().connect_ex(('{host}', {port})))"
        words = [sys.executable, "-I", "-c", probe]
        cluster.until("the registry answers", lambda: _output(cluster.start(words)) == "0\n", 10)
        hosts = f"/etc/containerd/certs.d/{ADDRESS}"
        cluster.node_exec(1, f"mkdir -p '{hosts}' && echo 'server = \"http://{ADDRESS}\"' > '{hosts}/hosts.toml'")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _push(cluster: Cluster) -> None:
    words = [*_NO_PROXY, sys.executable, "-m", "virtfn_release", "push", "--registry", REGISTRY, "--plain-http"]
    process = cluster.start(words)
    print(_output(process), end="")
    if process.returncode != 0:
        raise LabError("the release was not pushed; its messages are above")


def _output(process: subprocess.Popen[str]) -> str:
    try:
        text, _ = process.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return text


def _type_all(cluster: Cluster, commands: Sequence[str], release: Path, home: Path) -> Iterator[Typed]:
    """Type commands in a home folder of their own, which is on PATH, as are the release's programs."""
    own = home / ".local/bin"
    own.mkdir(parents=True)
    path = f"{own}:{cluster.tools}:{release}:{os.environ['PATH']}"
    before = functions(cluster)
    held = False
    for command in commands:
        print(f"$ {command}", flush=True)
        began = time.monotonic()
        process = cluster.start([*_NO_PROXY, f"PATH={path}", f"HOME={home}", *shell(home / "state", command)])
        print(_output(process), end="", flush=True)
        if process.returncode != 0:
            raise LabError(f"exit {process.returncode} of: {command}")
        _wait_for_what_it_asked(cluster, command, before)
        held = held or any(holds_a_vf(pod) for pod in _pods(cluster, "default"))
        typed = Typed(command=command, seconds=time.monotonic() - began)
        say(f"... {typed.seconds:.1f} s")
        yield typed
    if not held:
        raise LabError("the quick start ended, and no pod held a VF at the end of any command")


def _wait_for_what_it_asked(cluster: Cluster, command: str, before: str) -> None:
    """Wait as a person does who looks at `kubectl get` until it says Ready.

    Args:
        before: the node's functions before the first command; no policy is left, so they must become so again.
    """
    if re.search(r"\bhelm (install|upgrade)\b", command):
        cluster.until("every pod of virtfn is ready", lambda: all_ready(cluster), _READY)
        if others := strangers(_pods(cluster, NAMESPACE)):
            raise LabError(f"not from {REGISTRY} by digest: {', '.join(others)}")
    elif re.search(r"\bkubectl (apply|create)\b", command):
        cluster.until("policies are Ready and pods run", lambda: _settled(cluster), _SETTLED)
    elif re.search(r"\bkubectl delete svp\b", command):
        cluster.until("every function is as it was", lambda: functions(cluster) == before, _SETTLED)


def _settled(cluster: Cluster) -> bool:
    done = cluster.kubectl("get", "svp", "-o", "json", check=False)
    policies = json.loads(done.stdout)["items"] if done.returncode == 0 else []  # the CRDs may be to come
    return settled(policies, _pods(cluster, "default"))


def settled(policies: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every policy is Ready in its present generation, and every pod runs or has ended well."""
    return all(_ready(policy) for policy in policies) and all(
        pod["status"].get("phase") in ("Running", "Succeeded") for pod in pods
    )


def _ready(policy: Mapping[str, Any]) -> bool:
    status = policy.get("status", {})
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
    return ready and status.get("observedGeneration") == policy["metadata"]["generation"]


def _pods(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    found: Any = cluster.get("pods", "--namespace", namespace)
    return list(found["items"])


if __name__ == "__main__":
    sys.exit(main())
