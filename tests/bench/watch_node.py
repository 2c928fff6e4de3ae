"""Print when a resource's 14 VFs were bound, published and known to the kubelet; runs on a node of the lab.

The output is JSON, by the node's clock. The kubelet writes its checkpoint when a plugin has told it of devices.
"""

import json
import sys
import time
from pathlib import Path

POOLS = Path("/run/virtfn/pools.json")
CHECKPOINT = Path("/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint")
BOUND = Path("/sys/bus/pci/drivers/vfio-pci")
DEADLINE = 100.0


def kubelet_told() -> bool:
    """Whether the kubelet knows the resource with all its devices."""
    registered = json.loads(CHECKPOINT.read_text())["Data"]["RegisteredDevices"] if CHECKPOINT.exists() else {}
    return len((registered or {}).get(sys.argv[1], [])) == 14


STAGES = {
    "VFs bound": lambda: BOUND.exists() and sum(path.name.startswith("0000:") for path in BOUND.iterdir()) == 14,
    "pool file": lambda: POOLS.exists() and POOLS.read_text().count('"healthy":true') == 14,
    "kubelet told": kubelet_told,
}

Path("/run/watch-node.runs").touch()
seen: dict[str, float] = {}
until = time.time() + DEADLINE
while len(seen) < len(STAGES) and time.time() < until:
    for stage, true in STAGES.items():
        if stage not in seen and true():
            seen[stage] = time.time()
    time.sleep(0.02)
print(json.dumps(seen))
