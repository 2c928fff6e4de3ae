"""The API server's store is restored from an older copy: versions go back, and the controller converges to that copy.

A watch that goes on from a version that the store does not have yet hears nothing, as with a real API server.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_server import OURS, ApiServer
from controller_at_work import SPEC, Controller, at_work

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller import listing, watching
from virtfn_operator.controller.known import Comparison, Listing, OneKind
from virtfn_operator.controller.listing import SOURCES, check, fill
from virtfn_operator.controller.picture import ObjectKind, Picture
from virtfn_operator.controller.see import Once, see_state
from virtfn_operator.settings import ApiServer as Where

AWAY = 0.3
"""Seconds for which the API server is away; the watches try again every 0.05."""


@pytest.fixture
async def controller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    monkeypatch.setattr(watching, "LASTS", 2)
    async with at_work(monkeypatch) as found:
        yield found


async def change_much(controller: Controller, many: int) -> None:
    """What the copy does not have: a policy, a deletion, and many newer statuses."""
    await controller.put("added-since")
    await controller.until(lambda: "added-since" in controller.asked())
    await controller.api.delete(f"{OURS}/sriovpolicies/deleted-since")
    await controller.until(lambda: "deleted-since" not in controller.asked())
    path = f"{OURS}/sriovnodes/n2"
    for number in range(many):
        await controller.api.put(path, {**controller.api.objects[path], "status": {"kernel": f"6.{number}"}})


@pytest.mark.parametrize("many", [0, 1, 60])
async def test_what_the_copy_has_is_carried_out_and_what_comes_later_is_heard(
    controller: Controller, many: int
) -> None:
    for name in ("stays", "deleted-since"):
        await controller.put(name)
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["deleted-since", "stays"])
    copy = controller.api.copy()
    await change_much(controller, many)
    await controller.api.stop()
    controller.api.restore(copy)
    await asyncio.sleep(AWAY)
    await controller.api.start()

    known = controller.reconciler._picture.objects[ObjectKind.POLICY].known
    await controller.until(lambda: set(known) == {"stays", "deleted-since"})
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["deleted-since", "stays"])
    # No version of this is as high as what was known before the copy.
    await controller.put("later")
    wanted = ["deleted-since", "later", "stays"]
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == wanted)
    await controller.api.delete(f"{OURS}/sriovpolicies/later")
    await controller.until(lambda: controller.asked("n1") == ["deleted-since", "stays"])


async def test_a_node_that_the_copy_has_with_an_older_spec_gets_the_present_one(controller: Controller) -> None:
    copy = controller.api.copy()
    await controller.put("a")
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["a"])
    await controller.api.stop()
    copy.objects[f"{OURS}/sriovpolicies/a"] = controller.api.objects[f"{OURS}/sriovpolicies/a"]
    controller.api.restore(copy)
    await asyncio.sleep(AWAY)
    await controller.api.start()
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["a"])


@pytest.mark.parametrize("kind", [ObjectKind.POLICY, ObjectKind.STATE, ObjectKind.NODE])
async def test_a_check_notices_a_store_that_went_back(
    kind: ObjectKind, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the watches broke for so short a time that all of them went on from what they knew."""
    monkeypatch.setattr(listing, "CATCH_UP", 0.0)
    api, picture = ApiServer(), Picture()
    await api.start()
    path = SOURCES[kind].path
    await api.put(f"{path}/stays", {"metadata": {"name": "stays"}})
    copy = api.copy()
    await api.put(f"{path}/since", {"metadata": {"name": "since"}})
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        await fill(kube, picture, kind)
        await check(kube, picture, kind)
        assert kind not in picture.gaps
        api.restore(copy)
        await check(kube, picture, kind)
        assert kind in picture.gaps
        assert "has missed 2 objects (since, stays)" in caplog.text
        await fill(kube, picture, kind)
    assert set(picture.objects[kind].known) == {"stays"}
    await api.stop()


async def test_the_answer_to_a_write_tells_that_the_store_went_back(controller: Controller) -> None:
    await controller.put("a")
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["a"])
    copy = controller.api.copy()
    path = f"{OURS}/sriovnodes/n1"
    for number in range(20):
        await controller.api.put(path, {**controller.api.objects[path], "status": {"kernel": f"6.{number}"}})
    reconciler, nodes = controller.reconciler, controller.reconciler._picture.objects[ObjectKind.STATE]
    latest = controller.api.objects[path]["metadata"]["resourceVersion"]
    await controller.until(lambda: str(nodes.known["n1"].version) == latest)
    lists = controller.lists()
    controller.api.restore(copy)
    await controller.api.put(f"{OURS}/sriovpolicies/b", {"metadata": {"name": "b"}, "spec": SPEC})
    reconciler.tell(ObjectKind.POLICY, "ADDED", _newer(controller.api.objects[f"{OURS}/sriovpolicies/b"]))
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["a", "b"])
    await controller.until(lambda: controller.lists() >= lists + 2)
    await controller.until(lambda: nodes.newest <= controller.api.version)


def _newer(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": "100000"}}


# --- the picture alone -----------------------------------------------------------------------------------------------


def _state(version: int, name: str = "a") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version), "generation": 1}}


@pytest.mark.parametrize("at", [1, 7, 99])
def test_one_list_that_went_back_has_all_kinds_listed_once_more_and_no_more(at: int) -> None:
    picture = Picture()
    picture.gaps.clear()
    for objects in picture.objects.values():
        objects.newest = 100
    picture.gaps[ObjectKind.NODE] = None
    listed = []
    while picture.gaps:
        kind = next(iter(picture.gaps))
        listed.append(kind)
        picture.listed(kind, Listing(picture.objects[kind]), str(at))
    assert sorted(listed) == sorted(ObjectKind)
    assert picture.outdated == set(ObjectKind), "their watches have to begin anew"
    assert {objects.newest for objects in picture.objects.values()} == {at}


@pytest.mark.parametrize(("at", "missed"), [(4, ("a", "b", "c")), (5, ()), (9, ())])
def test_a_comparison_with_an_older_store_misses_everything(at: int, missed: tuple[str, ...]) -> None:
    shared = Once()
    objects = OneKind(lambda body: see_state(body, shared))
    first = Listing(objects)
    first.page([_state(2, "a"), _state(3, "b")])
    first.end("5")
    comparison = Comparison(objects)
    comparison.page([_state(2, "a"), _state(3, "b")] + ([_state(4, "c")] if at == 4 else []))
    assert comparison.missed(str(at)) == missed
