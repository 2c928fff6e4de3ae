"""Boot a machine, run one command in it as root, power off: `python -m virtfn_lab.guest -- lspci`.

The guest sees the checkout read-only at /src, its working directory. Files that the command writes to /out are kept.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from virtfn_lab.kernels import KERNELS
from virtfn_lab.node_image import node_image
from virtfn_lab.paths import repository, run_dir
from virtfn_lab.prereqs import ensure
from virtfn_lab.progress import say
from virtfn_lab.qemu import BROKEN_EMULATION, TOPOLOGIES, Guest, Hardware, has_kvm, start


class GuestFailedError(Exception):
    """The guest did not finish its command; the message shows the end of its console."""


def run_in_guest(
    shell_command: str,
    *,
    hardware: Hardware | None = None,
    kernel: str = "6.1",
    out: Path,
    timeout: float = 900,
    log: Path | None = None,
) -> int:
    """Run the command in a guest; return its exit status. If the emulator broke the guest, say so and run it once more.

    Args:
        log: file for the command's output; None for our own output.

    Raises:
        GuestFailedError: the command did not end within `timeout` seconds, or the guest died before.
    """
    ensure()
    hardware = hardware or Hardware()
    try:
        return _once(shell_command, hardware, kernel, out, timeout, log)
    except GuestFailedError as error:
        if not any(words in str(error) for words in BROKEN_EMULATION):
            raise
        say(f"the emulator broke, not the guest; once more: {error}")
        return _once(shell_command, hardware, kernel, out, timeout, log)


def _once(shell_command: str, hardware: Hardware, kernel: str, out: Path, timeout: float, log: Path | None) -> int:
    out.mkdir(parents=True, exist_ok=True)
    (out / "command").write_text(shell_command)
    status = out / "status"
    status.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="guest-", dir=run_dir()))
    guest = Guest(
        hardware=hardware,
        image=node_image(kernel),
        shares={"src": (repository(), False), "out": (out.resolve(), True)},
        settings={"role": "test"},
        console=folder / "console",
        monitor=folder / "qmp",
        more=[
            # Not the stdio chardev: it hangs up when its input ends, and then the guest's writes block.
            *["-device", "virtio-serial-pci", "-chardev", "file,id=output,path=/dev/fd/1"],
            *["-device", "virtserialport,chardev=output,name=output"],
        ],
    )
    say(f"booting {hardware.topology} on Linux {kernel} ({'KVM' if has_kvm(guest.image.vmlinuz) else 'emulated CPU'})")
    began = time.monotonic()
    try:
        process = start(guest, subprocess.PIPE)
        printer = threading.Thread(target=_print, args=(process.stdout, log))
        printer.start()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise GuestFailedError(f"no end after {timeout:.0f} s:\n{_tail(guest.console)}") from None
        finally:
            process.kill()
            process.wait()
            printer.join()
        if not status.exists():
            raise GuestFailedError(f"the guest ended without a status:\n{_tail(guest.console)}")
        say(f"the guest ran for {time.monotonic() - began:.1f} s")
        return int(status.read_text())
    finally:
        shutil.rmtree(folder)


def _print(output: IO[bytes], log: Path | None) -> None:
    with output, log.open("w") if log else nullcontext(sys.stdout) as ours:
        for line in output:
            ours.write(line.decode(errors="replace").replace("\r\n", "\n"))
            ours.flush()


def _tail(console: Path) -> str:
    text = console.read_text(errors="replace") if console.exists() else ""
    broken = [line for line in text.splitlines() if any(words in line for words in BROKEN_EMULATION)]
    return "\n".join([*broken[:1], *text.splitlines()[-30:]])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--topology", choices=sorted(TOPOLOGIES), default="igb2")
    parser.add_argument("--kernel", choices=KERNELS, default="6.1")
    parser.add_argument("--no-iommu", action="store_true")
    parser.add_argument("--threads", choices=("single", "multi"), default="single")
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--out", type=Path, help="folder for the files that the command writes to /out")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    hardware = Hardware(topology=options.topology, iommu=not options.no_iommu, threads=options.threads)
    out = options.out or Path(tempfile.mkdtemp(prefix="out-", dir=run_dir()))
    sys.exit(
        run_in_guest(
            " ".join(options.command), hardware=hardware, kernel=options.kernel, out=out, timeout=options.timeout
        )
    )


if __name__ == "__main__":
    main()
