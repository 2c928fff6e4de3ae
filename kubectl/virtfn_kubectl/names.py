"""Names of objects as people write them: `fast`, `policy/fast`, `svp/fast`."""

import re

from virtfn_kubectl.errors import MistakeError

KINDS = {
    "policy": "policy",
    "svp": "policy",
    "sriovpolicy": "policy",
    "node": "node",
    "svn": "node",
    "sriovnode": "node",
    "pod": "pod",
    "po": "pod",
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def split(what: str) -> tuple[str, str]:
    """Split `policy/NAME`; the kind is empty where only a name is given.

    Raises:
        MistakeError: there is no such kind, or nothing can have that name.
    """
    kind, slash, name = what.rpartition("/")
    if slash and kind.lower() not in KINDS:
        raise MistakeError(f"{what}: write policy/NAME, node/NAME or pod/NAME")
    if not _NAME.fullmatch(name):
        raise MistakeError(f"{what}: no object can have this name")
    return KINDS.get(kind.lower(), ""), name


def policy_name(what: str) -> str:
    """Return the name of a policy, written with or without its kind.

    Raises:
        MistakeError: it is the name of something else, or nothing can have that name.
    """
    kind, name = split(what)
    if kind not in ("", "policy"):
        raise MistakeError(f"{what}: write the name of a policy")
    return name
