"""Check what a process under strace, and every process that it starts, opens for writing, makes, moves and runs.

The trace comes through a pipe and is checked line by line: the trace of a million messages would fill a disk.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

CALLS = (
    "open,openat,openat2,creat,truncate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,link,"
    "linkat,symlink,symlinkat,chmod,fchmodat,chown,lchown,fchownat,mount,umount2,bind,execve,execveat,init_module,"
    "finit_module,delete_module,swapon,setxattr,ptrace,kexec_load,reboot"
)

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)")
_PATH = re.compile(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
"""A path, and the folder that it is relative to, if strace names one (`-y`)."""
_READS = re.compile(r"\bO_RDONLY\b")
_WRITES = re.compile(r"\b(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND)\b")


class Trace:
    """Checks each call with `allowed(call, paths)`; keeps the first hundred that are not allowed."""

    def __init__(self, folder: Path, allowed: Callable[[str, Sequence[str]], bool]) -> None:
        self.calls: Counter[str] = Counter()
        """Number of calls of each kind: `openat driver_override`, `execve modprobe`."""
        self.violations: list[str] = []
        self._allowed = allowed
        self._pipe = folder / "trace"
        os.mkfifo(self._pipe)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    @property
    def command(self) -> tuple[str, ...]:
        """Command that the process is started with."""
        options = ("-f", "-y", "-qq", "--seccomp-bpf", "-s", "300")
        return ("strace", *options, "-e", f"trace={CALLS}", "-o", str(self._pipe))

    def end(self) -> None:
        """Read the rest of the trace; call it when the process is gone."""
        self._reading.join(60)

    def _read(self) -> None:
        with self._pipe.open(errors="replace") as lines:
            for line in lines:
                # Nearly all calls only read: libraries, attributes and folders.
                if "O_RDONLY" not in line or "O_CREAT" in line or "O_TRUNC" in line:
                    self._judge(line)

    def _judge(self, line: str) -> None:
        found = _CALL.match(line)
        if found is None:
            return
        call, words = found.groups()
        if call.startswith("open") and _READS.search(words) and not _WRITES.search(words):
            return
        paths = [os.path.join(*map(_plain, found)) for found in _PATH.findall(words)]
        self.calls[f"{call} {_word(paths[0]) if paths else ''}".strip()] += 1
        if not self._allowed(call, paths) and len(self.violations) < 100:
            self.violations.append(line.strip())


def _plain(text: str) -> str:
    return text.encode().decode("unicode_escape")


def _word(path: str) -> str:
    name = os.path.basename(path)
    return re.sub(r"^\.(journal|tries)\.json\..*", r"the temporary file of \1.json", name)
