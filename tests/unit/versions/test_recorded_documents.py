"""What earlier versions wrote is read by this one, and what this one writes is on record for those to come."""

import json
from pathlib import Path
from typing import Any

import pytest
import speaking
from document_law import agrees

RECORDED = Path(__file__).parents[2] / "documents"
FILES = sorted(RECORDED.glob("*/*.json"))
NOW = RECORDED / "2"


def said(path: Path) -> Any:
    """What a recorded document says, without its envelope; of a status, what a controller reads of it."""
    document, *records = map(
        json.loads, path.read_text().splitlines() if "with-records" in path.name else [path.read_text()]
    )
    for record in records:
        for name in document["value"].keys() & {"allocations", "grants"}:
            gone = record["value"].get("gone", ())
            kept = [one for one in document["value"][name] if one["address"] not in gone]
            document["value"][name] = kept + record["value"][name]
    if path.name != "node-status.json":
        return document.get("value", document)
    lists = {name: document[name] for name in ("policies", "rejected", "conditions")}
    return {"observedGeneration": 4, "plan": {"disruptive": document["plan"]["disruptive"]}, **lists}


def test_there_is_one_of_every_kind() -> None:
    kinds = {"pools.json", "ledger.json", "journal.json", "node-spec.json", "node-status.json"}
    for folder in {path.parent for path in FILES}:
        assert kinds <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_recorded_document_is_read(path: Path, tmp_path: Path) -> None:
    ours = tmp_path / path.name
    ours.write_bytes(path.read_bytes())
    ours.chmod(0o600)  # a checkout may be written by a group
    assert agrees(said(path), json.loads(json.dumps(speaking.read(ours))))


def test_what_is_written_now_is_on_record(tmp_path: Path) -> None:
    speaking.write(tmp_path)
    for path in sorted(tmp_path.glob("*.json")):
        assert path.read_text() == (NOW / path.name).read_text(), f"see {RECORDED / 'README.md'}"
