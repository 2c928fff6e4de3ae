"""A program that writes and reads one document of every kind, in whatever version of virtfn its import path leads to.

    PYTHONPATH=host:operator:deviceplugin python -P tests/fakes/speaking.py write FOLDER
    PYTHONPATH=... python -P tests/fakes/speaking.py read FOLDER

`read` prints for each file what that version read, or why it refuses the file. No product module is imported by a fixed
name, because modules have moved between versions.
"""

import json
import sys
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

BOOT = "0b7e1234-aaaa-bbbb-cccc-001122334455"
FAST, WHOLE = "virtfn.dev/fast", "virtfn.dev/whole"
WHY = "has no device node; is /dev of the host whole?"


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


def known(kind: Any, **fields: Any) -> dict[str, Any]:
    """Return those of the fields that this version has."""
    return {name: value for name, value in fields.items() if name in kind.__dataclass_fields__}


def vf(number: int) -> Any:
    """Return the address of a VF."""
    return of_values("PciAddress", "address")(0, 1, 0x10, number)


def pool_set() -> Any:
    """Return two pools: a healthy device, a withdrawn one, and a whole function."""
    device, pool = of_values("PoolDevice", "offered"), of_values("DevicePool", "offered")
    reason = of_values("Reason", "reasons").RECONFIGURING
    why, unsafe = known(device, message=WHY), known(device, no_iommu=True)
    link = of_values("VfLink", "model")(vlan=5, mac="02:00:00:00:00:01")
    terms = known(device, require_link=True, link=link, mtu=9000)
    fast = (
        device(address=vf(0), driver="vfio-pci", numa_node=1, healthy=True, reason=None, **terms),
        device(address=vf(1), driver="igbvf", numa_node=None, healthy=False, reason=reason, **why),
    )
    whole = (device(address=vf(7), driver="vfio-pci", numa_node=0, healthy=True, reason=None, **unsafe),)
    pools = (pool(resource_name=FAST, devices=fast), pool(resource_name=WHOLE, devices=whole))
    return of_values("PoolSet", "offered")(boot_id=BOOT, pools=pools)


def ledger() -> Any:
    """Return a ledger with two entries."""
    entry = of_values("Allocation", "offered")
    entries = tuple(entry(address=vf(n), resource_name=FAST, at=1234.5 + n) for n in range(2))
    return of_values("Ledger", "offered")(boot_id=BOOT, allocations=entries)


def grown_ledger(path: Path) -> None:
    """Write that ledger without its second entry, and append this and a third entry as records."""
    file = import_module("virtfn_host.linux.appended").GrowingFile(path, 0o644)
    line_of = import_module("virtfn_host.core.values.appended").line_of
    first, second = ledger().allocations
    file.replace(line_of(replace(ledger(), allocations=(first,))))
    noted = of_values("Noted", "offered")
    file.append(lambda line: noted(follows=line, allocations=(second,)))
    file.append(lambda line: noted(follows=line, allocations=(replace(second, address=vf(2), at=1240.5),)))


def grants() -> Any:
    """Return grants of a function of each kind of vfio, and of one on a kernel driver."""
    grant, given = of_values("Grant", "offered"), {"resource_name": FAST, "boot_id": BOOT}
    entries = (
        grant(address=vf(0), driver="vfio-pci", nodes=("/dev/vfio/vfio", "/dev/vfio/12"), **given),
        grant(address=vf(1), driver="vfio-pci", nodes=("/dev/iommu", "/dev/vfio/devices/vfio3"), **given),
        grant(address=vf(2), driver="igbvf", nodes=(), **given),
    )
    return of_values("Grants", "offered")(grants=entries)


def grown_grants(path: Path) -> None:
    """Write the first of those grants, and append the others; one more is taken back."""
    file = import_module("virtfn_host.linux.appended").GrowingFile(path, 0o644)
    first, second, third = grants().grants
    more = of_values("MoreGrants", "offered")
    file.replace(import_module("virtfn_host.core.values.appended").line_of(replace(grants(), grants=(first,))))
    file.append(lambda line: more(follows=line, grants=(second, third)))
    file.append(lambda line: more(follows=line, grants=(), gone=(vf(1),)))


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


def tries() -> Any:
    """Return what was tried on a PF whose driver made too many VFs, and on one of which a VF went elsewhere."""
    other, repeat, tried = (of_values(name, "tries") for name in ("Other", "Repeat", "Tried"))
    kind, address = of_values("Destruction", "tries"), of_values("PciAddress", "address")
    number = other(text="0000:01:00.0: asked for 8, the driver made 16", times=2, at=1234.5, num_vfs=16)
    binding = other(text="VF 3 of 0000:02:00.0: asked for vfio-pci, it is igbvf", times=1, at=1235.5)
    standing = "8086:10c9 igb 4242 up"
    resized = (repeat(kind=kind.RESIZE, index=None, times=1),)
    unbound = (repeat(kind=kind.UNBIND, index=3, times=3),)
    entries = (
        tried(pf=address(0, 1, 0, 0), wish="0123abcd", standing=standing, repeats=resized, number=number),
        tried(pf=address(0, 2, 0, 0), wish="give-back", standing=standing, repeats=unbound, binding=binding),
    )
    return of_values("Tries", "tries")(boot_id=BOOT, tried=entries)


def identity() -> Any:
    """Return what a card is known by, every field of it."""
    serial, mac = "52-54-00-ff-ff-00-00-01", "52:54:00:00:00:01"
    return of_values("Identity", "identity")(subsystem="8086:a03c", serial=serial, mac=mac, slot="3-1")


def claims() -> tuple[Any, ...]:
    """Return a claim on a PF, and one on a function without netdev, driver and NUMA node."""
    claim, seen, address = (
        of_values("Claim", "identity"),
        of_values("Seen", "identity"),
        of_values("PciAddress", "address"),
    )
    ids = {"vendor": "8086", "device": "10c9", "class_code": "020000"}
    known = {"driver": "igb", "netdevs": ("ens1f0", "enp1s0f0"), "numa_node": 0, "identity": identity()}
    bare = {"driver": None, "netdevs": (), "numa_node": None}
    return (
        claim(policy="fast", uid="u-fast", generation=3, seen=seen(address=address(0, 1, 0, 0), **ids, **known)),
        claim(policy="whole", uid="u-whole", generation=1, seen=seen(address=address(0, 2, 0, 0), **ids, **bare)),
    )


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


def kept_config() -> Any:
    """Return the config above, verified on one PF."""
    card = of_values("KeptCard", "kept")(
        address=of_values("PciAddress", "address")(0, 1, 0, 0), vendor="8086", device="10c9"
    )
    return of_values("KeptConfig", "kept")(config=node_config(), cards=(card,))


# --- files ---------------------------------------------------------------------------------------------------------


def journal(folder: Path) -> Any:
    """Return the journal in this folder."""
    return the("Journal", "virtfn_host.linux.act.journal", "virtfn_host.linux.journal")(folder / "journal.json")


def tries_file(path: Path) -> Any:
    """Return the file of tries; earlier versions had none."""
    return the("TriesFile", "virtfn_host.linux.act.tries")(path, BOOT)


def write(folder: Path) -> None:
    """Write one document of every kind with the writers of this version."""
    files, state = import_module("virtfn_host.linux.poolfile"), import_module("virtfn_operator.api.node_state")
    files.write(folder / "pools.json", pool_set())
    files.write_ledger(folder / "ledger.json", ledger())
    if hasattr(files, "write_grants"):  # earlier versions had neither
        files.write_grants(folder / "grants.json", grants())
        files.write_registrations(folder / "registrations.json", registrations())
    with suppress(ModuleNotFoundError):  # an earlier version wrote the ledger whole each time
        grown_ledger(folder / "ledger.with-records.json")
        grown_grants(folder / "grants.with-records.json")
    journal(folder)._write(list(originals()))
    with suppress(ModuleNotFoundError):  # an earlier version kept no config
        import_module("virtfn_host.linux.act.kept").keep(folder / "config.json", kept_config())
    with suppress(ModuleNotFoundError):
        for tried in tries().tried:
            tries_file(folder / "tries.json").replace(tried.pf, tried)
    if hasattr(journal(folder), "claims"):  # earlier versions noted none, and not the boot
        later = journal(folder)
        later.path = folder / "journal.with-claims.json"
        later._write([replace(one, boot_id=BOOT, identity=identity()) for one in originals()], claims())
        if "number_untouched" in of_values("Original", "model").__dataclass_fields__:
            later.path = folder / "journal.number-untouched.json"
            first, second = originals()
            first = replace(first, boot_id=BOOT, number_untouched=True)
            later._write([first, replace(second, boot_id=BOOT)])
            if "link_before" in of_values("OriginalVf", "model").__dataclass_fields__:
                later.path = folder / "journal.link-before.json"
                before = replace(first.vfs[0], link_before=first.vfs[0].link)
                later._write([replace(first, vfs=(before, *first.vfs[1:]))])
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
        case "config":
            return encode(import_module("virtfn_host.linux.act.kept").read_kept(path))
        case "journal":
            kept = journal(path.parent)
            kept.path = path
            claimed = encode(kept.claims()) if hasattr(kept, "claims") else ()
            return {"originals": encode(kept.originals()), **({"claims": claimed} if claimed else {})}
        case "tries":
            return {"bootId": BOOT, "tried": encode(tries_file(path).tried())}
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
