"""Reads SriovPolicy files for `virtfn plan|apply|verify -f`: JSON always, YAML if PyYAML is installed."""

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from virtfn_host.core.turn.policy import PolicyError, policy_config, read_priority
from virtfn_host.core.values.codec import CodecError, parse_json
from virtfn_host.core.values.desired import PolicyConfig, Rejected
from virtfn_host.core.values.strict_json import DEPTH_LIMIT, NotJsonError, clipped

LIMIT = 1 << 20
"""Longest file, in bytes; the API server accepts no longer object."""
MOST_VALUES = 100_000
"""Most values in one file, those inside objects and lists counted."""


class UsageError(Exception):
    """The user must change the command line or the policy file; the message says how."""


def read_policies(path: Path) -> tuple[PolicyConfig, ...]:
    """Return the policies of a file (`-`: standard input), ordered by precedence, highest first.

    Raises:
        UsageError: the file cannot be read or has something else than policies; the message names file and field.
    """
    found: list[tuple[int, int, PolicyConfig]] = []
    for document in _documents(path):
        metadata, spec = document.get("metadata"), document.get("spec")
        name = str((metadata if isinstance(metadata, Mapping) else {}).get("name", path.stem))
        if document.get("kind") != "SriovPolicy":
            raise UsageError(f"{path}: want kind SriovPolicy, got {clipped(document.get('kind'))}")
        policy = policy_config(name=name, uid=name, generation=1, spec=spec if isinstance(spec, Mapping) else {})
        if isinstance(policy, Rejected):
            raise UsageError(f"{policy.reason}: {path}: {policy.message}")
        found.append((-_priority(path, document), len(found), policy))
    return tuple(policy for _, _, policy in sorted(found, key=lambda entry: entry[:2]))


def _priority(path: Path, document: Mapping[str, Any]) -> int:
    spec = document.get("spec")
    try:
        return read_priority(spec if isinstance(spec, Mapping) else {})
    except PolicyError as error:
        raise UsageError(f"{path}: {error}") from error


def _documents(path: Path) -> list[dict[str, Any]]:
    text = _text(path)
    try:
        return _mappings(path, [parse_json(text, limit=LIMIT)])
    except NotJsonError:
        return _mappings(path, _yaml(path, text))  # not JSON, so it must be YAML
    except CodecError as error:
        raise UsageError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    """Return the text of any file that the user may read, also of a pipe (`-f <(...)`), up to the limit."""
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
        raise UsageError(f"{path}: not UTF-8 text: {error}") from error


def _yaml(path: Path, text: str) -> list[Any]:
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            f"{path}: reading YAML needs PyYAML (pip install 'virtfn[cli]'); JSON works without it"
        ) from error

    class Strict(yaml.SafeLoader):
        """A loader that refuses a key that is there twice, as our JSON reader and the API server do."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) != len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {clipped(twice)} is there twice", node.start_mark
                )
            return super().construct_mapping(node, deep)

    try:
        found = list(yaml.load_all(text, Loader=Strict))  # Strict is a SafeLoader
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {str(error)[:400]}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # a bad date or number; nested too deep
        raise UsageError(f"{path}: not valid YAML: {str(error)[:200]}") from error
    _expect_small(path, found)
    return found


def _expect_small(path: Path, found: list[Any]) -> None:
    """Refuse YAML that is nested deeper than JSON may be, or has too many values.

    An alias counts each time it is used: ten lines of aliases can mean more than memory can hold, or be circular.
    """
    level: list[Any] = found
    count = 0
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in islice((holder.values() if isinstance(holder, dict) else holder), MOST_VALUES + 1)
        ]
        count += len(level)
        if count > MOST_VALUES:
            raise UsageError(f"{path}: more than {MOST_VALUES} values; use fewer aliases")
        if not level:
            return
    raise UsageError(f"{path}: more than {DEPTH_LIMIT} objects and lists within each other")


def _mappings(path: Path, documents: list[Any]) -> list[dict[str, Any]]:
    kept = [document for document in documents if document is not None]
    if not kept or not all(isinstance(document, dict) for document in kept):
        raise UsageError(f"{path}: want SriovPolicy objects")
    return kept
