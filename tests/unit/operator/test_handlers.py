"""What kopf is told: one object by field selector, no annotations, no events of its own, and endless patience."""

import asyncio
import itertools
from typing import Any

import kopf
from kopf._cogs.structs.references import Resource

from virtfn_operator.agent import agent_process as agent_handlers
from virtfn_operator.apiserver.watch import Backoffs, watch_settings
from virtfn_operator.settings import ApiServer

SERVER = ApiServer(url="http://127.0.0.1:1", token=None, ca=None)


def resource(group: str, version: str, plural: str) -> Resource:
    return Resource(group=group, version=version, plural=plural, namespaced=False, preferred=True)


OWN = resource("virtfn.dev", "v1alpha1", "sriovnodes")
OTHERS = [resource("virtfn.dev", "v1alpha1", "sriovpolicies"), resource("", "v1", "nodes")]


def test_the_agent_watches_its_own_object_only() -> None:
    selectors = watch_settings(agent_handlers.field_selectors("n1")).watching.field_selectors
    assert selectors.collect(OWN) == ["metadata.name=n1"]
    assert [selectors.collect(other) for other in OTHERS] == [[], []]


def test_a_key_with_a_slash_would_watch_everything() -> None:
    """The trap: if this ever fails, kopf has learned it and the tuple is a matter of taste."""
    settings = kopf.OperatorSettings()
    settings.watching.field_selectors["virtfn.dev/sriovnodes"] = "metadata.name=n1"
    assert settings.watching.field_selectors.collect(OWN) == []


def kinds(registry: kopf.OperatorRegistry) -> list[tuple[str | None, str]]:
    handlers: Any = registry._watching.get_all_handlers()
    return sorted((handler.selector.group, handler.selector.any_name) for handler in handlers)


def test_only_low_level_events_are_handled() -> None:
    registry = agent_handlers.watch_registry(SERVER, lambda _: None, lambda: None)
    assert kinds(registry) == [("virtfn.dev", "sriovnodes")]
    assert not list(registry._changing.get_all_handlers())
    assert not list(registry._spawning.get_all_handlers())
    assert not list(registry._indexing.get_all_handlers())


def call(registry: kopf.OperatorRegistry, plural: str, kind: str | None, body: dict[str, Any]) -> None:
    handlers: Any = registry._watching.get_all_handlers()
    (handler,) = [h for h in handlers if h.selector.any_name == plural]
    asyncio.run(handler.fn(event={"type": kind, "object": body}))


def test_the_agent_is_told_of_its_object_and_of_its_end() -> None:
    told: list[Any] = []
    registry = agent_handlers.watch_registry(SERVER, told.append, lambda: told.append("gone"))
    call(registry, "sriovnodes", None, {"spec": {}})
    call(registry, "sriovnodes", "DELETED", {"spec": {}})
    assert told == [{"spec": {}}, "gone"]


def test_kopf_writes_nothing_and_needs_nothing() -> None:
    settings = watch_settings({})
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert isinstance(settings.watching.server_timeout, int)  # the API server refuses 300.0


def test_patience_has_no_end_and_a_limit() -> None:
    delays = list(itertools.islice(Backoffs(), 200))
    assert 0.5 <= delays[0] <= 1.0
    assert all(delay <= 30 for delay in delays)
    assert delays[-1] >= 15
