"""The lines between agent and host process: one JSON value a line, nothing else.

-> {"observe": Look}         <- {"observation": Observation}; null is a look without link settings
-> {"apply": Plan}           <- {"result": StepResult} for each step as it ends, then {"report": Report}
-> {"keep": KeptConfig}      <- {"kept": null} when the file is written, or was as it should be
-> {"ping": null}            <- {"pong": null}, at once and without a look at the machine
-> {"watch": null}           <- {"event": "..."} for each burst of kernel events, for ever
                             <- {"error": {"reason": "...", "message": "..."}} instead, where a request fails
"""

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import CodecError, decode, encode
from virtfn_host.core.values.kept import EMPTY, KeptConfig
from virtfn_host.core.values.names import AtMost, ShownName
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import MANY, Plan, plan_of
from virtfn_host.core.values.strict_json import parse_json

LINE_LIMIT = 16 << 20
"""Bytes of the longest answer: an inventory of 2,048 VFs is about 1 MB."""

REQUEST_LIMIT = 1 << 20
"""Bytes of the longest request without its newline; a client cuts a plan that would be longer (`cut`)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request was refused."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What to look at in addition to the machine's functions."""

    links: bool = False
    """Look at link settings of VFs. If False, only where the journal has some to give back."""
    netdevs: Annotated[tuple[ShownName, ...], AtMost(MANY)] = ()
    """Netdevs that policies name: if no function has one of these names, alternative names are looked at, too."""
    macs: bool = False
    """Whether policies name permanent MACs: then those that sysfs does not show are looked at, too."""
    users_of: Annotated[tuple[PciAddress, ...], AtMost(MANY)] = ()
    """Functions of which the processes are to be named that have them open through vfio."""


PLAIN = Look()
"""The look without additions."""


def line(word: str, value: object = None) -> bytes:
    """Return the line of one message. Text from the kernel that is not Unicode gets question marks."""
    body = value if word in ("event", "error") else None if value is None else encode(value)
    return _json({word: body}) + b"\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def cut(plan: Plan) -> Plan:
    """Return as many steps of a plan, from the first on, as fit into one request, without what waits or is displaced.

    The rest is planned again at the next look: a plan says what is missing, and need not be carried out to its end.
    """
    short = _first(plan, MANY)
    if len(line("apply", short)) <= REQUEST_LIMIT:
        return short
    # Each PF and each of its steps comes with a comma, except the first.
    left, fitting = REQUEST_LIMIT - len(line("apply", replace(plan, pfs=()))) + 1, 0
    for part in short.pfs:
        bare = len(_json(encode(replace(part, steps=()))))
        for number, step in enumerate(part.steps):
            whole = len(_json(encode(replace(part, steps=(step,)))))
            left -= whole + 1 - (bare if number else 0)
            fitting += left >= 0
    return _first(short, fitting)


def _first(plan: Plan, number: int) -> Plan:
    """Return the first steps of a plan, each for its wish and policies."""
    whole = {part.pf: part for part in plan.pfs}
    parts = plan_of(plan.steps[:number]).pfs
    named = (replace(part, wish=whole[part.pf].wish, policies=whole[part.pf].policies) for part in parts)
    return Plan(pfs=tuple(named), asker=plan.asker)


def fitting(kept: KeptConfig) -> KeptConfig:
    """Return a kept config if it fits into one request, else an empty one: a boot that makes nothing is better than one
    that makes what was asked for earlier."""
    return kept if len(line("keep", kept)) <= REQUEST_LIMIT else EMPTY


def error_line(reason: Reason, message: str) -> bytes:
    """Return the line that answers a request which cannot be carried out."""
    return line("error", {"reason": reason.value, "message": message})


def parse(text: bytes, limit: int = LINE_LIMIT) -> tuple[str, Any]:
    """Return the word of a message and its JSON value.

    Raises:
        CodecError: the text is not a message.
    """
    message = parse_json(text, limit=limit)
    if not isinstance(message, dict) or len(message) != 1:
        raise CodecError('want one word with its value, like {"observe": null}')
    ((word, body),) = message.items()
    return word, body


def value(kind: type[T], body: object) -> T:
    """Return the value that a message carries.

    Raises:
        CodecError: the JSON is not of this type.
    """
    found: T = decode(kind, body, kind.__name__)
    return found
