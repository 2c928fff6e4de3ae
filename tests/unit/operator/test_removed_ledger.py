"""A ledger that this agent has seen, and that is gone: everything counts as in use until one is there again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.holders import Cause
from virtfn_host.core.values.offered import Allocation, Ledger
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.ports import LedgerUnreadableError, Patience

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

LATE = 1000.0
"""When the agent looks; the kubelet is asked then."""

FILES: dict[str, Callable[[str], Ledger | None]] = {
    "-": lambda boot_id: None,
    "whole": lambda boot_id: Ledger(boot_id=boot_id, allocations=()),
    "other boot": lambda _: Ledger(boot_id="b0", allocations=()),
    "lost": lambda boot_id: Ledger(boot_id=boot_id, allocations=(), lost_at=LATE),
    "lost before": lambda boot_id: Ledger(boot_id=boot_id, allocations=(), lost_at=LATE - 1),
}
UNREADABLE = "unreadable"


@pytest.fixture
def node(fake_node: type[FakeNode]) -> FakeNode:
    return fake_node("vfio-pci", "vfio-pci")


def machine_of(node: FakeNode) -> NodeMachine:
    return NodeMachine(host=node, kubelet=node, files=node, patience=Patience(), now=lambda: node.now)


async def free(node: FakeNode, machine: NodeMachine) -> bool:
    """Look, and return whether the functions are free; either none is in use, or all are and it is said why."""
    found = await machine.look(None)
    if found.silence is None:
        assert found.in_use.holders == ()
        return True
    assert found.silence[0] is Reason.POOL_FILE_UNREADABLE
    assert {h.address for h in found.in_use.holders} >= set(node.vfs)
    assert {h.cause for h in found.in_use.holders} == {Cause.LEDGER_UNREADABLE}
    return False


async def looks(node: FakeNode, monkeypatch: pytest.MonkeyPatch, history: tuple[str, ...]) -> list[bool]:
    machine, seen = machine_of(node), []
    for name in history:

        async def ledger(name: str = name) -> Ledger | None:
            if name == UNREADABLE:
                raise LedgerUnreadableError("half a ledger")
            return FILES[name](node.boot_id)

        monkeypatch.setattr(node, "ledger", ledger)
        seen.append(await free(node, machine))
    return seen


@pytest.mark.parametrize(
    ("history", "free"),
    [
        (("whole", "-", "-"), [True, False, False]),
        (("whole", "other boot"), [True, False]),
        (("whole", "-", "other boot", "-"), [True, False, False, False]),
        (("lost before", "-"), [True, False]),
        (("lost", "-"), [False, False]),
        (("whole", UNREADABLE, "-"), [True, False, False]),
        (("other boot", "whole", "-"), [True, True, False]),
    ],
)
async def test_one_that_was_seen_and_is_gone_makes_everything_in_use(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, history: tuple[str, ...], free: list[bool]
) -> None:
    assert await looks(node, monkeypatch, history) == free


@pytest.mark.parametrize(
    ("history", "free"),
    [
        (("whole", "-", "lost", "lost before"), [True, False, False, True]),
        (("whole", "-", "whole"), [True, False, True]),
        (("whole", UNREADABLE, "-", "lost before"), [True, False, False, True]),
    ],
)
async def test_that_ends_with_a_ledger_whose_loss_the_kubelets_list_covers(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, history: tuple[str, ...], free: list[bool]
) -> None:
    assert await looks(node, monkeypatch, history) == free


async def test_a_folder_that_cannot_be_read_for_a_while_had_no_ledger(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await looks(node, monkeypatch, ("-", UNREADABLE, "-", "-")) == [True, False, True, True]


@pytest.mark.parametrize(
    "history",
    [
        ("-", "-", "-"),
        ("-", "-", "lost before", "lost before", "whole"),
        ("-", "whole", "whole"),
        ("other boot", "-"),
        ("other boot", "other boot", "lost before"),
        ("whole", "whole", "whole"),
    ],
    ids=["no plugin", "first start", "an older plugin's first allocation", "cleaned up", "reboot", "plugin replaced"],
)
async def test_what_is_calm_makes_nothing_in_use(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, history: tuple[str, ...]
) -> None:
    assert all(await looks(node, monkeypatch, history))


async def test_the_message_says_what_to_look_at(node: FakeNode) -> None:
    machine = machine_of(node)
    node.handed_out = FILES["whole"](node.boot_id)
    await machine.look(None)
    node.handed_out = None
    text = (await machine.look(None)).ledger_error or ""
    assert "another program removed it" in text
    assert "check the plugin if this stays" in text


@pytest.mark.parametrize("how", ["at once", "after a look", "twice"])
async def test_a_function_that_is_just_handed_out_is_never_free(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    """With the plugin's own file: the kubelet does not list the pod yet."""
    path = tmp_path / "ledger.json"
    monkeypatch.setattr(node, "ledger", PoolFiles(tmp_path / "pools.json", path).ledger)
    plugin, machine = LedgerFile(path, lambda: node.now), machine_of(node)
    plugin.load(node.boot_id)
    node.now += 1
    assert (await machine.look(None)).in_use.holders == ()
    plugin.note(node.boot_id, "virtfn.dev/fast", node.vfs[:1])
    for _ in range(2 if how == "twice" else 1):
        if how != "at once":
            assert (await machine.look(None)).in_use.of(node.vfs[0])
        path.unlink()
        assert (await machine.look(None)).in_use.of(node.vfs[0])
        node.now += 1
        plugin.look_after(node.boot_id)
        assert (await machine.look(None)).in_use.of(node.vfs[0])
        node.now += 1
    found = await machine.look(None)
    assert {holder.address for holder in found.in_use.holders} == {node.vfs[0]}
    (entry,) = (await node.ledger() or Ledger(boot_id="", allocations=())).allocations
    assert entry == Allocation(address=node.vfs[0], resource_name="virtfn.dev/fast", at=LATE + 1)
