"""A program that writes and reads one document of every kind, in whatever version of virtfn its import path leads to.

    PYTHONPATH=host:operator:deviceplugin python -P tests/fakes/speaking.py write FOLDER
    PYTHONPATH=... python -P tests/fakes/speaking.py read FOLDER

`read` prints for each file what that version read, or why it refuses the file. No product module is imported by a fixed
name, because modules have moved between versions.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

BOOT = "0b7e1234-aaaa-bbbb-cccc-001122334455"
FAST, WHOLE = "virtfn.dev/fast", "virtfn.dev/whole"


def the(name: str, *modules: str) -> Any:
    """Return this name from the first of these modules that exists in this version."""
    for module in modules:
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(f"no {name} in any of {modules}")


def of_values(name: str, old: str, new: str = "") -> Any:
    """Return a name of the host library's values; in earlier versions their modules were directly in `core`."""
    return the(name, f"virtfn_host.core.values.{new or old}", f"virtfn_host.core.{old}")


def vf(number: int) -> Any:
    """Return the address of a VF."""
    return of_values("PciAddress", "address")(0, 1, 0x10, number)


def pool_set() -> Any:
    """Return two pools: a healthy device, a withdrawn one, and a whole function."""
    device, pool = of_values("PoolDevice", "offered"), of_values("DevicePool", "offered")
    reason = of_values("Reason", "reasons").RECONFIGURING
    fast = (
        device(address=vf(0), driver="vfio-pci", numa_node=1, healthy=True, reason=None),
        device(address=vf(1), driver="igbvf", numa_node=None, healthy=False, reason=reason),
    )
    whole = (device(address=vf(7), driver="vfio-pci", numa_node=0, healthy=True, reason=None),)
    pools = (pool(resource_name=FAST, devices=fast), pool(resource_name=WHOLE, devices=whole))
    return of_values("PoolSet", "offered")(boot_id=BOOT, pools=pools)


def ledger() -> Any:
    """Return a ledger with two entries."""
    entry = of_values("Allocation", "offered")
    entries = tuple(entry(address=vf(n), resource_name=FAST, at=1234.5 + n) for n in range(2))
    return of_values("Ledger", "offered")(boot_id=BOOT, allocations=entries)


def grants() -> Any:
    """Return grants of a function of each kind of vfio, and of one on a kernel driver."""
    grant, given = of_values("Grant", "offered"), {"resource_name": FAST, "boot_id": BOOT}
    entries = (
        grant(address=vf(0), driver="vfio-pci", nodes=("/dev/vfio/vfio", "/dev/vfio/12"), **given),
        grant(address=vf(1), driver="vfio-pci", nodes=("/dev/iommu", "/dev/vfio/devices/vfio3"), **given),
        grant(address=vf(2), driver="igbvf", nodes=(), **given),
    )
    return of_values("Grants", "offered")(grants=entries)


def registrations() -> Any:
    """Return a resource that is registered, and one that was refused."""
    one = of_values("Registration", "offered")
    fast = one(resource_name=FAST, registered=True, since=1234.5, refusal="")
    whole = one(resource_name=WHOLE, registered=False, since=1235.5, refusal="the ResourceName is invalid")
    return of_values("Registrations", "offered")(boot_id=BOOT, registrations=(fast, whole))


def originals() -> tuple[Any, ...]:
    """Return a PF with link settings and a VF of each kind, and a function that is handed out whole."""
    original, of_vf = of_values("Original", "model"), of_values("OriginalVf", "model")
    link = of_values("VfLink", "model")(vlan=5, trust=True, mac="02:00:00:00:00:01", max_tx_rate=1000)
    own = of_values("OriginalOwn", "model")(driver="nvme", driver_override=None, netdevs=())
    address = of_values("PciAddress", "address")
    pf = {"address": address(0, 1, 0, 0), "vendor": "8086", "device": "10c9", "num_vfs": 2, "autoprobe": True}
    vfs = (
        of_vf(index=0, driver="igbvf", driver_override=None, link=link),
        of_vf(index=1, driver=None, driver_override="vfio-pci"),
    )
    whole = {"address": address(0, 2, 0, 0), "vendor": "144d", "device": "a808", "num_vfs": 0, "autoprobe": False}
    return original(**pf, vfs=vfs), original(**whole, vfs=(), own=own)


def node_config() -> Any:
    """Return a policy with every field about VFs, and one about whole functions."""
    policy, matcher = of_wanted("PolicyConfig"), of_wanted("DeviceMatcher")
    link = of_values("LinkRequest", "model")(vlan=100, vlan_qos=3, trust=True, spoof_check=False, max_tx_rate=1000)
    address = of_values("PciAddress", "address")(0, 1, 0, 0)
    pools = (of_wanted("PoolRequest")(resource_name=FAST, indexes=(0, 1, 2, 6), driver="vfio-pci", link=link),)
    card = matcher(vendor="8086", device="10c9", class_code="0200", driver="igb", numa_node=0)
    other = matcher(address=address)
    whole = of_wanted("WholeRequest")(resource_name=WHOLE, driver="vfio-pci")
    policies = (
        policy(name="fast", uid="u-fast", generation=3, devices=(card, other), count=7, pools=pools),
        policy(name="whole", uid="u-whole", generation=1, devices=(other,), count=None, pools=(), whole=whole),
    )
    return of_wanted("NodeConfig")(policies=policies)


def of_wanted(name: str) -> Any:
    """Return a name of module `desired`, which was called `wanted`."""
    return of_values(name, "wanted", "desired")


def node_status() -> Any:
    """Return the status of a node in the middle of a change: one policy waits, one is carried out."""
    s = import_module("virtfn_operator.api.node_status")
    reason = of_values("Reason", "reasons")
    run = s.VfRun(indexes="0-2,6", driver="vfio-pci", pool=FAST, held_by=("pod default/dpdk-0",))
    function = s.FunctionStatus(
        address="0000:01:00.0",
        vendor="8086",
        device="10c9",
        class_="020000",
        netdev="ens1f0",
        driver="igb",
        numa_node=0,
        iommu_group=12,
        total_vfs=7,
        num_vfs=7,
        pool=None,
        held_by=(),
        policies=("fast",),
        vfs=(run,),
    )
    text = "0000:01:10.0 is held by pod default/dpdk-0"
    waiting = s.BlockedStatus(
        device="0000:01:10.0", reason=reason.VFS_IN_USE, message=text, pods=("pod default/dpdk-0",)
    )
    outcome = {"device": None, "message": text}
    policies = (
        s.PolicyOutcome(
            name="fast", uid="u-fast", generation=3, state=s.State.BLOCKED, reason=reason.VFS_IN_USE, **outcome
        ),
        s.PolicyOutcome(
            name="whole", uid="u-whole", generation=1, state=s.State.READY, reason=reason.CONVERGED, **outcome
        ),
    )
    condition = the("Condition", "virtfn_operator.api.conditions")(
        type="Ready",
        status="False",
        reason=reason.VFS_IN_USE,
        message=text,
        observed_generation=4,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    return s.NodeStatus(
        observed_generation=4,
        boot_id=BOOT,
        agent_version="0.1.0",
        kernel="6.12.0",
        functions=(function,),
        pools=(s.PoolStatus(resource_name=FAST, capacity=4, healthy=3, in_use=1),),
        plan=s.PlanStatus(steps=5, disruptive=True, blocked=(waiting,)),
        policies=policies,
        rejected=(s.RejectedStatus(policy="fast", device=None, reason=reason.INDEX_TAKEN, message="VF 0 is taken"),),
        summary=s.NodeSummary(pfs=1, vfs=7, in_use=1, pools=f"{FAST}=3/4"),
        conditions=(condition,),
    )


# --- files ---------------------------------------------------------------------------------------------------------


def journal(folder: Path) -> Any:
    """Return the journal in this folder."""
    return the("Journal", "virtfn_host.linux.act.journal", "virtfn_host.linux.journal")(folder / "journal.json")


def write(folder: Path) -> None:
    """Write one document of every kind with the writers of this version."""
    files, state = import_module("virtfn_host.linux.poolfile"), import_module("virtfn_operator.api.node_state")
    files.write(folder / "pools.json", pool_set())
    files.write_ledger(folder / "ledger.json", ledger())
    if hasattr(files, "write_grants"):  # earlier versions had neither
        files.write_grants(folder / "grants.json", grants())
        files.write_registrations(folder / "registrations.json", registrations())
    journal(folder)._write(list(originals()))
    wire = the("wire", "virtfn_operator.api.node_status")
    for name, value in (("spec", state.write_spec(node_config(), True)), ("status", wire(node_status()))):
        (folder / f"node-{name}.json").write_text(json.dumps(value, indent=1) + "\n")


def read(path: Path) -> object:
    """Return what this version reads from a document."""
    encode = of_values("encode", "codec")
    files, state = import_module("virtfn_host.linux.poolfile"), import_module("virtfn_operator.api.node_state")
    match path.name.partition(".")[0]:
        case "pools":
            return encode(files.read(path))
        case "ledger":
            return encode(files.read_ledger(path))
        case "grants":
            return encode(files.read_grants(path))
        case "registrations":
            return encode(files.read_registrations(path))
        case "journal":
            kept = journal(path.parent)
            kept.path = path
            return {"originals": encode(kept.originals())}
        case "node-spec":
            spec = state.read_spec(json.loads(path.read_text()))
            if spec.rejected:
                raise ValueError(spec.rejected[0].message)
            return state.write_spec(spec.config, spec.may_change)
        case "node-status":
            body = {"metadata": {"name": "n1", "generation": 4}, "status": json.loads(path.read_text())}
            return told(state.read_node(body))
    raise ValueError(f"{path.name} is no document that this program knows")


def told(state: Any) -> object:
    """Return what a controller reads from a status."""
    if getattr(state, "unknown", False):
        raise ValueError(state.unreadable)
    return {
        "observedGeneration": state.observed_generation,
        "plan": {"disruptive": state.disruptive},
        "policies": [
            {"name": o.name, "uid": o.uid, "generation": o.generation, "state": o.state, "reason": o.reason}
            for o in state.policies
        ],
        "rejected": [{"policy": r.policy, "reason": r.reason, "message": r.message} for r in state.rejected],
        "conditions": [{"type": c.type, "status": c.status, "reason": c.reason} for c in state.conditions],
    }


def main() -> None:
    """Entry point; see the module's docstring."""
    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "write":
        write(folder)
        return
    answers: dict[str, object] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            answers[path.name] = {"read": read(path)}
        except Exception as error:  # any exception is the answer
            answers[path.name] = {"refused": f"{type(error).__name__}: {error}"}
    json.dump({"virtfn": import_module("virtfn_host").__file__, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
