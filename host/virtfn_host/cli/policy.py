"""Reads SriovPolicy files for `virtfn plan|apply|verify -f`: JSON always, YAML if PyYAML is installed."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from virtfn_host.core.translate.places import fault_line, line_at
from virtfn_host.core.turn.policy import API_VERSION, PolicyError, policy_config, read_priority
from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.desired import PolicyConfig, Rejected
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.resource_names import MAX_NAME, is_object_name
from virtfn_host.core.values.strict_json import NotJsonError, clipped, parse_json

LIMIT = 1 << 20
"""Longest file, in bytes; the API server accepts no longer object."""

ATTACHMENT, ATTACHMENTS = "NetworkAttachmentDefinition", "k8s.cni.cncf.io/"
"""Kind and API group of what `virtfn import sno` prints beside policies, so that one file can be applied."""


class UsageError(Exception):
    """The user must change the command line or the policy file; the message says how."""


def read_policies(path: Path, tell: Callable[[str], object] = lambda _: None) -> tuple[PolicyConfig, ...]:
    """Return the policies of a file (`-`: standard input), ordered by precedence, highest first.

    Args:
        tell: hears of NetworkAttachmentDefinitions, which are left out.

    Raises:
        UsageError: the file cannot be read or has something else than policies; the message names file and field.
    """
    found: dict[str, tuple[tuple[int, str, str], PolicyConfig]] = {}
    for document in _documents(path, tell):
        spec = document.get("spec")
        metadata = told if isinstance(told := document.get("metadata"), Mapping) else {}
        _expect_policy(path, document)
        name = _name(path, metadata)
        if name in found:
            raise UsageError(f"{path}: two policies are named {clipped(name)}; give each its own metadata.name")
        uid = str(metadata.get("uid", name))
        policy = policy_config(name=name, uid=uid, generation=1, spec=spec if isinstance(spec, Mapping) else {})
        if isinstance(policy, Rejected):
            raise UsageError(f"{policy.reason}: {path}: {policy.message}")
        # As in the cluster: those of one priority by age, then by name. A file that was never applied has no age.
        rank = (-_priority(path, document), str(metadata.get("creationTimestamp") or ""), name)
        found[name] = (rank, policy)
    return tuple(policy for _, policy in sorted(found.values(), key=lambda entry: entry[0]))


def _name(path: Path, metadata: Mapping[str, Any]) -> str:
    """Return the policy's name, without one that of its file. It is printed and noted: it must be one for the API."""
    name = metadata.get("name", path.stem)
    if "name" in metadata and not (isinstance(name, str) and is_object_name(name)):
        text = "lower-case letters, digits, - and . in at most 253 characters"
        raise UsageError(f"{path}: metadata.name: {clipped(name)} is no name of an object; write {text}")
    return clipped(name) if len(name) > MAX_NAME or not name.isprintable() else str(name)


def _expect_policy(path: Path, document: Mapping[str, Any]) -> None:
    if document.get("kind") != "SriovPolicy":
        raise UsageError(f"{path}: want kind SriovPolicy, got {clipped(document.get('kind'))}")
    if (version := document.get("apiVersion", API_VERSION)) != API_VERSION:
        raise UsageError(f"{path}: want apiVersion {API_VERSION}, got {clipped(version)}")


def known_again(policies: Iterable[PolicyConfig], claims: Sequence[Claim]) -> tuple[PolicyConfig, ...]:
    """Return policies with the uid that their claims have: a file usually has none, so the name counts."""
    uids = {claim.policy: claim.uid for claim in claims}
    return tuple(replace(p, uid=uids.get(p.name, p.uid)) if p.uid == p.name else p for p in policies)


def _priority(path: Path, document: Mapping[str, Any]) -> int:
    spec = document.get("spec")
    try:
        return read_priority(spec if isinstance(spec, Mapping) else {})
    except PolicyError as error:
        raise UsageError(f"{path}: {error}") from error


def _documents(path: Path, tell: Callable[[str], object]) -> list[dict[str, Any]]:
    found = parse(path, read_text(path), "SriovPolicy objects")
    kept = [it for it in found if not _is_attachment(it)]
    if not kept:
        raise UsageError(f"{path}: want SriovPolicy objects, got only {ATTACHMENT}s")
    if len(kept) < len(found):
        tell(f"{path}: {ATTACHMENT}s are left out ({len(found) - len(kept)}): they are no policies")
    return kept


def _is_attachment(document: Mapping[str, Any]) -> bool:
    return document.get("kind") == ATTACHMENT and str(document.get("apiVersion")).startswith(ATTACHMENTS)


def parse(path: Path, text: str, want: str) -> list[dict[str, Any]]:
    """Return the objects of a file's text, JSON or YAML; empty documents are left out.

    Raises:
        UsageError: the text is neither, exceeds a limit, or has something else than objects; the message has the line,
            and `want` where they are no objects.
    """
    try:
        documents: list[Any] = [parse_json(text, limit=LIMIT)]
    except NotJsonError:
        documents = _yaml(path, text)  # not JSON, so it must be YAML
    except CodecError as error:
        line = fault_line(text, error)
        raise UsageError(f"{path}: line {line}: {error}" if line else f"{path}: {error}") from error
    return _mappings(path, text, documents, want)


def read_text(path: Path) -> str:
    """Return the text of any file that the user may read, also of a pipe (`-f <(...)`), up to the limit.

    Raises:
        UsageError: it cannot be read, is too long, or is no UTF-8 text.
    """
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(LIMIT + 1)
        else:
            with path.open("rb") as file:
                data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise UsageError(f"{path}: longer than {LIMIT} bytes, the limit for a policy file")
        return data.decode()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}: line {line}: not UTF-8 text: {error}") from error


def _yaml(path: Path, text: str) -> list[Any]:
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            f"{path}: reading YAML needs PyYAML (pip install 'virtfn[cli]'); JSON works without it"
        ) from error

    from virtfn_host.cli.strict_yaml import TooMuchYamlError, load_all

    try:
        return load_all(text)
    except yaml.YAMLError as error:
        fault = "" if isinstance(error, TooMuchYamlError) else "not valid YAML: "
        raise UsageError(f"{path}: line {_yaml_line(text, error)}: {fault}{_problem(error)}") from error


def _yaml_line(text: str, error: object) -> int:
    """Return the line of a fault that PyYAML found; its reader of characters knows the position only."""
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark is not None else line_at(text, getattr(error, "position", 0))


def _problem(error: Exception) -> str:
    """Return what PyYAML says, in one line and without the lines that it quotes."""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return " ".join(str(said).split())[:200]


def _mappings(path: Path, text: str, documents: list[Any], want: str) -> list[dict[str, Any]]:
    for n, document in enumerate(documents):
        if document is not None and not isinstance(document, dict):
            line = 1 if len(documents) == 1 else _line_of_document(text, n)
            raise UsageError(f"{path}: line {line}: want {want}")
    kept = [document for document in documents if document is not None]
    if not kept:
        raise UsageError(f"{path}: there is nothing in it; want {want}")
    return kept


def _line_of_document(text: str, number: int) -> int:
    """Return the line where one document of a YAML file begins; the file is known to be YAML."""
    import yaml

    node = next(islice(yaml.compose_all(text, Loader=yaml.SafeLoader), number, None))
    return int(node.start_mark.line) + 1
