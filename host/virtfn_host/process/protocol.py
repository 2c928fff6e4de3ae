"""The lines between agent and host process: one JSON value a line, nothing else.

-> {"observe": Look}         <- {"observation": Observation}; null is a look without link settings
-> {"apply": Plan}           <- {"result": StepResult} for each step as it ends, then {"report": Report}
-> {"ping": null}            <- {"pong": null}, at once and without a look at the machine
-> {"watch": null}           <- {"event": "..."} for each burst of kernel events, for ever
                             <- {"error": {"reason": "...", "message": "..."}} instead, where it cannot be done
"""

import json
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from virtfn_host.core.values.codec import CodecError, decode, encode, parse_json
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import MANY, Plan, plan_of

LINE_LIMIT = 16 << 20
"""Bytes of the longest answer: an inventory of 2,048 VFs is about 1 MB."""

REQUEST_LIMIT = 1 << 20
"""Bytes of the longest request without its end; a client cuts a plan that would be longer (`cut`)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something is not done."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What to look at beside the machine's functions."""

    links: bool = False
    """Link settings of VFs; without, only where the journal has some to be given back."""


def line(word: str, value: object = None) -> bytes:
    """One message. What is no Unicode, as the kernel may show it, is said with a question mark."""
    body = value if word in ("event", "error") else None if value is None else encode(value)
    return _json({word: body}) + b"\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def cut(plan: Plan) -> Plan:
    """As many of a plan's steps, from the first on, as one request takes; what it blocks and displaces is not said.

    The rest is planned anew by whoever looks again: a plan is what is missing, not a list that must be worked off.
    """
    short = plan_of(plan.steps[:MANY])
    if len(line("apply", short)) <= REQUEST_LIMIT:
        return short
    # With each PF, and with each step of one, comes a comma, but for the first one.
    left, fitting = REQUEST_LIMIT - len(line("apply", plan_of(()))) + 1, 0
    for part in short.pfs:
        bare = len(_json(encode(replace(part, steps=()))))
        for number, step in enumerate(part.steps):
            whole = len(_json(encode(replace(part, steps=(step,)))))
            left -= whole + 1 - (bare if number else 0)
            fitting += left >= 0
    return plan_of(short.steps[:fitting])


def error_line(reason: Reason, message: str) -> bytes:
    """The answer where a request cannot be carried out."""
    return line("error", {"reason": reason.value, "message": message})


def parse(text: bytes, limit: int = LINE_LIMIT) -> tuple[str, Any]:
    """The word of a message and its JSON.

    Raises:
        CodecError: it is no message.
    """
    message = parse_json(text, limit=limit)
    if not isinstance(message, dict) or len(message) != 1:
        raise CodecError('want one word with its value, like {"observe": null}')
    ((word, body),) = message.items()
    return word, body


def value(kind: type[T], body: object) -> T:
    """The value a message carries.

    Raises:
        CodecError: it does not fit.
    """
    found: T = decode(kind, body, kind.__name__)
    return found
