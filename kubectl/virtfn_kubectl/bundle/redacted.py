"""Makes the files of a report from what was read: fields that are kept, names replaced, secrets taken out. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from virtfn_kubectl.bundle.kept import EVENT, MEMBER, NODE, POD, POLICY, VALUES, WORKLOAD, KeptFields, kept
from virtfn_kubectl.bundle.pseudonyms import Pseudonyms
from virtfn_kubectl.bundle.scrubbed import scrubbed
from virtfn_kubectl.bundle.sentences import named_in, without_cut
from virtfn_kubectl.read.printable import printable
from virtfn_operator.api.bounds import MARK
from virtfn_operator.api.foreign import mapping, text

_COMMAND = re.compile(rf"\bprocess (\d+) \((?:(?:\\?+[^\n]){{0,15}}|[^\n]{{0,512}}?)[){MARK}](?![^\s,;.:)\"'\\{MARK}])")
"""A process in a sentence: its command may be a name, and people write passwords into commands.

A command has 15 characters at most, and any of them may be `)`. JSON may have a backslash before each.
"""
_PULLED = re.compile(r'\bimage\\?"?[: ]{1,4}\\?"?([a-z0-9][\w.:/-]{0,512})/[\w.@:-]', re.IGNORECASE)
"""The registry and folders of an image, in JSON (`"image": "…"`) or in a sentence (`pulling image "…"`)."""
_CHOSEN = re.compile(r'"(?:registry|imageRegistry)": "([^"\\]{1,512})"')
"""A registry in Helm's values."""

PUBLIC = frozenset(
    {"virtfn.dev", "intel.com", "nvidia.com", "amd.com", "mellanox.com", "openshift.io", "kubernetes.io"}
    | {"docker.io", "ghcr.io", "quay.io", "gcr.io", "registry.k8s.io", "nvcr.io", "public.ecr.aws", "mcr.microsoft.com"}
    | {"index.docker.io", "library", "api", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
    | {"kubernetes.default.svc.cluster.local"}
)
"""Domains of resource names, registries and hosts that tell nothing of who uses them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Everything that was read for a report, as it came."""

    policies: Sequence[Any] = ()
    nodes: Sequence[Any] = ()
    members: Sequence[Any] = ()
    pods: Sequence[Any] = ()
    workloads: Sequence[Any] = ()
    events: Sequence[Any] = ()
    values: Any = None
    logs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By pod and container, the end of its log."""
    versions: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Other files of the report, by name."""


def redacted(found: Collected) -> dict[str, str]:
    """Return the files of a report: their contents by their names, in order."""
    names = _names(found)
    objects: tuple[tuple[str, Any, KeptFields], ...] = (
        ("policies.json", found.policies, POLICY),
        ("nodes.json", found.nodes, NODE),
        ("members.json", found.members, MEMBER),
        ("pods.json", found.pods, POD),
        ("workloads.json", found.workloads, WORKLOAD),
        ("events.json", found.events, EVENT),
        ("values.json", found.values, VALUES),
    )
    files = {name: _json(_clean(_listed(value, fields), names)) for name, value, fields in objects}
    files["versions.json"] = _json(_clean(dict(found.versions), names))
    files |= {name: _text(content, names) for name, content in found.texts.items()}
    for (pod, container), log in found.logs.items():
        files[f"logs/{_file(_text(pod, names))}.{_file(_text(container, names))}.log"] = _text(log, names)
    return files


def _listed(value: Any, fields: KeptFields) -> Any:
    if not isinstance(value, list | tuple):
        return kept(value, fields)
    return [kept(item, fields) for item in value if isinstance(item, Mapping)]


def _clean(value: Any, names: Pseudonyms) -> Any:
    match value:
        case str():
            return names.word(value) or _text(value, names)  # a node may be called like an address
        case list():
            return [_clean(item, names) for item in value]
        case dict():
            return {key: _image(item, names) if key == "image" else _clean(item, names) for key, item in value.items()}
    return value


def _image(value: Any, names: Pseudonyms) -> Any:
    """Return an image without its registry, which may be a company's own; `values.image` is an object."""
    return _text(value.rpartition("/")[2], names) if isinstance(value, str) else _clean(value, names)


def _text(text_: str, names: Pseudonyms) -> str:
    return names.replaced(scrubbed(_COMMAND.sub(r"process \1", without_cut(printable(text_)))))


def _file(name: str) -> str:
    """Return a text that can be part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)[:64] or "_"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _names(found: Collected) -> Pseudonyms:
    """Return the words for every name that is in the objects, or in a sentence of them."""
    names = Pseudonyms()
    names.add("node", sorted(_strings(_nodes(found))))
    names.add("policy", sorted(_strings(_policies(found))))
    every = [*_placed(found), *(entry for content in _contents(found) for entry in named_in(content))]
    for kind in ("pod", "namespace", "owner", "budget", "admission"):
        names.add(kind, sorted(_strings(name for its_kind, name in every if its_kind == kind)))
    names.add("object", sorted(_strings(_involved(found))))
    resources = sorted(_strings(_resources(found)))
    names.add("resource", [name.partition("/")[2] for name in resources])
    domains = [*(name.partition("/")[0] for name in resources), *sorted(_strings(_allowed(found)))]
    names.add("domain", [domain for domain in domains if domain not in PUBLIC])
    names.add("registry", [name for name in sorted(set(_registries(found))) if name.lower() not in PUBLIC])
    hosts = sorted(_strings(name for kind, name in every if kind == "host"))
    names.add("host", [name for name in hosts if name.lower() not in PUBLIC and any(map(str.isalpha, name))])
    return names


def _metadata(body: object, name: str) -> object:
    return mapping(mapping(body).get("metadata")).get(name)


def _strings(values: Iterable[object]) -> set[str]:
    return {value for value in values if isinstance(value, str) and value}


def _nodes(found: Collected) -> Iterator[object]:
    for body in (*found.nodes, *found.members):
        yield _metadata(body, "name")
    for body in found.pods:
        yield mapping(mapping(body).get("spec")).get("nodeName")
    for body in found.policies:
        for problem in _list(mapping(mapping(body).get("status")).get("problems")):
            yield mapping(problem).get("node")


def _placed(found: Collected) -> Iterator[tuple[str, object]]:
    """Yield names of pods and namespaces that are fields, each with its kind."""
    yield from (("pod", _metadata(it, "name")) for it in found.pods)
    yield from (("namespace", _metadata(it, "namespace")) for it in (*found.pods, *found.workloads, *found.events))
    for body in found.nodes:
        spec, status = (mapping(mapping(body).get(part)) for part in ("spec", "status"))
        leaving = mapping(mapping(status.get("plan")).get("evict")).get("pods")
        for item in map(mapping, (*_list(spec.get("evict")), *_list(leaving))):
            yield from (("namespace", item.get("namespace")), ("pod", item.get("name")))


def _policies(found: Collected) -> Iterator[object]:
    for body in found.policies:
        yield _metadata(body, "name")
    for body in found.nodes:
        spec, status = (mapping(mapping(body).get(part)) for part in ("spec", "status"))
        for item in (*_list(spec.get("policies")), *_list(status.get("policies"))):
            yield mapping(item).get("name")
        for item in _list(status.get("rejected")):
            yield mapping(item).get("policy")
        for item in _list(status.get("functions")):
            yield from _list(mapping(item).get("policies"))


def _resources(found: Collected) -> Iterator[object]:
    """Yield full resource names."""
    for body in found.policies:
        spec = mapping(mapping(body).get("spec"))
        virtual, whole = mapping(spec.get("virtualFunctions")), mapping(spec.get("wholeFunctions"))
        for item in (*_list(virtual.get("pools")), whole):
            if name := text(mapping(item).get("resourceName"), 317):
                yield name if "/" in name else f"virtfn.dev/{name}"
    for body in found.nodes:
        for pool in _list(mapping(mapping(body).get("status")).get("pools")):
            yield mapping(pool).get("resourceName")


def _allowed(found: Collected) -> list[Any]:
    """Return the domains that Helm's values allow in resource names."""
    return _list(mapping(found.values).get("resourceDomains"))


def _registries(found: Collected) -> Iterator[str]:
    """Yield the registry and each folder of every image: `hub.example` and `team` of `hub.example:5000/team/host`."""
    pulled = [place for content in _contents(found) for place in _PULLED.findall(content)]
    for place in (*pulled, *_CHOSEN.findall(json.dumps(found.values, default=str))):
        parts = (part.partition(":")[0] for part in place.split("/"))
        yield from (part for part in parts if any(map(str.isalpha, part)))  # a number would be replaced in every text


def _involved(found: Collected) -> Iterator[object]:
    for body in found.events:
        yield mapping(mapping(body).get("involvedObject")).get("name")


def _contents(found: Collected) -> Iterator[str]:
    """Yield every text in which something may be named that no object is."""
    yield from found.logs.values()
    yield from found.texts.values()
    for body in (*found.nodes, *found.policies, *found.events, *found.pods, *found.workloads):
        yield json.dumps(body, ensure_ascii=False, default=str)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
