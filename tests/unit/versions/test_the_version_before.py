"""What this version writes, read by the version before: its source as git has it, in a process with its import path.

The version before read strictly, so what it cannot read is a list here, with the reason: when it is another, either we
broke something, or a version that can read it has become the one before.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from journal_by_hand import mend, write_whole

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests/documents"
BEFORE = "3c3a08d043dd579179d045f5a022af3ef740054f"
ROOTS = ("host", "operator", "deviceplugin")

WITHOUT_CHECKSUM = "not a virtfn document: want version, kind and value"
"""It wants these three keys and no other, and there is a checksum now (decision 0014, "Given up")."""

CANNOT_READ = {
    "config.json": "No module named",  # it makes no VFs at a boot
    "grants.json": "read_grants",  # it has none: it does not ask before a container starts
    "grants.with-records.json": "read_grants",
    "registrations.json": "read_registrations",  # it has none: it does not ask the device plugin
    "tries.json": "no TriesFile in any of",  # it has none: it tries for ever
    "journal.json": WITHOUT_CHECKSUM,  # it touches nothing until the runbook's older form is there
    "journal.link-before.json": WITHOUT_CHECKSUM,
    "journal.number-untouched.json": WITHOUT_CHECKSUM,
    "journal.with-claims.json": WITHOUT_CHECKSUM,
    "ledger.json": WITHOUT_CHECKSUM,  # it takes every function for used
    "ledger.with-records.json": "Extra data: line 2",  # so it does here; its plugin begins a new one
    "pools.json": WITHOUT_CHECKSUM,  # it serves what it had
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the version before."""
    git = ["git", "-C", str(ROOT), "archive", BEFORE, *ROOTS]
    try:
        packed = subprocess.run(git, capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("NOTHING IS KNOWN of the version before: there is no git here to take it from")
    except subprocess.CalledProcessError as error:
        why = error.stderr.decode(errors="replace").strip()
        pytest.skip(f"NOTHING IS KNOWN of the version before: this checkout does not have {BEFORE[:9]} ({why})")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def speak(source: Path, verb: str, folder: Path) -> dict[str, Any]:
    """What that version writes or reads, by `tests/fakes/speaking.py`."""
    paths = os.pathsep.join(str(source / root) for root in ROOTS)
    program = [sys.executable, "-P", str(ROOT / "tests/fakes/speaking.py"), verb, str(folder)]
    environment = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(program, env=environment, capture_output=True, check=True, cwd=folder).stdout
    if verb == "write":
        return {}
    found: dict[str, Any] = json.loads(told)
    assert Path(found["virtfn"]).is_relative_to(source)
    answers: dict[str, Any] = found["answers"]
    return answers


def copied(version: str, folder: Path) -> Path:
    """The recorded documents of a version, by this user and writable by nobody else."""
    for path in (RECORDED / version).glob("*.json"):
        shutil.copyfile(path, folder / path.name)
        (folder / path.name).chmod(0o600)
    return folder


def test_its_documents_are_recorded_as_it_writes_them(before: Path, tmp_path: Path) -> None:
    speak(before, "write", tmp_path)
    for path in sorted(tmp_path.glob("*.json")):
        assert path.read_text() == (RECORDED / "1" / path.name).read_text()


def test_it_reads_its_own(before: Path, tmp_path: Path) -> None:
    answers = speak(before, "read", copied("1", tmp_path))
    assert [name for name, answer in answers.items() if "refused" in answer] == []


def test_it_reads_ours_but_for_what_is_known(before: Path, tmp_path: Path) -> None:
    answers = speak(before, "read", copied("2", tmp_path))
    refused = {name: answer["refused"] for name, answer in answers.items() if "refused" in answer}
    assert refused.keys() == CANNOT_READ.keys()
    assert [name for name, text in refused.items() if CANNOT_READ[name] not in text] == []
    now = speak(ROOT, "read", tmp_path)
    assert {name: now[name] for name in answers.keys() - refused} == {n: answers[n] for n in answers.keys() - refused}


def test_it_reads_our_journals_in_the_form_that_the_runbook_gives_for_a_downgrade(before: Path, tmp_path: Path) -> None:
    copied("2", tmp_path)
    write_whole(tmp_path / "journal.whole.json")
    names = sorted(path.name for path in tmp_path.glob("journal*.json"))
    for name in names:
        mend(tmp_path / name, earlier=True)
    answers, now = speak(before, "read", tmp_path), speak(ROOT, "read", tmp_path)
    assert len(names) == 5
    for name in names:
        assert "read" in answers[name], answers[name]
        assert answers[name] == now[name]


def test_a_field_more_is_too_much_for_it_and_not_for_us(before: Path, tmp_path: Path) -> None:
    copied("2", tmp_path)
    for name, place in (("spec", "pools"), ("status", "conditions")):
        path = tmp_path / f"node-{name}.json"
        document = json.loads(path.read_text())
        holder = document["policies"][0] if name == "spec" else document
        holder[place][0]["more"] = {"of": "a version to come"}
        path.write_text(json.dumps(document))
    answers, now = speak(before, "read", tmp_path), speak(ROOT, "read", tmp_path)
    assert "pools[0].more: unknown field" in answers["node-spec.json"]["refused"]  # so it stops that node
    assert answers["node-status.json"] == now["node-status.json"]
    assert "read" in now["node-spec.json"]
