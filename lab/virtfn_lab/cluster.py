"""Start a cluster, talk to it, stop it. Everything that it writes is in the run folder.

Control plane and nodes run in namespaces of their own (inside.py). This side keeps the process id of the first process
there, with its start time, so that a reused id is never killed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virtfn_lab import pki
from virtfn_lab.consumer_images import RECIPES
from virtfn_lab.go_tools import tools
from virtfn_lab.images import image_disk
from virtfn_lab.inside import ETCD_COPY, EXEC_PORT, KUBELET_ROOT, RESTORED
from virtfn_lab.node_image import node_image
from virtfn_lab.paths import repository, run_dir
from virtfn_lab.prereqs import ensure
from virtfn_lab.progress import say, step
from virtfn_lab.qemu import is_broken
from virtfn_lab.run import CommandFailedError

POLL = 0.5
"""Seconds between two polls of something that sends no event."""

PATIENCE = 3
"""Factor on every expected time: the same emulated node was up to three times as slow on another day."""


CONSUMERS = (*RECIPES, "cni")
"""What `up` can bring for consumers of VFs: images, and the CNI plugin host-device."""

HUGE_PAGES = 64
"""Huge pages of 2 MiB on a node for consumers."""

_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Processes of clusters that this process started; `down` waits for them."""


class LabError(Exception):
    """The lab is not in the expected state; the message says what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster."""

    folder: Path
    tools: Path
    pid: int
    """Process id of the first process of its namespaces."""

    def kubectl(
        self, *words: str, stdin: str | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator."""
        return self._run([f"{self.tools}/kubectl", *words], stdin, check, timeout)

    def shown(self, *words: str) -> str:
        """Run `kubectl exec WORDS` with a command that only looks and has something to print; return what it prints.

        kubectl exec may lose all of it and say that all went well (docs/decisions/0035), so it is asked again.

        Raises:
            CommandFailedError: the command failed.
            LabError: it printed nothing.
        """
        for _ in range(3):
            if printed := self.kubectl("exec", *words).stdout:
                return printed
        raise LabError(f"kubectl exec {' '.join(words)}: nothing came back, three times")

    def helm(self, *words: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run Helm as administrator."""
        return self._run([f"{self.tools}/helm", *words], None, check, timeout)

    def node_exec(self, node: int, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on node number `node`."""
        program = (
            "import json,socket,sys\n"
            f"s=socket.create_connection(('{pki.node_network(node)}.15',{EXEC_PORT}),{timeout})\n"
            "s.sendall(json.dumps({'command':sys.stdin.read()}).encode()+b'\\n')\n"
            "print(s.makefile().readline(),end='')\n"
        )
        answer = json.loads(self.python(program, command, timeout + 10))
        return subprocess.CompletedProcess(command, answer["status"], answer["output"], "")

    def python(self, program: str, stdin: str, timeout: float = 120) -> str:
        """Run a Python program in the lab's network; return what it prints.

        Raises:
            CommandFailedError: it failed.
        """
        return self._run([sys.executable, "-I", "-c", program], stdin, True, timeout).stdout

    def get(self, *words: str) -> dict[str, object]:
        """Return the answer of `kubectl get WORDS -o json`."""
        found: dict[str, object] = json.loads(self.kubectl("get", *words, "-o", "json").stdout)
        return found

    def until(self, what: str, true: Callable[[], bool], seconds: float) -> float:
        """Wait until a condition holds that usually takes at most `seconds`; return the seconds that it took.

        Raises:
            LabError: it does not hold after `PATIENCE` times `seconds`.
        """
        seconds *= PATIENCE
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > seconds:
                raise LabError(f"not within {seconds:.0f} s: {what}")
            time.sleep(POLL)
        return time.monotonic() - began

    @contextmanager
    def api_server_away(self) -> Iterator[None]:
        """Within this context the API server answers nothing while connections stay open, the worst way to fail."""
        pid = self._process("kube-apiserver")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def copy_store(self) -> None:
        """Copy what etcd has stored, to go back to it (`restore_store`); a later copy takes its place.

        The process stands still meanwhile, so the copy is as after a kill, which etcd survives.
        """
        pid = self._process("etcd")
        shutil.rmtree(self.folder / ETCD_COPY, ignore_errors=True)
        os.kill(pid, signal.SIGSTOP)
        try:
            shutil.copytree(self.folder / "etcd", self.folder / ETCD_COPY)
        finally:
            os.kill(pid, signal.SIGCONT)

    def restore_store(self) -> float:
        """Start the control plane anew with the copy of its store, whose versions are older than what others remember.

        Returns:
            The seconds until the API server was ready.
        """
        marker = self.folder / RESTORED
        marker.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        seconds = self.until("the control plane is started anew", marker.exists, 60)

        def ready() -> bool:
            return self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0

        return seconds + self.until("the API server is ready", ready, 120)

    def _process(self, name: str) -> int:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in children:
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(name.encode()):
                return int(pid)
        raise LabError(f"no {name} runs in the lab")

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        """Start a program inside the lab's network, as administrator; the caller ends it."""
        entered, environment = self._entered(words)
        return subprocess.Popen(entered, stdout=subprocess.PIPE, text=True, env=environment)

    def _entered(self, words: list[str]) -> tuple[list[str], dict[str, str]]:
        # Enter the network namespace only: in the lab's mount namespace relative paths lead elsewhere.
        environment = os.environ | {"KUBECONFIG": str(self.folder / "pki/admin.kubeconfig")}
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *words], environment

    def _run(
        self, words: list[str], stdin: str | None, check: bool, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        entered, environment = self._entered(words)
        done = subprocess.run(
            entered, input=stdin, capture_output=True, text=True, env=environment, timeout=timeout, check=False
        )
        if done.returncode != 0 and not Path(f"/proc/{self.pid}").exists():
            raise LabError(f"the lab has ended by itself: {_tail(self.folder / 'inside.log')}")
        if check and done.returncode != 0:
            raise CommandFailedError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done


def cannot_run() -> str | None:
    """Return why no cluster can run on this machine, or None."""
    done = subprocess.run([*_NAMESPACES, "true"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return f"new network, mount and PID namespaces are refused ({done.stderr.strip()}); run as root, or allow them"


_NAMESPACES = ("unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc")


def up(
    nodes: int = 1,
    topology: str = "igb2",
    kubelet_root: str = KUBELET_ROOT,
    *,
    reboots: bool = False,
    consumers: Sequence[str] = (),
) -> Cluster:
    """Build what is not cached, start a new cluster, wait until its nodes are Ready.

    Args:
        kubelet_root: root-dir of the kubelets, without white space.
        reboots: whether a node can be rebooted (`reboot.py`); then its /var/lib/virtfn is on its disk.
        consumers: programs that use VFs, some of `CONSUMERS`; with them the nodes have huge pages.

    Raises:
        LabError: the cluster does not come up; the logs are in the run folder.
    """
    down()
    ensure()
    binaries, image = tools(*(name for name in consumers if name not in RECIPES)), node_image()
    images = image_disk(binaries, [name for name in consumers if name in RECIPES])
    words = [*_NAMESPACES, sys.executable, "-m", "virtfn_lab.inside"]
    words += ["--folder", str(run_dir() / "cluster"), "--tools", str(binaries), "--image", str(image.disk.parent)]
    words += ["--images", str(images), "--nodes", str(nodes), "--topology", topology]
    words += ["--kubelet-root", kubelet_root, *(["--reboots"] if reboots else [])]
    words += ["--hugepages", str(HUGE_PAGES)] if consumers else []
    try:
        return _up(words, binaries, nodes)
    except EmulatorBrokeError as error:
        say(f"the emulator broke, not the cluster; once more: {error}")
        down()
        return _up(words, binaries, nodes)


class EmulatorBrokeError(LabError):
    """QEMU broke a node while it booted."""


def expect_unbroken(cluster: Cluster, number: int, since: int = 0) -> None:
    """Raise EmulatorBrokeError if QEMU broke the boot of a node, as its console shows after `since` bytes."""
    if is_broken(cluster.folder / f"console-{number}", since):
        raise EmulatorBrokeError(f"the console of node-{number} shows that a timer was lost")


def _up(words: list[str], binaries: Path, nodes: int) -> Cluster:
    folder = run_dir() / "cluster"
    with step("making certificates"):
        pki.make(folder / "pki", nodes)
    environment = os.environ | {"PYTHONPATH": str(repository() / "lab")}
    with (folder / "inside.log").open("wb") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    _CHILDREN.append(process)
    first = _first_child(process)
    (run_dir() / "state.json").write_text(
        json.dumps({"pid": first, "started": _started(first), "tools": str(binaries)})
    )
    cluster = Cluster(folder=folder, tools=binaries, pid=first)
    try:
        _wait_ready(cluster, process, nodes)
    except EmulatorBrokeError:
        raise
    except (LabError, CommandFailedError) as error:
        raise LabError(f"{error}\nlogs are in {folder}; inside.log ends:\n{_tail(folder / 'inside.log')}") from error
    return cluster


def running() -> Cluster:
    """Return the cluster that an earlier `up` left running.

    Raises:
        LabError: there is none.
    """
    state = _state()
    if state is None:
        raise LabError("no lab is running; start one with: make lab-up")
    return Cluster(folder=run_dir() / "cluster", tools=Path(str(state["tools"])), pid=int(str(state["pid"])))


def down() -> None:
    """Stop the cluster, if one runs, and remove what it left, also after a crash."""
    state = _state()
    if state is not None:
        pid = int(str(state["pid"]))
        say(f"stopping the lab (process {pid})")
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while _started(pid) == state["started"] and time.monotonic() < deadline:
            time.sleep(0.05)
    while _CHILDREN:
        _CHILDREN.pop().wait(20)
    (run_dir() / "state.json").unlink(missing_ok=True)
    shutil.rmtree(run_dir() / "cluster", ignore_errors=True)


def _state() -> dict[str, object] | None:
    try:
        state: dict[str, object] = json.loads((run_dir() / "state.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return state if _started(int(str(state["pid"]))) == state["started"] else None


def _started(pid: int) -> str:
    """Return the start time of a process in the kernel's ticks; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _first_child(process: subprocess.Popen[bytes]) -> int:
    """Return the id of the process that unshare forks into the new PID namespace."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise LabError("unshare did not start: does this machine allow new network and PID namespaces?")


def _wait_ready(cluster: Cluster, process: subprocess.Popen[bytes], nodes: int) -> None:
    def alive() -> None:
        if process.poll() is not None:
            raise LabError("the lab ended while it came up")
        for number in range(1, nodes + 1):
            expect_unbroken(cluster, number)

    def api() -> bool:
        alive()
        return cluster.kubectl("get", "--raw", "/readyz", check=False).returncode == 0

    def ready() -> bool:
        alive()
        path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}'
        done = cluster.kubectl("get", "nodes", "-o", f"jsonpath={path}", check=False)
        return done.stdout.split() == ["True"] * nodes

    say(f"API server ready after {cluster.until('the API server is ready', api, 120):.1f} s")
    say(f"{nodes} node(s) Ready after {cluster.until('every node is Ready', ready, 300):.1f} s more")


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else ""
