"""What virtfn takes of a node: a table of its processes, with memory (PSS) and processor."""

import json
from collections.abc import Iterator

from virtfn_lab.cluster import Cluster, LabError

LARGEST = 480.0
"""Seconds to measure for; a command on a node has ten minutes."""


def footprint(cluster: Cluster, node: int, seconds: float) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        seconds: for how long the processor is watched.

    Raises:
        LabError: the node did not answer.
    """
    done = cluster.node_exec(node, f"python3 -I /src/lab/guest/footprint.py {min(seconds, LARGEST)}")
    if done.returncode != 0:
        raise LabError(f"node-{node}: {done.stdout}{done.stderr}")
    rows = json.loads(done.stdout)
    yield f"{'PROCESS':20} {'MEMORY':>9} {'PROCESSOR':>16}"
    for row in rows:
        yield f"{row['name']:20} {row['memory'] / 1000:6.1f} MB {row['share'] * 1000:11.1f} m"
    own = [row for row in rows if row["name"] != "controller"]
    memory, share = sum(row["memory"] for row in own), sum(row["share"] for row in own)
    yield f"{'all of the node':20} {memory / 1000:6.1f} MB {share * 1000:11.1f} m"
