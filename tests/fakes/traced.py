"""What a process under strace, and every process that it starts, opened for writing, made, moved, and ran.

The trace comes through a pipe and is judged line by line: that of a million messages would fill a disk.
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
"""A text, behind the folder that it is relative to where strace names one (`-y`)."""
_READS = re.compile(r"\bO_RDONLY\b")
_WRITES = re.compile(r"\b(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND)\b")


class Trace:
    """Judges each call by `allowed(call, paths)`; those that are not are kept, the first hundred of them."""

    def __init__(self, folder: Path, allowed: Callable[[str, Sequence[str]], bool]) -> None:
        self.calls: Counter[str] = Counter()
        """How often what was done: `openat driver_override`, `execve modprobe`."""
        self.violations: list[str] = []
        self._allowed = allowed
        self._pipe = folder / "trace"
        os.mkfifo(self._pipe)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    @property
    def command(self) -> tuple[str, ...]:
        """What the process is to be started by."""
        options = ("-f", "-y", "-qq", "--seccomp-bpf", "-s", "300")
        return ("strace", *options, "-e", f"trace={CALLS}", "-o", str(self._pipe))

    def end(self) -> None:
        """Once the process is gone: hear the rest."""
        self._reading.join(60)

    def _read(self) -> None:
        with self._pipe.open(errors="replace") as lines:
            for line in lines:
                # Nearly all of them: libraries, attributes and folders that are read.
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
    return re.sub(r"^\.journal\.json\..*", "the journal's temporary file", name)
