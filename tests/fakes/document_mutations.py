"""Change a JSON value (its leaves, its keys, its shape) as an attacker would."""

import copy
import random
from typing import Any

LEAVES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    0.5,
    1 << 31,
    1 << 63,
    1 << 64,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "0",
    "true",
    "null",
    "\0",
    "\ud800",
    "\u2028",
    "../../../etc/passwd",
    "-rf",
    "x" * 300,
    "0000:01:10.1",
    "0000:01:10.8",
    "vfio-pci",
    "virtfn.dev/other",
    "Reconfiguring",
    "NoSuchReason",
    [],
    {},
    [[]],
    {"kind": "Plan"},
)
"""Values that may replace any value."""

DEEP = (62, 120)
"""Levels of nesting. Deeper values cannot be built as objects and are tried as text (`strange_texts`)."""


def mutated(value: Any, chance: random.Random) -> Any:
    """Return a copy with one to three changes."""
    changed = [copy.deepcopy(value)]
    for _ in range(chance.randint(1, 3)):
        if not changed:
            break
        holder, key = chance.choice(list(_places(changed)))
        chance.choice((_leaf, _leaf, _near, _missing, _more, _twice, _wrapped, _moved, _long))(holder, key, chance)
    return changed[0] if changed else None


def _places(value: Any) -> Any:
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def _leaf(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = copy.deepcopy(chance.choice(LEAVES))


def _near(holder: Any, key: Any, chance: random.Random) -> None:
    """Replace a value by the same in another type, or by a little more or less."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = chance.choice((int(value), str(value).lower(), not value))
    elif isinstance(value, int | float):
        near = value if abs(value) < 1e15 else 0  # some leaves are too large for a float
        holder[key] = chance.choice((float(near), str(value), value + 1, -value, bool(value)))
    elif isinstance(value, str):
        holder[key] = chance.choice((value.upper(), value + " ", value[:-1], value + "\0", value.replace("1", "2")))


def _missing(holder: Any, key: Any, chance: random.Random) -> None:
    del holder[key]


def _more(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, dict):
        holder[chance.choice(("more", "kind", "value", "", "numVFs", "driver"))] = copy.deepcopy(chance.choice(LEAVES))
    else:
        holder.append(copy.deepcopy(chance.choice(LEAVES)))


def _twice(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(holder[key]))


def _wrapped(holder: Any, key: Any, chance: random.Random) -> None:
    deep = chance.choice(DEEP) if chance.random() < 0.1 else chance.randint(1, 3)
    for _ in range(deep):
        holder[key] = [holder[key]] if chance.random() < 0.5 else {"value": holder[key]}


def _moved(holder: Any, key: Any, chance: random.Random) -> None:
    other = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


def _long(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder[key], list) and holder[key] and chance.random() < 0.2:
        holder[key] = holder[key] * chance.choice((2, 50, 400))
