"""A null, an empty value or another type somewhere in a spec is refused by name: it never widens a policy."""

from collections.abc import Iterator
from typing import Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import PolicyConfig, Rejected
from virtfn_host.core.values.reasons import Reason

VFS: dict[str, Any] = {
    "devices": [{"vendor": "8086", "device": "10c9", "class": "0200", "driver": "igb", "netdev": "e", "numaNode": 0}],
    "virtualFunctions": {
        "count": 7,
        "pools": [
            {
                "resourceName": "fast",
                "indexes": "0-3",
                "driver": "vfio-pci",
                "link": {"vlan": 1, "vlanQos": 1, "trust": True, "minTxRate": 1, "maxTxRate": 2, "linkState": "auto"},
            }
        ],
    },
    "disruption": {"whenInUse": "Wait", "maxUnavailable": 1},
}
WHOLE: dict[str, Any] = {
    "devices": [{"address": "0000:3b:00.0"}],
    "wholeFunctions": {"resourceName": "gpu", "driver": "vfio-pci"},
}
JUNK: tuple[Any, ...] = (None, [], {}, "", 0, 7, True, 1.5, "x" * 500, [None], {"a": None}, 10**5000, -1)


def read(spec: Any) -> PolicyConfig | Rejected:
    return policy_config(name="p", uid="u", generation=1, spec=spec)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, the document itself first."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def with_(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, list):
        return [with_(item, path[1:], new) if n == path[0] else item for n, item in enumerate(value)]
    return {key: with_(item, path[1:], new) if key == path[0] else item for key, item in value.items()}


@pytest.mark.parametrize("spec", [VFS, WHOLE], ids=["vfs", "whole"])
def test_a_null_in_any_place_is_refused_and_named(spec: dict[str, Any]) -> None:
    for path in places(spec):
        answer = read(with_(spec, path, None))
        assert isinstance(answer, Rejected), path
        assert answer.message.startswith("spec"), path
        named = [key for key in path if isinstance(key, str)]
        assert not named or named[-1] in answer.message, (path, answer.message)


@pytest.mark.parametrize("spec", [VFS, WHOLE], ids=["vfs", "whole"])
def test_nothing_in_any_place_raises_and_no_message_is_long(spec: dict[str, Any]) -> None:
    for path in places(spec):
        for junk in JUNK:
            answer = read(with_(spec, path, junk))
            if isinstance(answer, Rejected):
                assert len(answer.message) < 400, (path, answer.message)
            else:
                assert answer.devices
                assert all(matcher != type(matcher)() for matcher in answer.devices), path


@pytest.mark.parametrize(
    "matcher", [{"vendor": None}, {"vendor": None, "device": None}, {"vendor": "8086", "device": None}, {}, None]
)
def test_a_matcher_of_nulls_matches_nothing(matcher: Any) -> None:
    answer = read({**WHOLE, "devices": [matcher]})
    assert isinstance(answer, Rejected)
    assert "spec.devices[0]" in answer.message


def nested(depth: int) -> Any:
    inner: Any = {}
    for _ in range(depth):
        inner = {"a": [inner]}
    return inner


@pytest.mark.parametrize("spec", [{**WHOLE, "more": nested(10_000)}, {**WHOLE, "devices": [nested(10_000)]}])
def test_what_is_nested_too_deeply_is_refused(spec: Any) -> None:
    assert isinstance(read(spec), Rejected)


def test_a_policy_that_is_too_large_says_how_large_it_is() -> None:
    pools = [{"resourceName": f"{'d' * 240}/{n}", "indexes": str(n) + " " * 1000} for n in range(64)]
    answer = read({**VFS, "virtualFunctions": {"pools": pools}})
    assert isinstance(answer, Rejected)
    assert answer.reason is Reason.TOO_LARGE
    assert "bytes are more than the 65536" in answer.message


def test_the_largest_policy_that_the_schema_takes_is_read() -> None:
    """64 matchers with every field, 64 pools with the longest names and every setting."""
    matcher = {**VFS["devices"][0], "netdev": "n" * 128, "driver": "d" * 55, "address": "0000:3b:00.0"}
    pool = VFS["virtualFunctions"]["pools"][0]
    pools = [
        {**pool, "resourceName": f"{'d' * 200}/{'n' * 60}{n:02}", "indexes": f"{n * 4}-{n * 4 + 3}"} for n in range(64)
    ]
    spec = {**VFS, "devices": [matcher] * 64, "virtualFunctions": {"count": 256, "pools": pools}}
    assert isinstance(read(spec), PolicyConfig)
