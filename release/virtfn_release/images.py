"""Build the four images as OCI archives, from scratch and with fixed times, so that two builds are identical."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from virtfn_lab import base_image, prereqs
from virtfn_lab.buildah import Buildah
from virtfn_lab.images import PROCESSES, REGISTRY, build_images
from virtfn_lab.paths import repository, run_dir
from virtfn_lab.progress import step
from virtfn_lab.run import run
from virtfn_release.archive import Image, read_image

PROGRAMS = ("buildah", "mmdebstrap")
"""Programs that this needs on the machine; all of them are in the lab's list, too."""

PINNED = "pinned"
"""Value of BASE for the base image that the Dockerfile names by its digest."""


class NoTimeError(Exception):
    """There is no time to give the images. The message says how to set one."""


def folder() -> Path:
    """Return the folder of the archives."""
    return repository() / "dist/images"


def build(base: str, ours: str = "", tag: str = "") -> dict[str, Image]:
    """Build all four images and return them by process.

    Args:
        base: name of the base image, or PINNED, or empty for a base made here of Debian's packages.
        ours: version of the wheel in them; empty: that of this checkout.
        tag: the tag in their names; empty: that version.

    Raises:
        NoTimeError: SOURCE_DATE_EPOCH is not set, and this is not a git clone.
        CommandFailedError: the build failed.
    """
    time = source_date_epoch()
    prereqs.ensure(PROGRAMS)
    folder().mkdir(parents=True, exist_ok=True)
    ours = ours or version()
    names = {process: f"{REGISTRY}/{process}:{tag or ours}" for process in PROCESSES}
    storage = Path(tempfile.mkdtemp(prefix="images-", dir=run_dir()))
    try:
        buildah = Buildah(storage=storage)
        bases = {} if base == PINNED else {"BASE": base, "RUNTIME": base}
        if not base:
            base_image.load_bases(buildah)
            bases = {"BASE": base_image.BUILD, "RUNTIME": base_image.RUNTIME}
        with step("building images"):
            build_images(buildah, {**bases, "VERSION": ours}, folder(), names, time)
    finally:
        shutil.rmtree(storage)
    return {process: read_image(folder() / f"{process}.tar", lambda _: False) for process in PROCESSES}


def source_date_epoch() -> int:
    """Return the time for everything in the images, in seconds since 1970: SOURCE_DATE_EPOCH, or the last commit's.

    Raises:
        NoTimeError: there is neither.
    """
    if (text := os.environ.get("SOURCE_DATE_EPOCH")) is not None:
        if not text.isdecimal():
            raise NoTimeError(f"SOURCE_DATE_EPOCH is not a number of seconds: {text}")
        return int(text)
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=repository(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NoTimeError("no time for the images: not a git clone. Set SOURCE_DATE_EPOCH to seconds since 1970")
    return int(done.stdout)


def version() -> str:
    """Return the version that a wheel of this checkout has: from git's tags, else the fallback in pyproject.toml."""
    return run([sys.executable, "-m", "hatchling", "version"], cwd=repository()).strip()
