"""A file is split into its documents, so that an error names the document and its line."""

from __future__ import annotations

import pytest

from virtfn_kubectl.read.documents import documents

ONE, TWO = "kind: A\n", "kind: B\nname: b\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ONE, [("f", ONE)]),
        ('{"kind": "A"}', [("f", '{"kind": "A"}\n')]),
        (f"---\n{ONE}", [("f", ONE)]),
        (f"{ONE}---\n{TWO}", [("f: document 1 (line 1)", ONE), ("f: document 2 (line 3)", TWO)]),
        (
            f"# why\n\n{ONE}--- # next\n\n{TWO}---\n",
            [("f: document 1 (line 1)", f"# why\n\n{ONE}"), ("f: document 2 (line 6)", f"\n{TWO}")],
        ),
        (
            f"{ONE}---\n# nothing here\n---\n\n---\n{TWO}",
            [("f: document 1 (line 1)", ONE), ("f: document 2 (line 7)", TWO)],
        ),
        ("text: |\n  a\n  --- b\n", [("f", "text: |\n  a\n  --- b\n")]),
        ("", []),
        ("---\n# only a comment\n---\n", []),
    ],
)
def test_documents_and_their_places(text: str, found: list[tuple[str, str]]) -> None:
    told = documents("f", text)
    assert [(it.place, it.text.lstrip("\n")) for it in told] == [(place, part.lstrip("\n")) for place, part in found]


@pytest.mark.parametrize(
    ("text", "attachment"),
    [
        ("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: a}\n", True),
        ("# why\nkind: NetworkAttachmentDefinition\nmetadata: {name: a}\napiVersion: k8s.cni.cncf.io/v1beta1\n", True),
        ("apiVersion: virtfn.dev/v1alpha1\nkind: NetworkAttachmentDefinition\n", False),
        ("apiVersion: k8s.cni.cncf.io/v1\nkind: SriovPolicy\n", False),
        ("apiVersion: k8s.cni.cncf.io.example/v1\nkind: NetworkAttachmentDefinition\n", False),
        ("kind: SriovPolicy\nspec:\n  apiVersion: k8s.cni.cncf.io/v1\n  kind: NetworkAttachmentDefinition\n", False),
    ],
)
def test_only_an_attachment_of_multus_counts_as_one(text: str, attachment: bool) -> None:
    assert [it.attachment for it in documents("f", text)] == [attachment]


def test_a_line_of_a_document_has_the_number_that_it_has_in_the_file() -> None:
    text = f"# why\n{ONE}---\n\n{TWO}---\n---\n{ONE}"
    lines = text.splitlines()
    for it in documents("f", text):
        for number, line in enumerate(it.text.splitlines()):
            assert line in ("", lines[number])
