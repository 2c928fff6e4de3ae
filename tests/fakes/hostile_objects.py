"""Hostile SriovPolicy and SriovNode objects: odd, huge, nested, contradictory, and sometimes good.

All of it is JSON that can be sent to an API server (`hostile_policies`, `hostile_nodes`), whether the schema accepts it
or not. `mangled` changes some objects so that no API server would return them.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

Body = dict[str, Any]

API_VERSION = "virtfn.dev/v1alpha1"
OVERLAPPING = ",".join(["0-65534"] * 128)
BOOT = "boot-1"

Junk = Callable[[Random], Any]

JUNK: Sequence[Junk] = (
    lambda _: None,
    lambda r: r.choice([True, False, 0, -1, 1, 7, 64, 65535, 65536, 2**31, 2**53, 2**63, -(2**63), 1.5, 1e308]),
    lambda r: r.choice(["", " ", "/", "..", "a/b/c", "\x00", "\n", "\u202e", "\ud800", "é", "%s", "{}", "-1", "null"]),
    lambda r: "x" * r.choice([64, 254, 1025, 5000, 40_000]),
    lambda r: r.choice([OVERLAPPING, "0-65534", "3-1", "0,0", "0," * 200 + "1", "9" * 40, "0-3,6", "1-"]),
    lambda r: r.choice(["nvidia.com/gpu", "cpu", "hugepages-2Mi", "kubernetes.io/x", "virtfn.dev/x", "../../etc/x"]),
    lambda _: [],
    lambda _: {},
    lambda r: [None] * r.choice([1, 65, 2000]),
    lambda r: {"a": None, "b" * r.choice([1, 500]): {}},
    lambda r: _nested(r.choice([3, 60, 200])),
    lambda r: [{"vendor": None}] * r.choice([1, 64, 65]),
    lambda r: [r.randrange(10) for _ in range(r.choice([3, 300]))],
)


def hostile_policies(seed: int, n: int) -> list[Body]:
    """Return `n` SriovPolicy objects with different names; one in four is good."""
    random = Random(seed)  # so that a run can be repeated
    return [_policy(random, f"hostile-{seed}-{number}") for number in range(n)]


def hostile_nodes(seed: int, n: int) -> list[Body]:
    """Return `n` SriovNode objects with a spec and a status each; one in four is good."""
    random = Random(seed)  # so that a run can be repeated
    return [_node(random, f"hostile-node-{seed}-{number}") for number in range(n)]


def mangled(random: Random, bodies: Sequence[Body]) -> list[Any]:
    """Change some of them as no API server would return them: without metadata, or not an object at all."""
    found: list[Any] = []
    for body in bodies:
        dice = random.random()
        if dice < 0.02:
            found.append(_junk(random))
        elif dice < 0.08:
            metadata = {
                **body["metadata"],
                random.choice(["uid", "generation", "labels", "annotations"]): _junk(random),
            }
            found.append({**body, "metadata": metadata})
        else:
            found.append(body)
    return found


def _policy(random: Random, name: str) -> Body:
    spec = _good_spec(random, name)
    if random.random() < 0.75:
        spec = _spoilt(random, spec)
    created = f"20{random.randrange(10, 40)}-01-01T00:00:00Z"
    metadata = {"name": name, "uid": f"uid-{name}", "generation": random.randrange(1, 9), "creationTimestamp": created}
    body: Body = {"apiVersion": API_VERSION, "kind": "SriovPolicy", "metadata": metadata, "spec": spec}
    if random.random() < 0.2:
        body["status"] = _spoilt(random, {"nodes": {"matching": 1}, "conditions": _conditions(), "problems": []})
    return body


def _good_spec(random: Random, name: str) -> Body:
    spec: Body = {
        "devices": [
            {"vendor": "8086", "device": random.choice(["10c9", "1572"]), "driver": "igb", "numaNode": 0},
            {"address": f"0000:{random.randrange(256):02x}:00.0"},
        ][: random.choice([1, 2])],
        "priority": random.randrange(-1000, 1001),
        "disruption": {
            "whenInUse": random.choice(["Wait", "Evict"]),
            "maxUnavailable": random.choice([1, 3, "10%", "100%"]),
            "onFailure": random.choice(["Stop", "Continue"]),
        },
    }
    if random.random() < 0.3:
        expression = {"key": "role", "operator": "NotIn", "values": ["a", "b"]}
        spec["nodeSelector"] = {"matchLabels": {"role": "dpdk"}, "matchExpressions": [expression]}
    if random.random() < 0.2:
        return {**spec, "wholeFunctions": {"resourceName": name[-60:], "driver": "vfio-pci"}}
    size = random.choice([1, 2, 8, 64])
    link = {"vlan": 100, "vlanQos": 3, "trust": True, "maxTxRate": 100, "linkState": "auto"}
    pools = [
        {"resourceName": f"{name[-50:]}-{n}", "indexes": f"{n * 4}-{n * 4 + 3}", "driver": "vfio-pci"}
        | ({"link": link} if random.random() < 0.1 else {})
        for n in range(size)
    ]
    return {**spec, "virtualFunctions": {"count": size * 4, "pools": pools}}


def _node(random: Random, name: str) -> Body:
    spec = {"policies": [_entry(random, n) for n in range(random.choice([0, 1, 3, 30]))], "mayChange": _half(random)}
    status: Body = {
        "observedGeneration": random.randrange(4),
        "bootId": BOOT,
        "functions": [_function(random)],
        "pools": [{"resourceName": "virtfn.dev/fast", "capacity": 4, "healthy": 4, "inUse": 0}],
        "plan": {
            "steps": 3,
            "disruptive": _half(random),
            "blocked": [],
            "evict": {"withdrawn": _half(random), "pods": [{"device": "d", "namespace": "n", "name": "p", "uid": "u"}]},
        },
        "policies": [
            {"name": f"p{n}", "uid": f"u{n}", "generation": 1, "state": "Ready", "reason": "Converged", "message": ""}
            for n in range(random.choice([0, 3, 100]))
        ],
        "rejected": [{"policy": "p0", "reason": "IndexTaken", "message": "VF 0 belongs to another"}],
        "summary": {"pfs": 1, "vfs": 4, "inUse": 0, "pools": ""},
        "conditions": _conditions(),
    }
    if random.random() < 0.75:
        spec, status = (_spoilt(random, spec), status) if _half(random) else (spec, _spoilt(random, status))
    if random.random() < 0.02:  # the most that the API server's store takes
        spec = {"policies": [_entry(random, n) for n in range(1024)], "mayChange": True}
    return {
        "apiVersion": API_VERSION,
        "kind": "SriovNode",
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": random.randrange(1, 4)},
        "spec": spec,
        "status": status,
    }


def _entry(random: Random, number: int) -> Body:
    indexes = random.choice(["0-3", "0-3,6", OVERLAPPING, "0-65534", ",".join(str(2 * n) for n in range(120))])
    pool = {"resourceName": f"virtfn.dev/p{number}", "indexes": indexes, "driver": "vfio-pci"}
    return {
        "name": f"p{number}",
        "uid": f"u{number}",
        "generation": 1,
        "devices": [{"vendor": "8086", "device": "10c9"}],
        **({"count": 4} if random.random() < 0.3 else {}),
        "pools": [pool],
    }


def _function(random: Random) -> Body:
    run = {"indexes": random.choice(["0-3", "0-1", "3-1", OVERLAPPING, ""]), "driver": "vfio-pci", "heldBy": []}
    return {
        "address": "0000:01:00.0",
        "driver": "igb",
        "numVfs": 4,
        "vfs": [{**run, "pool": "virtfn.dev/fast"}] * random.choice([1, 2, 500]),
    }


def _conditions() -> list[Body]:
    rest = {"status": "True", "reason": "Converged", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return [{"type": "Ready", "observedGeneration": 1, **rest}]


def _spoilt(random: Random, document: Body) -> Any:
    """Return a copy with one to three places changed or extended."""
    spoilt = copy.deepcopy(document)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        places = list(_places(spoilt))
        if random.random() < 0.03 or not places:
            return _junk(random)
        holder, key = random.choice(places)
        match random.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[random.choice(["more", "x" * 300, "", "status"])] = _junk(random)
            case 2 if isinstance(holder[key], list) and holder[key]:
                holder[key] = holder[key][:1] * random.choice([65, 300])
            case _:
                holder[key] = _junk(random)
    return spoilt


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container with each of its keys, shallow ones first; of a list the first three items only."""
    level = [value]
    while level:
        below: list[Any] = []
        for holder in level:
            keys = list(holder) if isinstance(holder, dict) else range(min(3, len(holder)))
            for key in keys:
                yield holder, key
                if isinstance(holder[key], dict | list):
                    below.append(holder[key])
        level = below


def _junk(random: Random) -> Any:
    return random.choice(JUNK)(random)


def _nested(depth: int) -> Any:
    inner: Any = {}
    for _ in range(depth):
        inner = {"a": [inner]}
    return inner


def _half(random: Random) -> bool:
    return random.random() < 0.5
