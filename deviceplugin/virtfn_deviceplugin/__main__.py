"""Entry point of `virtfn-device-plugin`: arguments, wiring, signals and the health answer. It decides nothing."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.resource_names import Domains, read_domains
from virtfn_host.health import Health
from virtfn_host.linux.read.mounted import StaleFolderError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.logs.lines import about
from virtfn_host.logs.start import LoggedArguments, add_log_options, start_log
from virtfn_host.ports import MetricsAddress, open_ports

if TYPE_CHECKING:
    from virtfn_deviceplugin.manager import ServerManager

LONGEST_TURN = 30.0
"""Seconds without a turn of the loop after which this process counts as hung."""

log = logging.getLogger("virtfn.deviceplugin")


def main() -> None:
    """Serve until SIGTERM or SIGINT, or until a folder that is mounted here is replaced on the node."""
    options = _arguments().parse_args()
    start_log(options)
    with about(node=options.node):
        try:
            asyncio.run(_run(options))
        except StaleFolderError as error:
            log.error("%s", error)  # the kubelet shows these last words and makes the container anew
            sys.exit(1)


async def _run(options: argparse.Namespace) -> None:
    # Imported here because they import grpc, and `start_log` must come before that.
    from virtfn_deviceplugin.manager import ServerManager
    from virtfn_deviceplugin.metrics import measured

    grants = options.grants or options.ledger.with_name("grants.json")
    manager = ServerManager(
        pool_file=options.pools,
        ledger=LedgerFile(options.ledger, locks=grants.parent),
        kubelet_dir=options.kubelet_dir,
        sysfs=Sysfs(options.sys, options.dev, options.proc),
        domains=options.resource_domains,
        grants=GrantFile(grants, device_info=options.device_info, cdi=options.cdi),
    )
    serving = asyncio.create_task(manager.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    version, port = importlib.metadata.version("virtfn"), options.metrics_port
    ports = await open_ports(
        options.health_port,
        lambda: _health(manager),
        None if port is None else MetricsAddress(host=options.metrics_host, port=port),
        lambda: measured(manager, version=version, now=time.monotonic(), wall=time.time()),
    )
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        await ports.close()


def _health(manager: "ServerManager") -> Health:
    """Report alive while the loop turns and a kubelet is there. The text says how each resource stands with the
    kubelet, and what is wrong with the pool file. A bad pool file is no cause for a restart, which would not repair it.
    """
    turns = time.monotonic() - manager.turned < LONGEST_TURN
    return Health(alive=manager.alive and turns, ready=manager.ready, text=manager.told)


def _arguments() -> argparse.ArgumentParser:
    parser = LoggedArguments(
        prog="virtfn-device-plugin",
        description="Offers the functions of the pool file to the kubelet as schedulable resources.",
    )
    for name, default, text in (
        ("--pools", "/run/virtfn/pools.json", "pool file that the agent writes"),
        ("--ledger", "/run/virtfn-ledger/ledger.json", "file in which allocations are noted"),
        ("--kubelet-dir", "/var/lib/kubelet/device-plugins", "the kubelet's device plugin folder"),
        ("--sys", "/sys", "the host's sysfs"),
        ("--dev", "/dev", "the host's /dev"),
        ("--proc", "/proc", "a /proc, for the boot ID and the mounts"),
    ):
        parser.add_argument(name, type=Path, default=Path(default), help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--grants",
        type=Path,
        metavar="GRANTS",
        help="file in which containers' device nodes are noted over reboots (default: grants.json beside the ledger)",
    )
    parser.add_argument(
        "--device-info",
        type=Path,
        metavar="FOLDER",
        help="folder of device-info files, which Multus and KubeVirt read: /var/run/k8s.cni.cncf.io/devinfo/dp "
        "(default: none are written)",
    )
    parser.add_argument(
        "--cdi",
        type=Path,
        metavar="FOLDER",
        help="folder of CDI specs for policies with grant.cdi: /var/run/cdi (default: their pools are not served)",
    )
    parser.add_argument(
        "--resource-domains",
        type=_domains,
        default=frozenset(),
        metavar="DOMAIN,...",
        help="domains of resource names that may be served beside virtfn.dev (default: none)",
    )
    parser.add_argument("--health-port", type=int, default=8081, help="port of /healthz (default: %(default)s)")
    parser.add_argument("--node", help="name of this node, for the log")
    add_log_options(parser)
    parser.add_argument("--metrics-port", type=int, help="port of /metrics (default: metrics are not served)")
    parser.add_argument("--metrics-host", help="address of this process to serve metrics at (default: all)")
    return parser


def _domains(text: str) -> Domains:
    try:
        return read_domains(text, "resource domains")
    except PolicyError as error:
        raise argparse.ArgumentTypeError(f"{error}; see the chart's value resourceDomains") from error


if __name__ == "__main__":
    main()
