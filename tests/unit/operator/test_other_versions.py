"""A ledger of another version counts as far as it is known; one that cannot be read makes everything in use."""

from dataclasses import replace
from pathlib import Path

import pytest
from documents import sealed
from inventories import a_pf, an_inventory

from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.envelope import dumps
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.offered import Allocation, Ledger, PoolSet
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.in_use import in_use
from virtfn_operator.agent.ports import LedgerUnreadableError

PF = a_pf(0, vfs=2)
VF = PF.vfs[1].address
INVENTORY = replace(an_inventory(PF), boot_id="b1")
LEDGER = Ledger(boot_id="b1", allocations=(Allocation(address=VF, resource_name="virtfn.dev/fast", at=1000.0),))


@pytest.fixture
def files(tmp_path: Path) -> PoolFiles:
    return PoolFiles(tmp_path / "pools.json", tmp_path / "ledger.json")


def write(folder: Path, text: str) -> None:
    (folder / "ledger.json").write_text(text)


async def held(files: PoolFiles) -> set[str]:
    found = in_use(inventory=INVENTORY, evidence=InUse(holders=()), pods={}, ledger=await files.ledger(), now=1001.0)
    return {str(holder.address) for holder in found.holders}


async def test_an_entry_with_a_field_more_counts(files: PoolFiles, tmp_path: Path) -> None:
    told = encode(LEDGER)
    told["allocations"][0] |= {"claim": {"uid": "x"}, "shares": 2}
    write(tmp_path, sealed(LEDGER, told, writer="9.9"))
    assert await held(files) == {str(VF)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        (dumps(LEDGER)[:70], "it is cut off"),
        (sealed(LEDGER, {"bootId": "b1"}, version=3), "missing field allocations; it has version 3"),
        (
            sealed(LEDGER, needs=["allocations.until"]),
            "needs 'allocations.until', which only a newer version of virtfn knows",
        ),
    ],
)
async def test_one_that_cannot_be_read_says_so_until_it_is_good_again(
    files: PoolFiles, tmp_path: Path, text: str, said: str
) -> None:
    write(tmp_path, text)
    with pytest.raises(LedgerUnreadableError, match=f"{said}.*; the device plugin replaces it"):
        await files.ledger()
    write(tmp_path, dumps(LEDGER))
    assert await held(files) == {str(VF)}


async def test_a_pool_file_of_a_newer_agent_is_written_anew_where_it_cannot_be_understood(
    files: PoolFiles, tmp_path: Path
) -> None:
    pools = PoolSet(boot_id="b1", pools=())
    (tmp_path / "pools.json").write_text(sealed(pools, {**encode(pools), "more": 1}))
    assert await files.published() == pools
    (tmp_path / "pools.json").write_text(sealed(pools, needs=["pools.gate"]))
    assert await files.published() is None
    await files.publish(pools)
    assert await files.published() == pools
