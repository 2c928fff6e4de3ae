"""The request `keep`: the agent hands over what it verified, and nothing that is not a config gets into the file."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_messages import TEXTS
from inventories import a_pf, an_inventory
from kernel import FakeKernel
from serving import serving

from virtfn_host.core.turn.kept import at_boot
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import decode, encode
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.envelope import loads
from virtfn_host.core.values.kept import EMPTY, KeptCard, KeptConfig, check_kept
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.steps import Plan, plan_of
from virtfn_host.executor import Executor
from virtfn_host.linux.act.kept import read_kept
from virtfn_host.linux.documents import text_of
from virtfn_host.process.client import HostClient, HostRefused
from virtfn_host.process.protocol import REQUEST_LIMIT, fitting, line, value
from virtfn_host.process.serve import Host

POOL = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")
POLICY = PolicyConfig(
    name="fast", uid="u1", generation=1, devices=(DeviceMatcher(vendor="8086"),), count=2, pools=(POOL,)
)
KEPT = KeptConfig(
    config=NodeConfig(policies=(POLICY,)),
    cards=(KeptCard(address=PciAddress(0, 1, 0, 0), vendor="8086", device="10c9"),),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state/config.json"


@pytest.fixture
def served(tmp_path: Path, file: Path) -> Iterator[Path]:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    with serving(tmp_path / "run/host.sock", Host(Executor(kernel.machine()), None, file)):
        yield tmp_path / "run/host.sock"


async def test_what_the_agent_verified_is_in_the_file_when_the_answer_comes(served: Path, file: Path) -> None:
    client = HostClient(served)
    await client.keep(KEPT)
    assert read_kept(file) == KEPT
    await client.keep(EMPTY)
    assert read_kept(file) == EMPTY


async def test_a_file_that_cannot_be_written_is_a_refusal(served: Path, file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(HostRefused, match=r"config\.json cannot be written"):
        await HostClient(served).keep(KEPT)


def changed(**fields: Any) -> dict[str, Any]:
    """The request with other fields in its only policy."""
    body: dict[str, Any] = encode(KEPT)
    body["config"]["policies"][0] |= fields
    return body


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"config": {"policies": []}},
        {"config": {"policies": []}, "cards": [], "path": "/etc/passwd"},
        {"config": {"policies": []}, "cards": [{"address": "../../x", "vendor": "", "device": ""}]},
        changed(count=-1),
        changed(count="2"),
        changed(devices=[{}]),
        changed(name="n" * 600),
        changed(pools=[{"resourceName": "a/b", "indexes": "3-1", "driver": "vfio-pci"}]),
        changed(pools=[{"resourceName": "a/b", "indexes": None, "driver": "../evil"}]),
        changed(pools=[{"resourceName": "a/b", "indexes": None, "driver": "vfio-pci", "command": "id"}]),
    ],
)
def test_what_is_no_config_is_refused_and_nothing_is_written(served: Path, file: Path, body: object) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(served))
        client.sendall(json.dumps({"keep": body}).encode() + b"\n")
        answer = client.makefile().readline()
    assert "refused, nothing was done" in answer
    assert not file.exists()


def test_of_a_config_that_is_too_long_for_a_request_nothing_is_kept() -> None:
    many = tuple(
        replace(POLICY, name=f"p{number}", devices=(DeviceMatcher(vendor="8086"),) * 64) for number in range(300)
    )
    long = replace(KEPT, config=NodeConfig(policies=many))
    assert len(line("keep", long)) > REQUEST_LIMIT
    assert fitting(long) == EMPTY
    assert fitting(KEPT) == KEPT


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all single values of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path
        return
    for key, item in inner:
        yield from leaves(item, (*path, key))


def with_value(body: Any, path: tuple[Any, ...], text: object) -> Any:
    found = json.loads(json.dumps(body))
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = text
    return found


@pytest.mark.parametrize("path", list(leaves(encode(KEPT))), ids=lambda path: ".".join(map(str, path)))
def test_whatever_is_in_one_place_it_is_refused_or_plans_only_what_a_policy_could(path: tuple[Any, ...]) -> None:
    inventory = an_inventory(a_pf(0), a_pf(1))
    for text in (*TEXTS, None, -1, 2**70, True, [], {}, ["x"], {"kind": "SetNumVfs"}):
        try:
            kept = check_kept(value(KeptConfig, with_value(encode(KEPT), path, text)))
            written = text_of(kept)
        except ValueError:
            continue
        assert loads(KeptConfig, written) == kept
        for step in at_boot(kept, inventory, (), InUse(holders=())).plan.steps:
            assert decode(Plan, encode(plan_of((step,))), "Plan").steps == (step,)
