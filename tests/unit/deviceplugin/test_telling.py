"""What the device plugin tells the agent of itself: kept fresh, whole, and free of what changes by itself."""

from pathlib import Path

import pytest
from plugin_node import FAST, SLOW, Node

from virtfn_deviceplugin.names import RefusedPool
from virtfn_deviceplugin.telling import BEAT, Telling
from virtfn_host.core.values.offered import Registration, Registrations
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile
from virtfn_operator.agent.not_offered import SILENT

ONE = Registration(resource_name=FAST, registered=True, since=5.0, refusal="", healthy=3)


def refused(name: str, message: str) -> RefusedPool:
    return RefusedPool(resource_name=name, reason=Reason.NAME_TAKEN, message=message)


class Told:
    """A plugin's word with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.path = folder / "registrations.json"
        self.telling = Telling(self.path, "b1", lambda: self.now)

    def read(self) -> Registrations:
        found = poolfile.read_registrations(self.path)
        assert found is not None
        return found


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_the_same_is_written_again_as_long_as_the_plugin_runs(told: Told) -> None:
    for _ in range(20):
        told.telling.tell([ONE])
        at = told.read().at
        assert at is not None
        assert told.now - BEAT < at <= told.now
        told.now += 1


def test_the_agent_takes_it_for_left_behind_only_after_several_writes_are_missing() -> None:
    assert SILENT >= 3 * BEAT


def test_a_file_that_another_program_removed_or_spoiled_is_written_again(told: Told) -> None:
    told.telling.tell([ONE])
    for spoil in (told.path.unlink, lambda: told.path.write_text("half a regis"), lambda: told.path.write_text("")):
        spoil()
        told.now += BEAT
        told.telling.tell([ONE])
        assert told.read().registrations == (ONE,)


def test_a_pool_that_is_not_served_is_told_with_the_reason_and_since_when(told: Told) -> None:
    why = f"{SLOW} is not served: it has the same name as {FAST} in a container's environment; rename one of the two"
    told.telling.tell([ONE], [refused(SLOW, why)])
    told.now += 60
    told.telling.tell([ONE], [refused(SLOW, why)])
    assert told.read().registrations == (
        ONE,
        Registration(resource_name=SLOW, registered=False, since=100.0, refusal=why),
    )
    told.telling.tell([ONE])
    told.telling.tell([ONE], [refused(SLOW, why)])
    assert told.read().registrations[1].since == 160.0


def test_a_pool_that_is_named_twice_is_told_as_it_is_served(told: Told) -> None:
    told.telling.tell([ONE], [refused(FAST, "the pool file has this name twice")])
    assert told.read().registrations == (ONE,)


@pytest.mark.parametrize("text", ["x" * 5000, "a\nb", "\x1b[31m", "\ud800"])
def test_any_text_is_told_as_one_short_line(told: Told, text: str) -> None:
    told.telling.tell([ONE], [refused(SLOW, text)], text)
    assert len(told.read().complaint or "") <= 300
    assert told.read().registrations[1].resource_name == SLOW


def read(node: Node) -> Registrations:
    found = poolfile.read_registrations(node.ledger.with_name("registrations.json"))
    return found or Registrations(boot_id="none", registrations=())


async def test_how_many_functions_the_kubelet_was_told_to_be_healthy_is_told(node: Node) -> None:
    node.publish(node.pool())
    await node.kubelet.until(lambda: [one.healthy for one in read(node).registrations] == [3])
    vf = node.vfs()[0]
    node.kernel.write(node.kernel.devices / str(vf) / "driver/unbind", str(vf))
    await node.kubelet.until(lambda: [one.healthy for one in read(node).registrations] == [2])


async def test_a_pool_file_that_cannot_be_used_is_told(node: Node) -> None:
    node.publish(node.pool())
    await node.kubelet.until(lambda: [one.registered for one in read(node).registrations] == [True])
    for spoil, word in (
        (lambda: node.publish(node.pool(), boot_id="other"), "is of another boot"),
        (lambda: node.pools.write_text("half a po"), "cannot be read"),
        (node.pools.unlink, "no pool file"),
    ):
        spoil()
        await node.kubelet.until(lambda word=word: word in (read(node).complaint or ""))  # type: ignore[misc]
        node.publish(node.pool())
        await node.kubelet.until(lambda: read(node).complaint is None)


async def test_a_pool_of_the_file_that_is_not_served_is_told(node: Node) -> None:
    """Of two new pools that clash, the first by name is served."""
    node.publish(node.pool("virtfn.dev/FAST"), node.pool(FAST, 1))

    def refusals() -> list[str]:
        return [one.resource_name for one in read(node).registrations if "is not served" in one.refusal]

    await node.kubelet.until(lambda: refusals() == [FAST])
    assert all(not one.registered for one in read(node).registrations if one.resource_name == FAST)
