"""docs/licences.md is about what the lock files pin."""

import re
from pathlib import Path

import pytest
from fake_image import write_image

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_release.contents import read_contents
from virtfn_release.licences import PAGE, VENDORED, page, spdx
from virtfn_release.locks import pins

LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


def test_it_lists_what_the_images_are_installed_from() -> None:
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| ([^|]+) \| ([a-z, ]+) \|$", (repository() / PAGE).read_text(), re.MULTILINE
    )
    listed = {(name, version, where) for name, version, _, where in rows}
    locked: dict[tuple[str, str], list[str]] = {}
    for process in PROCESSES:
        for pin in pins(process):
            if pin.marker is None or pin.marker.evaluate(LINUX):
                locked.setdefault((pin.name, pin.version), []).append(process)
    expected = {(name, version, ", ".join(where)) for (name, version), where in locked.items()}
    assert listed == expected, "`make images licences` writes it anew"
    assert all(licence.strip() for _, _, licence, _ in rows)


def test_what_was_written_after_other_peoples_work_is_there_and_listed() -> None:
    text = (repository() / PAGE).read_text()
    for folder in VENDORED:
        assert (repository() / folder).is_dir()
        assert f"`{folder}`" in text


def test_a_page_from_an_image(tmp_path: Path) -> None:
    text = page([("host", read_contents(write_image(tmp_path)))])
    assert "| py-route2 | 0.9.7 | MIT OR ISC | host |" in text
    assert "| libc6 | its copyright file, which mentions LGPL-2.1 |" in text
    assert "| kmod | GPL-2.0-or-later, MIT |" in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-3+", "GPL-3.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("AGPL-3", "AGPL-3.0-only"),
        ("Expat", "MIT"),
        ("GPL", "GPL"),
        ("BSD", "BSD"),
        ("GPL-2+ with Autoconf exception", "GPL-2+ with Autoconf exception"),
    ],
)
def test_a_name_that_may_mean_several_licences_stays(name: str, expected: str) -> None:
    assert spdx(name) == expected
