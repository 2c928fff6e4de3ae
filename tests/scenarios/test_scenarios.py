"""Every folder here is a test case: a machine, its policies, the uses, and the plan that must result.

A bug report becomes a folder: `inventory.json` is the output of `virtfn inventory --json`, `node.yaml` the policies in
order of precedence, `in_use.json` the holders (absent: none), `originals.json` the journal's entries (absent: none),
`plan.txt` the plan, `list.txt` (absent: not checked) the table of `virtfn list --all` without the kernel's modules.
VIRTFN_UPDATE=1 writes `plan.txt` and `list.txt` anew; read the diff.

The inventories were printed on real kernels: on emulated machines of the lab (`python -m virtfn_lab.guest --topology
NAME`) and on a virtual machine in a data centre. They are unchanged, except for what a README names. There was no
physical card. Policies, uses and journals are written by hand.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_host.cli.show import function_table
from virtfn_host.core.tell.listing import Lookup, listing
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.codec import decode
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.model import InUse, Inventory, Original
from virtfn_host.core.values.steps import describe

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/plan.txt"))
LISTED = [folder for folder in FOLDERS if (folder / "list.txt").exists()]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_plan_is_the_one_that_was_agreed(folder: Path) -> None:
    found = planned(folder)
    if os.environ.get("VIRTFN_UPDATE"):
        (folder / "plan.txt").write_text(found)
    assert found == (folder / "plan.txt").read_text()


@pytest.mark.parametrize("folder", LISTED, ids=lambda folder: folder.name)
def test_the_list_is_the_one_that_was_agreed(folder: Path) -> None:
    found = listed(folder)
    if os.environ.get("VIRTFN_UPDATE"):
        (folder / "list.txt").write_text(found)
    assert found == (folder / "list.txt").read_text()


def listed(folder: Path) -> str:
    inventory = decode(Inventory, _json(folder / "inventory.json"), "inventory")
    holders = _json(folder / "in_use.json") if (folder / "in_use.json").exists() else []
    lookup = Lookup(modalias=lambda _: "", aliases="", touched=frozenset())
    return function_table(listing(inventory, decode(InUse, {"holders": holders}, "inUse"), lookup)) + "\n"


def planned(folder: Path) -> str:
    inventory = decode(Inventory, _json(folder / "inventory.json"), "inventory")
    holders = _json(folder / "in_use.json") if (folder / "in_use.json").exists() else []
    in_use = decode(InUse, {"holders": holders}, "inUse")
    entries = _json(folder / "originals.json") if (folder / "originals.json").exists() else []
    originals = tuple(decode(Original, entry, "originals") for entry in entries)
    resolution = resolve(NodeConfig(policies=tuple(_policies(folder / "node.yaml"))), inventory, originals)
    made = plan(inventory, resolution.desired, in_use)
    lines = [describe(step) for step in made.steps]
    lines += [f"blocked {b.reason}: {b.message}" for b in made.blocked]
    lines += [f"rejected {r.reason}: {r.message}" for r in resolution.rejected]
    return "\n".join(lines or ["nothing to do"]) + "\n"


def _policies(path: Path) -> list[PolicyConfig]:
    found = []
    for document in yaml.safe_load_all(path.read_text()):
        if document is None:
            continue
        name = document["metadata"]["name"]
        config = policy_config(name=name, uid=name, generation=1, spec=document["spec"])
        assert isinstance(config, PolicyConfig), config
        found.append(config)
    return found


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
