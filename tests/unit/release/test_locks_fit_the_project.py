"""The committed lock files against pyproject.toml: what it asks for is pinned, within its ranges."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_release import locks
from virtfn_release.relock import PYTHONS

MORE = "; `make lock` writes them anew"


def project() -> dict[str, Any]:
    return tomllib.loads((repository() / "pyproject.toml").read_text())


def asked_for(lock: str) -> list[Requirement]:
    described = project()
    extras, backend = described["project"]["optional-dependencies"], described["build-system"]["requires"]
    if lock == "build":
        return [Requirement(text) for text in backend]
    if lock == "dev":
        everything = [text for extra in extras.values() for text in extra]
        return [Requirement(text) for text in (*everything, *described["dependency-groups"]["dev"], *backend)]
    if lock == "docs":
        return [Requirement(text) for text in described["dependency-groups"]["docs"]]
    return [Requirement(text) for text in extras[lock]]


@pytest.mark.parametrize("lock", locks.LOCKS)
def test_each_requirement_is_pinned_within_its_range(lock: str) -> None:
    pins = {pin.name: pin for pin in locks.pins(lock)}
    for requirement in asked_for(lock):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} is not in {lock}.txt{MORE}"
        assert requirement.specifier.contains(pin.version, prereleases=True), f"{pin.version}: {requirement}{MORE}"


@pytest.mark.parametrize("lock", locks.LOCKS)
def test_each_name_is_pinned_once_on_linux(lock: str) -> None:
    """Two versions for two Pythons would be two products."""
    for python in PYTHONS:
        where = {"sys_platform": "linux", "python_version": python, "python_full_version": f"{python}.1"}
        names = [pin.name for pin in locks.pins(lock) if pin.marker is None or pin.marker.evaluate(where)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("lock", locks.LOCKS)
def test_no_lock_names_an_index(lock: str) -> None:
    assert not re.search(r"://|--(index|extra|find)", locks.path(lock).read_text())


def test_processes_share_versions() -> None:
    """What two images have in common is one version, so that one notice of a flaw is about one thing."""
    seen: dict[str, str] = {}
    for lock in PROCESSES:
        for pin in locks.pins(lock):
            assert seen.setdefault(pin.name, pin.version) == pin.version, f"{pin.name} in {lock}.txt{MORE}"


def test_the_dockerfile_installs_from_all_of_them() -> None:
    dockerfile = (repository() / "Dockerfile").read_text()
    for lock in (*PROCESSES, "build"):
        assert f"requirements/{lock}.txt" in dockerfile
