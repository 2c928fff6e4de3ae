"""What a release is made from, small: four images with nothing but virtfn in them, and a Helm that only packs."""

import sys
from pathlib import Path

from fake_image import SITE, base, metadata
from oci_archive import write_archive

from virtfn_lab.images import PROCESSES

_HELM = """#!{python}
import os, sys, tarfile
verb, words = sys.argv[1], sys.argv[2:]
if verb == "package":
    chart = words[-1]
    version, into = (words[words.index(name) + 1] for name in ("--version", "--destination"))
    def settled(member):
        member.mtime = int(os.environ["SOURCE_DATE_EPOCH"])
        return member
    with tarfile.open(into + "/virtfn-" + version + ".tgz", "w") as package:
        for name in ("values.yaml", "Chart.yaml"):
            package.add(chart + "/" + name, "virtfn/" + name, filter=settled)
if verb == "template":
    print("---")
    print("words: " + " ".join(words[2:]))
"""


def write_images(folder: Path, version: str, *, other: str = "") -> dict[str, Path]:
    """Write the archives of all four images with virtfn in one version; the image of the process `other` has 9.9.9."""
    written = {}
    for process in PROCESSES:
        has = "9.9.9" if process == other else version
        files = {
            "opt/virtfn/pyvenv.cfg": b"home = /usr/bin\nversion = 3.11.2\n",
            "opt/virtfn/wheels.sha256": f"{'0' * 64}  virtfn-{has}-py3-none-any.whl\n".encode(),
            f"{SITE}/virtfn-{has}.dist-info/METADATA": metadata("virtfn", has),
            "process": process.encode(),
        }
        (folder / process).mkdir(parents=True)
        written[process] = write_archive(
            folder / process / "image.tar", [base(), files], name=f"localhost/virtfn/{process}:{version}"
        )
    return written


def write_helm(folder: Path) -> Path:
    """Write a program that understands `lint`, `package` and `template` as far as a release calls them."""
    program = folder / "helm"
    program.write_text(_HELM.format(python=sys.executable))
    program.chmod(0o755)
    return program
