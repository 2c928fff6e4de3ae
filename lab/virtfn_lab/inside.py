"""The first process inside the lab's namespaces; control plane and node VMs are its children.

When the first process of a PID namespace dies, for whatever reason, the kernel ends every other process there.
cluster.py starts this one; everything that it needs is in the folder that it is given.
"""

import argparse
import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path

from virtfn_lab import audit
from virtfn_lab.node_image import in_folder
from virtfn_lab.paths import repository
from virtfn_lab.pki import SERVICE_ADDRESS, node_network
from virtfn_lab.qemu import Guest, Hardware, command
from virtfn_lab.run import run

EXEC_PORT = 10999
"""Port of a node's exec server: lab/guest/exec-server.py."""

KUBELET_ROOT = "/var/lib/kubelet"
"""The kubelet's own default for its --root-dir."""

ETCD_COPY = "etcd-copy"
"""Folder with a copy of etcd's data; SIGUSR1 has the control plane start anew with it."""

RESTORED = "etcd-restored"
"""Made when it has started."""


async def _main(options: argparse.Namespace) -> None:
    _network(options.nodes)
    folder: Path = options.folder
    await asyncio.start_server(_forward, SERVICE_ADDRESS, 443)
    control_plane = _control_plane(folder, options.tools)
    nodes = {f"qemu-{number}": _node(options, number) for number in range(1, options.nodes + 1)}
    running = {name: await _start(folder, name, words) for name, words in (control_plane | nodes).items()}
    stop, back = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, back.set)
    while (ended := await _first(running, stop, back)) == "" and not stop.is_set():
        back.clear()
        await _go_back(folder, control_plane, running)
    if ended:
        print(f"{ended} ended with {running[ended].returncode}; its log ends:", file=sys.stderr)
        lines = (folder / f"{ended}.log").read_text(errors="replace").splitlines()
        print(*lines[-10:], sep="\n", file=sys.stderr)


async def _first(running: Mapping[str, Process], *events: asyncio.Event) -> str:
    """Wait for the first of these; return the name of the program that ended, or an empty text for an event."""
    tasks = {asyncio.create_task(process.wait()): name for name, process in running.items()}
    tasks |= {asyncio.create_task(event.wait()): "" for event in events}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return next((tasks[task] for task in done if tasks[task]), "")


async def _go_back(folder: Path, control_plane: dict[str, list[str]], running: dict[str, Process]) -> None:
    """Start the control plane anew with the copy of etcd's data: all of it, which remembers later versions."""
    for name in reversed(control_plane):
        running[name].kill()
        await running[name].wait()
    shutil.rmtree(folder / "etcd")
    shutil.copytree(folder / ETCD_COPY, folder / "etcd")
    for name, words in control_plane.items():
        running[name] = await _start(folder, name, words)
    (folder / RESTORED).touch()


def _network(nodes: int) -> None:
    """Set up loopback as the lab's network: each VM's gateway is this namespace's 127.0.0.1."""
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "addr", "add", "10.77.0.1/32", "dev", "lo"])
    run(["ip", "addr", "add", f"{SERVICE_ADDRESS}/32", "dev", "lo"])
    for number in range(1, nodes + 1):
        # Local, with another source address: with the guest's own one a TLS handshake hangs (docs/lab.md, traps).
        network = f"{node_network(number)}.0/24"
        run(["ip", "route", "add", "local", network, "dev", "lo", "src", "10.77.0.1"])


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward the API server's Service address, as kube-proxy would."""
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", 6443)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # One side closed the connection; the other is closed below.
    finally:
        writer.close()


async def _start(folder: Path, name: str, words: list[str]) -> Process:
    with (folder / f"{name}.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)


def _control_plane(folder: Path, tools: Path) -> dict[str, list[str]]:
    pki = folder / "pki"
    return {
        "etcd": [
            f"{tools}/etcd",
            f"--data-dir={folder}/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
        ],
        "kube-apiserver": [
            f"{tools}/kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--secure-port=6443",
            "--advertise-address=10.77.0.1",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            *audit.options(folder),
        ],
        "kube-controller-manager": [
            f"{tools}/kube-controller-manager",
            f"--kubeconfig={pki}/controller-manager.kubeconfig",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            "--use-service-account-credentials",
            "--leader-elect=false",
        ],
        "kube-scheduler": [
            f"{tools}/kube-scheduler",
            f"--kubeconfig={pki}/scheduler.kubeconfig",
            "--leader-elect=false",
        ],
    }


def _node(options: argparse.Namespace, number: int) -> list[str]:
    folder: Path = options.folder
    network = node_network(number)
    forwards = ",".join(f"hostfwd=tcp:{network}.15:{port}-:{port}" for port in (10250, EXEC_PORT))
    image = options.image
    guest = Guest(
        hardware=Hardware(topology=options.topology, memory_mb=3072, threads="multi"),
        image=in_folder(image),
        shares={
            "src": (repository(), False),
            "tools": (options.tools, False),
            "cluster": (folder / "pki" / f"node-{number}", False),
        },
        settings={
            "role": "node",
            "node": f"node-{number}",
            "number": str(number),
            "kubelet-root": options.kubelet_root,
            "hugepages": str(options.hugepages),
            **({"reboots": "1"} if options.reboots else {}),
        },
        reboots=options.reboots,
        console=folder / f"console-{number}",
        monitor=folder / f"qmp-{number}",
        more=[
            *["-drive", f"file={options.images},format=raw,if=none,id=d1,snapshot=on,cache=unsafe"],
            *["-device", "virtio-blk-pci,drive=d1,disable-legacy=on"],
            *["-netdev", f"user,id=m0,net={network}.0/24,{forwards}"],
            *["-device", "virtio-net-pci,netdev=m0,romfile="],
        ],
    )
    return command(guest)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True, help="folder of the node's image")
    parser.add_argument("--images", type=Path, required=True, help="disk with containerd's root")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--topology", default="igb2")
    parser.add_argument("--kubelet-root", default=KUBELET_ROOT)
    parser.add_argument("--hugepages", type=int, default=0, help="number of huge pages of 2 MiB on each node")
    parser.add_argument("--reboots", action="store_true", help="nodes boot again, with their disks as they were")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
