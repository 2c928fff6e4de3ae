"""Reads SriovPolicy files for `virtfn plan|apply|verify -f`: YAML where PyYAML is installed, JSON always."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from virtfn_host.core.policy import policy_config
from virtfn_host.core.wanted import PolicyConfig, Rejected


class UsageError(Exception):
    """The user must change what was typed; the message says how."""


def read_policies(path: Path) -> tuple[PolicyConfig, ...]:
    """The policies of a file (`-`: of standard input), the one that claims first first.

    Raises:
        UsageError: it cannot be read, or is no SriovPolicy; the message names the file and the field.
    """
    found: list[tuple[int, int, PolicyConfig]] = []
    for document in _documents(path):
        metadata, spec = document.get("metadata"), document.get("spec")
        name = str((metadata if isinstance(metadata, Mapping) else {}).get("name", path.stem))
        if document.get("kind") != "SriovPolicy":
            raise UsageError(f"{path}: want kind SriovPolicy, got {document.get('kind')!r}")
        policy = policy_config(name=name, uid=name, generation=1, spec=spec if isinstance(spec, Mapping) else {})
        if isinstance(policy, Rejected):
            raise UsageError(f"{policy.reason}: {path}: {policy.message}")
        found.append((-_priority(path, document), len(found), policy))
    return tuple(policy for _, _, policy in sorted(found, key=lambda entry: entry[:2]))


def _priority(path: Path, document: Mapping[str, Any]) -> int:
    priority = (document.get("spec") or {}).get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise UsageError(f"{path}: spec.priority: want a number, got {priority!r}")
    return priority


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no text in UTF-8: {error}") from error
    try:
        return _mappings(path, [json.loads(text)])
    except json.JSONDecodeError:
        return _mappings(path, _yaml(path, text))  # Not JSON, so it has to be YAML.


def _yaml(path: Path, text: str) -> list[Any]:
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            f"{path}: reading YAML needs PyYAML (pip install 'virtfn[cli]'); JSON works without"
        ) from error
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: no YAML: {error}") from error


def _mappings(path: Path, documents: list[Any]) -> list[dict[str, Any]]:
    kept = [document for document in documents if document is not None]
    if not kept or not all(isinstance(document, dict) for document in kept):
        raise UsageError(f"{path}: want SriovPolicy objects")
    return kept
