"""Names of extended resources: the kubelet's rules, the names of Kubernetes itself, and the allowed domains.

A policy that offered `nvidia.com/gpu` would give virtfn's functions to pods that ask for NVIDIA's devices. So only
virtfn.dev and the domains that the administrator allows are offered.
"""

import re
from collections.abc import Iterable

from virtfn_host.core.values.fields import PolicyError, shown

RESOURCE_DOMAIN = "virtfn.dev"
"""The domain of a resource name without a slash; always allowed."""

NAME_LIMIT = 308
"""Most characters of domain, slash and name: 244 + 1 + 63. The kubelet's registry has the same limit."""

Domains = frozenset[str]
"""Allowed domains beside virtfn.dev; a subdomain is another domain."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_DOMAIN_LIMIT = 244
MAX_NAME = 253
"""Characters of an object's name."""
_NO_SHELL = re.compile(r"[^A-Z0-9_]")

_KUBERNETES_OWN = re.compile(
    r"(cpu|memory|storage|ephemeral-storage|pods|services|secrets|configmaps|persistentvolumeclaims|resourcequotas"
    r"|replicationcontrollers|hugepages(-.*)?|attachable-volumes-.*|(requests|limits|count)\..*)",
    re.IGNORECASE,
)
"""Names that Kubernetes uses without a domain in a pod's resources or in a quota."""


def resource_name(value: object, path: str, domains: Domains | None = None) -> str:
    """Return the full name, with its domain, for a user's `resourceName`.

    Args:
        domains: domains that are allowed beside virtfn.dev; None allows any, as in the command on a node.

    Raises:
        PolicyError: the kubelet would refuse the name, Kubernetes uses it itself, or its domain is not allowed.
    """
    if not isinstance(value, str) or not value:
        raise PolicyError(f"{path}: a pool needs a resource name")
    domain, slash, name = value.rpartition("/")
    if not slash and len(name) <= NAME_LIMIT and _KUBERNETES_OWN.fullmatch(name):
        text = f"{shown(value)} is a resource of Kubernetes itself"
        raise PolicyError(f"{path}: {text}; take another name, or write {RESOURCE_DOMAIN}/{name} if you mean that")
    domain = domain if slash else RESOURCE_DOMAIN
    # The kubelet's own rules: a qualified name, and its substring test for kubernetes.io/.
    if not _NAME.fullmatch(name) or not is_domain(domain):
        raise PolicyError(f"{path}: {shown(value)} is not a resource name like fast or vendor.example/fast")
    if is_reserved(domain):
        raise PolicyError(f"{path}: {shown(value)} is in a domain that Kubernetes keeps for itself; use another domain")
    if domains is not None and domain not in domains | {RESOURCE_DOMAIN}:
        text = f"{shown(value)} is in a domain that is not allowed here; leave the domain out"
        raise PolicyError(f"{path}: {text}, or add it to the chart's value resourceDomains")
    return f"{domain}/{name}"


def environment_keys(full_name: str) -> tuple[str, str]:
    """Return the endings of the names of a container's environment variables, in characters that a shell can read.

    Software looks for PCIDEVICE_<key> and PCIDEVICE_<key>_INFO, so the pools `fast` and `fast_info` conflict.
    """
    key = _NO_SHELL.sub("_", full_name.upper())
    return key, f"{key}_INFO"


def clashing(full_names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two different names that become one in a container's environment; None: no two do."""
    taken: dict[str, str] = {}
    for name in full_names:
        for key in environment_keys(name):
            if taken.setdefault(key, name) != name:
                return taken[key], name
    return None


def read_domains(text: str, path: str) -> Domains:
    """Parse `vendor.example,other.example` to a set; blanks and empty parts are ignored.

    Raises:
        PolicyError: a domain is not a DNS subdomain, or Kubernetes keeps it for itself.
    """
    return checked_domains((part.strip() for part in text.split(",") if part.strip()), path)


def checked_domains(domains: Iterable[str], path: str) -> Domains:
    """Return the domains of a list as a set.

    Raises:
        PolicyError: as `read_domains`.
    """
    found = frozenset(domains)
    for domain in sorted(found):
        if not is_domain(domain):
            raise PolicyError(f"{path}: {shown(domain)} is not a domain like vendor.example")
        if is_reserved(domain):
            raise PolicyError(f"{path}: {shown(domain)} is a domain that Kubernetes keeps for itself")
    return found


def is_domain(text: str) -> bool:
    """Return whether this is a lower-case DNS subdomain, as Kubernetes checks it, and short enough for the kubelet."""
    return _is_subdomain(text, _DOMAIN_LIMIT)


def is_object_name(text: str) -> bool:
    """Return whether the API server would take this as an object's name: a DNS subdomain (RFC 1123)."""
    return _is_subdomain(text, MAX_NAME)


def _is_subdomain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and all(_LABEL.fullmatch(label) for label in text.split("."))


def is_reserved(domain: str) -> bool:
    """Return whether Kubernetes keeps the domain for itself. Like its own check, this compares text, not labels."""
    return f"{domain}/".endswith("kubernetes.io/") or domain.startswith("requests.")
