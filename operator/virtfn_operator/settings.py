"""The settings from the environment, read once into frozen values. Nothing else in the operator reads `os.environ`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.resource_names import Domains, read_domains
from virtfn_host.ports import MetricsAddress

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CONTROLLER_HEALTH_PORT = 8080
AGENT_HEALTH_PORT = 8082

LIST_LIMIT = 64 * 1024 * 1024
"""Bytes of all pages of one list, unless the memory limit allows more. A larger list is an error with a message. If it
were read, the process would be killed for its memory, restart, and read the same list again."""

TURN_TIMEOUT, LONGEST_TIMEOUT = 900.0, 7 * 86400.0
"""Default and highest value, in seconds."""

HOOK_TIMEOUT = 120.0
"""Seconds for which a hook waits for nodes, unless the chart says otherwise."""

MEMORY_PER_LIST = 8
"""Bytes of memory for each byte of a list: a list takes five as objects, and there are two more lists."""


class SettingsError(ValueError):
    """A variable is missing or invalid; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """The address of the API server and the files to log in with."""

    url: str
    token: Path | None
    """Read again for every request, because the kubelet rotates it."""
    ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The settings of the agent."""

    api: ApiServer
    node: str
    instance: str
    """The pod's name, for events."""
    host_socket: Path
    pools: Path
    ledger: Path
    podresources: Path
    health_port: int
    resource_domains: Domains = frozenset()
    """Domains that resource names may have beside virtfn.dev to be offered to pods."""
    metrics: MetricsAddress | None = None
    """Where metrics are served; None: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """The settings of the controller."""

    api: ApiServer
    instance: str
    """The pod's name, for the lease and for events."""
    namespace: str
    lease: str
    health_port: int
    resource_domains: Domains = frozenset()
    """Domains that resource names of policies may have beside virtfn.dev."""
    turn_timeout: float = TURN_TIMEOUT
    """Seconds that a node may be silent in its turn."""
    list_limit: int = LIST_LIMIT
    """Bytes of all pages of one list, at most."""
    metrics: MetricsAddress | None = None
    """Where metrics are served; None: nowhere."""
    startup_taint: bool = False
    """Whether to remove the taint virtfn.dev/not-ready from nodes whose pools are offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """The settings of the chart's hooks."""

    api: ApiServer
    namespace: str
    release: str
    """Name of the installation, a label of its pods."""
    lease: str
    timeout: float
    """Seconds to wait for nodes."""
    crds: Path
    """Folder with the chart's CRDs, each named by its plural."""
    cleaner: str = "virtfn-clean-nodes"
    """Name of the DaemonSet whose pods clean the nodes."""


def hook_settings(environ: Mapping[str, str]) -> HookSettings:
    """Read a hook's environment.

    Raises:
        SettingsError: a variable is missing or invalid.
    """
    return HookSettings(
        api=_api_server(environ),
        namespace=_needed(environ, "POD_NAMESPACE"),
        release=environ.get("VIRTFN_RELEASE") or "virtfn",
        lease=environ.get("VIRTFN_LEASE") or "virtfn-controller",
        timeout=_seconds(environ, "VIRTFN_HOOK_TIMEOUT", HOOK_TIMEOUT),
        crds=Path(environ.get("VIRTFN_CRDS") or "/etc/virtfn/crds"),
        cleaner=environ.get("VIRTFN_CLEANER") or "virtfn-clean-nodes",
    )


def agent_settings(environ: Mapping[str, str]) -> AgentSettings:
    """Read the agent's environment.

    Raises:
        SettingsError: a variable is missing or invalid.
    """
    return AgentSettings(
        api=_api_server(environ),
        node=_needed(environ, "NODE_NAME"),
        instance=environ.get("POD_NAME") or "virtfn-agent",
        host_socket=Path(environ.get("VIRTFN_HOST_SOCKET") or "/run/virtfn-host/host.sock"),
        pools=Path(environ.get("VIRTFN_POOLS") or "/run/virtfn/pools.json"),
        ledger=Path(environ.get("VIRTFN_LEDGER") or "/run/virtfn/ledger.json"),
        podresources=Path(environ.get("VIRTFN_PODRESOURCES") or "/var/lib/kubelet/pod-resources/kubelet.sock"),
        health_port=_port(environ, AGENT_HEALTH_PORT),
        metrics=_metrics(environ),
        resource_domains=_domains(environ),
    )


def controller_settings(environ: Mapping[str, str]) -> ControllerSettings:
    """Read the controller's environment.

    Raises:
        SettingsError: a variable is missing or invalid.
    """
    return ControllerSettings(
        api=_api_server(environ),
        instance=_needed(environ, "POD_NAME"),
        namespace=_needed(environ, "POD_NAMESPACE"),
        lease=environ.get("VIRTFN_LEASE") or "virtfn-controller",
        health_port=_port(environ, CONTROLLER_HEALTH_PORT),
        metrics=_metrics(environ),
        resource_domains=_domains(environ),
        turn_timeout=_seconds(environ, "VIRTFN_TURN_TIMEOUT", TURN_TIMEOUT),
        list_limit=max(LIST_LIMIT, _bytes(environ, "VIRTFN_MEMORY") // MEMORY_PER_LIST),
        startup_taint=_switch(environ, "VIRTFN_STARTUP_TAINT"),
    )


def _api_server(environ: Mapping[str, str]) -> ApiServer:
    """The API server of this pod's cluster; VIRTFN_API_URL (plain, no token) is for tests and for `kubectl proxy`."""
    if url := environ.get("VIRTFN_API_URL"):
        return ApiServer(url=url.rstrip("/"), token=None, ca=None)
    host, port = _needed(environ, "KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT") or "443"
    account = Path(environ.get("VIRTFN_SERVICE_ACCOUNT") or SERVICE_ACCOUNT)
    address = f"[{host}]" if ":" in host else host
    return ApiServer(url=f"https://{address}:{port}", token=account / "token", ca=account / "ca.crt")


def _needed(environ: Mapping[str, str], name: str) -> str:
    if not (value := environ.get(name)):
        raise SettingsError(f"{name} is not set; the chart sets it from the fields of the pod")
    return value


def _port(environ: Mapping[str, str], default: int, name: str = "VIRTFN_HEALTH_PORT") -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 <= int(text) < 65536:
        raise SettingsError(f"{name}: {text!r} is not a port (0 to 65535)")
    return int(text)


def _metrics(environ: Mapping[str, str]) -> MetricsAddress | None:
    """Where metrics are served, if a port is named: at the pod's own address, where the chart names it."""
    if not environ.get("VIRTFN_METRICS_PORT"):
        return None
    port = _port(environ, 0, "VIRTFN_METRICS_PORT")
    return MetricsAddress(host=environ.get("VIRTFN_METRICS_HOST") or None, port=port)


def _domains(environ: Mapping[str, str]) -> Domains:
    try:
        return read_domains(environ.get("VIRTFN_RESOURCE_DOMAINS") or "", "VIRTFN_RESOURCE_DOMAINS")
    except PolicyError as error:
        raise SettingsError(f"{error}; see the chart's value resourceDomains") from error


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_TIMEOUT:  # also refuses NaN
        raise SettingsError(f"{name}: {text!r} is out of range (1 to {LONGEST_TIMEOUT:.0f} seconds)")
    return seconds


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "false"
    if text not in ("true", "false"):
        raise SettingsError(f"{name}: {text!r} is not true or false")
    return text == "true"


def _bytes(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise SettingsError(f"{name}: {text!r} is not a number of bytes")
    return int(text)
