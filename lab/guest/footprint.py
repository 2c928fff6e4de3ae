"""Print what each process of virtfn on this node takes, as JSON: its share of memory, and of one processor meanwhile.

`python3 footprint.py SECONDS`. Shares of memory are PSS in kB: pages that several processes map are divided among them.
"""

import json
import os
import sys
import time
from pathlib import Path

NAMES = {
    "virtfn-operator agent": "agent",
    "virtfn-operator controller": "controller",
    "bin/virtfn-host": "host",
    "bin/virtfn-device-plugin": "deviceplugin",
    "netlink/child.py": "host: netlink",
    "/dev/null": "host: reads sysfs",
    "/sys": "host: writes sysfs",
}
"""Processes by a part of their command; the first that is found counts."""


def processes() -> dict[int, str]:
    """Return those of virtfn that run now, with their names."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if command.startswith("/opt/virtfn/"):
            found[int(folder.name)] = next((name for part, name in NAMES.items() if part in command), command[:60])
    return found


def memory(pid: int) -> int:
    """Return the PSS of a process in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def seconds(pid: int) -> float:
    """Return the processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure twice; a process that begins or ends meanwhile is left out."""
    before = {pid: seconds(pid) for pid in processes()}
    began = time.monotonic()
    time.sleep(float(sys.argv[1]))
    took = time.monotonic() - began
    rows = [
        {"name": name, "memory": memory(pid), "share": (seconds(pid) - before[pid]) / took}
        for pid, name in sorted(processes().items())
        if pid in before
    ]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
