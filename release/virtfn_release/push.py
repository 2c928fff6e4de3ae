"""`make push`: images and chart of dist/release to a registry, and the reference of each by digest.

Skopeo copies the images, Helm its chart. An image has the digest that the release's list says, or the push fails.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtfn_lab.prereqs import ensure
from virtfn_lab.progress import say, step
from virtfn_lab.run import run
from virtfn_release.release import LIST, SUMS, Artefact
from virtfn_release.release_version import ReleaseError

CHARTS = "charts"
"""The part of the registry's path below which the chart is: Helm adds the chart's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Where to push, and how."""

    name: str
    """`host/path`."""
    plain_http: bool = False
    """Without TLS: for a registry on the same machine."""
    user: str = ""
    """Empty: who is logged in already (`skopeo login`, `helm registry login`, `docker login`)."""
    password: str = ""


def push(folder: Path, registry: Registry, helm: Path) -> dict[str, str]:
    """Push a release; return the reference by digest of each image and of the chart, by what it is.

    Raises:
        ReleaseError: there is no release, a file of it was changed, or the registry has something else now.
        CommandFailedError: the registry refused it.
    """
    listed, artefacts = _read(folder)
    version, time = listed["version"], listed["time"]
    if listed["registry"] not in ("", registry.name):
        say(f"the chart names {listed['registry']}: whoever installs it from {registry.name} must set the registry")
    ensure(("skopeo",))
    found = {}
    with _login(registry) as login:
        for each in (each for each in artefacts if each.kind == "image"):
            process = each.name.split("-")[1]
            with step(f"pushing {each.name}"):
                found[process] = _push_image(folder / each.name, each, registry, f"{process}:{version}", login)
        # After the images that it names.
        for each in (each for each in artefacts if each.kind == "chart"):
            with step(f"pushing {each.name}"):
                found["chart"] = _push_chart(folder / each.name, registry, helm, version, time, login)
    return found


def _read(folder: Path) -> tuple[dict[str, Any], list[Artefact]]:
    try:
        listed: dict[str, Any] = json.loads((folder / LIST).read_text())
        sums = [line.split("  ", 1) for line in (folder / SUMS).read_text().splitlines()]
    except FileNotFoundError as error:
        raise ReleaseError(
            f"there is no release to push, {error.filename} is missing: make release VERSION=1.2.3"
        ) from error
    for digest, name in sums:
        path = folder / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ReleaseError(f"{path} is not the file that {SUMS} names; make the release again")
    return listed, [Artefact(**each) for each in listed["artefacts"]]


def _push_image(archive: Path, image: Artefact, registry: Registry, name: str, login: dict[str, str]) -> str:
    with tempfile.NamedTemporaryFile("r") as digest:
        words = ["skopeo", "copy", "--quiet", "--preserve-digests", f"--digestfile={digest.name}"]
        words += ["--dest-tls-verify=false"] if registry.plain_http else []
        run([*words, f"oci-archive:{archive}", f"docker://{registry.name}/{name}"], env=login, timeout=1800)
        pushed = digest.read().strip()
    if pushed != image.image:
        raise ReleaseError(f"{registry.name}/{name} has the digest {pushed}, and {LIST} says {image.image}")
    return f"{registry.name}/{name.partition(':')[0]}@{pushed}"


def _push_chart(package: Path, registry: Registry, helm: Path, version: str, time: int, login: dict[str, str]) -> str:
    # Helm notes the file's time in the manifest, in the zone of the machine.
    os.utime(package, (time, time))
    words = [str(helm), "push", *(["--plain-http"] if registry.plain_http else [])]
    run([*words, str(package), f"oci://{registry.name}/{CHARTS}"], env=login | {"TZ": "UTC"}, timeout=600)
    inspect = ["skopeo", "inspect", "--raw", *(["--tls-verify=false"] if registry.plain_http else [])]
    manifest = run([*inspect, f"docker://{registry.name}/{CHARTS}/virtfn:{version}"], env=login, timeout=600)
    return f"{registry.name}/{CHARTS}/virtfn@sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


@contextmanager
def _login(registry: Registry) -> Iterator[dict[str, str]]:
    """Give the variables by which both programs find one user and password; they end with this context."""
    if not registry.user:
        yield {}
        return
    pair = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"auths": {registry.name.partition("/")[0]: {"auth": pair}}}, file)
        file.flush()
        yield {"REGISTRY_AUTH_FILE": file.name, "HELM_REGISTRY_CONFIG": file.name}
