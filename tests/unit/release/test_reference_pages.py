"""The pages of docs/reference and the list of decisions are as `make reference` writes them."""

import shutil
from pathlib import Path

import pytest

from virtfn_lab.paths import repository
from virtfn_release.reference.pages import REASONS, pages, write_pages

ROOT = repository()
MORE = "; `make reference` writes it anew"
SOURCES = ("charts/virtfn/values.yaml", "charts/virtfn/values.schema.json", "crds", "docs/decisions")
CRDS, VALUES, WORDS, LIST = (
    f"docs/{name}.md" for name in ("reference/crds", "reference/values", "reference/reasons", "decisions/README")
)
EDITS = (
    ("a default", VALUES, "charts/virtfn/values.yaml", "turnTimeoutSeconds: 900", "turnTimeoutSeconds: 901"),
    ("a comment", VALUES, "charts/virtfn/values.yaml", "Seconds that a node", "Minutes that a node"),
    ("a new value", VALUES, "charts/virtfn/values.yaml", "logLevel: info", "logLevel: info\nlogColour: true"),
    ("a choice", VALUES, "charts/virtfn/values.schema.json", '"IfNotPresent", "Never"]', '"IfNotPresent"]'),
    ("a description", CRDS, "crds/sriovpolicies.yaml", "counted from 0.", "counted from 1."),
    ("a bound", CRDS, "crds/sriovpolicies.yaml", "maximum: 2048", "maximum: 2047"),
    ("a default of a field", CRDS, "crds/sriovpolicies.yaml", "default: 0", "default: 1"),
    ("a refusal", CRDS, "crds/sriovpolicies.yaml", "name a field, like vendor", "name a field, like device"),
    ("a field that is required", CRDS, "crds/sriovpolicies.yaml", "required: [devices]", "required: []"),
    ("a printed column", CRDS, "crds/sriovnodes.yaml", "name: IN-USE", "name: USED"),
    ("a reason's meaning", WORDS, REASONS, "# more than sriov_totalvfs", "# more than the card has"),
    ("a title", LIST, "docs/decisions/0001-one-distribution-three-source-roots.md", "# 0001: ", "# 0001: Why "),
)


@pytest.mark.parametrize("name", pages(ROOT))
def test_what_is_committed_is_what_is_generated(name: str) -> None:
    assert (ROOT / name).read_text() == pages(ROOT)[name](), f"{name} is not as generated{MORE}"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what the pages are made from."""
    for name in (*SOURCES, REASONS):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target)
        else:
            shutil.copy(ROOT / name, target)
    return tmp_path


@pytest.mark.parametrize(("page", "path", "old", "new"), [edit[1:] for edit in EDITS], ids=[edit[0] for edit in EDITS])
def test_an_edit_of_a_source_changes_its_page(sources: Path, page: str, path: str, old: str, new: str) -> None:
    text = (sources / path).read_text()
    assert old in text
    (sources / path).write_text(text.replace(old, new, 1))
    assert pages(sources)[page]() != (ROOT / page).read_text()


def test_a_new_decision_is_listed(sources: Path) -> None:
    (sources / "docs/decisions/9999-the-last.md").write_text("# 9999: The last\n")
    assert "- [9999](9999-the-last.md): The last\n" in pages(sources)[LIST]()


@pytest.mark.parametrize("first", ["# The last", "# 9998: The last", "9999: The last"])
def test_a_decision_without_its_number_is_refused_by_name(sources: Path, first: str) -> None:
    (sources / "docs/decisions/9999-the-last.md").write_text(f"{first}\n")
    with pytest.raises(ValueError, match=r"9999-the-last\.md"):
        pages(sources)[LIST]()


def test_only_pages_that_changed_are_written(sources: Path) -> None:
    assert set(write_pages(sources)) == set(pages(ROOT)) - {LIST}
    assert write_pages(sources) == []
    page = sources / VALUES
    page.write_text(page.read_text().replace("900", "90"))
    assert write_pages(sources) == [VALUES]
