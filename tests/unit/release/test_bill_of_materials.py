"""The bill of an image is valid CycloneDX, says what is in the image, and is the same for the same image."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from fake_image import SHA256, SITE, metadata, write_image

from virtfn_release.contents import not_locked, read_contents
from virtfn_release.locks import parse
from virtfn_release.sbom import bill


def bill_of(archive: Path) -> dict[str, Any]:
    text = bill(read_contents(archive))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    made: dict[str, Any] = json.loads(text)
    return made


def part(made: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in made["components"] if each["name"] == name]
    assert isinstance(found, dict)
    return found


def needs(made: dict[str, Any], reference: str) -> list[str]:
    (found,) = [each for each in made["dependencies"] if each["ref"] == reference]
    return list(found.get("dependsOn", []))


def test_a_distribution_has_the_hash_of_its_wheel_its_licence_and_its_address(tmp_path: Path) -> None:
    found = part(bill_of(write_image(tmp_path)), "py-route2")
    assert (found["version"], found["purl"]) == ("0.9.7", "pkg:pypi/py-route2@0.9.7")
    assert found["hashes"] == [{"alg": "SHA-256", "content": SHA256}]
    assert found["licenses"] == [{"expression": "MIT OR ISC"}]


def test_a_debian_package_has_the_licences_that_its_copyright_file_states(tmp_path: Path) -> None:
    made = bill_of(write_image(tmp_path))
    for name in ("kmod", "libkmod2"):
        found = part(made, name)
        assert found["purl"] == f"pkg:deb/debian/{name}@30%2B20221128-1?arch=amd64&source=kmod"
        assert [each["license"]["id"] for each in found["licenses"]] == ["GPL-2.0-or-later", "MIT"]
    assert "gone" not in {each["name"] for each in made["components"]}


def test_a_free_copyright_file_stands_for_itself(tmp_path: Path) -> None:
    """What it mentions may be the licence of one of its files, or what it is not under."""
    found = part(bill_of(write_image(tmp_path)), "libc6")
    assert found["licenses"] == [{"license": {"name": "/usr/share/doc/libc6/copyright"}}]
    assert found["properties"] == [{"name": "virtfn:mentions-licence", "value": "LGPL-2.1"}]


def test_who_needs_whom(tmp_path: Path) -> None:
    """Extras that nobody asked for are not needed; of alternatives, and of virtual packages, what is installed is."""
    made = bill_of(write_image(tmp_path))
    purl = {each["name"]: each["bom-ref"] for each in made["components"]}
    assert needs(made, purl["virtfn"]) == [purl["py-route2"]]
    assert needs(made, purl["kmod"]) == sorted([purl["libc6"], purl["libkmod2"]])
    assert needs(made, made["metadata"]["component"]["bom-ref"]) == sorted(purl.values())


def test_a_wheel_that_the_lock_does_not_know_is_a_stranger(tmp_path: Path) -> None:
    """So is one that nobody noted the hash of."""
    more = {f"{SITE}/odd-1.dist-info/METADATA": metadata("odd", "1")}
    installed = read_contents(write_image(tmp_path, more=more)).distributions
    locked = parse(f"py-route2==0.9.7 --hash=sha256:{'0' * 64} --hash=sha256:{SHA256}")
    assert not_locked(locked, installed) == ["odd"]
    assert not_locked(parse(f"py-route2==0.9.7 --hash=sha256:{'0' * 64}"), installed) == ["odd", "py-route2"]


def test_the_image_itself_is_named_by_its_digest(tmp_path: Path) -> None:
    archive = write_image(tmp_path)
    made, image = bill_of(archive), read_contents(archive).image
    subject = made["metadata"]["component"]
    assert (subject["type"], subject["name"], subject["version"]) == ("container", "virtfn/host", "0.1.0")
    assert subject["bom-ref"] == image.digest
    assert made["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    archive = write_image(tmp_path)
    assert bill(read_contents(archive)) == bill(read_contents(archive))


def test_another_image_has_another_serial_number(tmp_path: Path) -> None:
    first = bill_of(write_image(tmp_path))
    assert bill_of(write_image(tmp_path, more={"etc/x": b""}))["serialNumber"] != first["serialNumber"]


def test_an_interpreter_that_no_package_brought_is_listed(tmp_path: Path) -> None:
    found = part(bill_of(write_image(tmp_path, home="/usr/local/bin")), "python")
    assert (found["version"], found["type"]) == ("3.11.2", "platform")
    names = {each["name"] for each in bill_of(write_image(tmp_path))["components"]}
    assert "python" not in names


def test_what_the_base_brought_has_no_hash(tmp_path: Path) -> None:
    path = "usr/local/lib/python3.11/site-packages/pip-26.3.dist-info/METADATA"
    made = bill_of(write_image(tmp_path, more={path: metadata("pip", "26.3", "License: MIT License")}))
    assert part(made, "pip")["licenses"] == [{"license": {"id": "MIT"}}]
    assert "hashes" not in part(made, "pip")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["License: Apache 2.0"], [{"license": {"id": "Apache-2.0"}}]),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], [{"license": {"id": "MIT"}}]),
        (["License: Copyright 2020\n  Permission is granted", "Classifier: Typing :: Typed"], None),
        (["License: Own terms"], [{"license": {"name": "Own terms"}}]),
        (
            [
                "Classifier: License :: OSI Approved :: BSD License",
                "Classifier: License :: OSI Approved :: MIT License",
            ],
            [{"license": {"id": "MIT"}}, {"license": {"name": "BSD License"}}],
        ),
        ([], None),
        (["License: Lizenz für alle"], [{"license": {"name": "Lizenz für alle"}}]),
    ],
)
def test_licences_in_every_form_that_metadata_has(tmp_path: Path, lines: list[str], expected: object) -> None:
    path = f"{SITE}/odd-1.dist-info/METADATA"
    made = bill_of(write_image(tmp_path, more={path: metadata("odd", "1", *lines)}))
    assert part(made, "odd").get("licenses") == expected
