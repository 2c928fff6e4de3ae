"""`kubectl virtfn list` runs `virtfn` in the container `host`: it is on PATH, and its variables fit the mounts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from virtfn_lab.paths import repository

DOCKERFILE = (repository() / "Dockerfile").read_text()
AGENT = (repository() / "charts/virtfn/templates/agent.yaml").read_text()
HOST = AGENT[AGENT.index("- name: host\n") : AGENT.index("      volumes:")]


def test_its_folder_is_on_the_path_after_all_others() -> None:
    stage = DOCKERFILE.split(" AS host\n")[1].split("\nFROM ")[0]
    (path,) = re.findall(r"^ENV PATH=(\S+)$", stage, re.MULTILINE)
    folders = path.split(":")
    assert folders[-1] == "/opt/virtfn/bin"
    assert {"/usr/sbin", "/usr/bin", "/sbin", "/bin"} <= set(folders)
    assert "" not in folders


def test_no_other_image_has_it() -> None:
    assert DOCKERFILE.count("ENV PATH=") == 1


@pytest.mark.parametrize("option", ["dev", "proc"])
def test_the_command_is_told_the_same_places_as_the_process(option: str) -> None:
    (argument,) = re.findall(rf"--{option}=(\S+)", HOST)
    (line,) = re.findall(rf"- (\{{name: VIRTFN_{option.upper()}, .*\}})", HOST)
    assert yaml.safe_load(line)["value"] == argument
    assert re.search(rf"mountPath: {argument}[,}}]", HOST)


def test_sys_is_where_the_command_looks_by_itself() -> None:
    assert "--sys=/sys\n" in HOST
    assert Path("/sys") == Path(re.findall(r"name: sys, mountPath: ([^},]+)", HOST)[0])
