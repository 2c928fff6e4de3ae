"""Splits a file into its documents, so that an error can name the document and its line. kubectl parses them.

A line that begins with `---` separates documents, as in Kubernetes' own reader of YAML. A JSON file is one document.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SEPARATOR = re.compile(r"---(?:\s.*)?")

ATTACHMENT = "NetworkAttachmentDefinition"
_KIND = re.compile(rf"^kind: {ATTACHMENT}$", re.MULTILINE)
_GROUP = re.compile(r"^apiVersion: k8s\.cni\.cncf\.io/", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file."""

    place: str
    """File, number of the document if there are several, and its first line."""
    text: str
    """After as many empty lines as the file has lines before it: so kubectl counts lines as the file does."""

    @property
    def attachment(self) -> bool:
        """Whether it is a NetworkAttachmentDefinition, as `virtfn import sno` writes them beside policies."""
        return bool(_KIND.search(self.text) and _GROUP.search(self.text))


def documents(name: str, text: str) -> tuple[Document, ...]:
    """Return the documents of a file that are not empty; those of comments only count as empty."""
    found = list(_split(text))
    several = len(found) > 1
    return tuple(
        Document(place=f"{name}: document {number} (line {line})" if several else name, text=part)
        for number, (line, part) in enumerate(found, start=1)
    )


def _split(text: str) -> Iterator[tuple[int, str]]:
    begin, lines = 1, list[str]()
    for number, line in enumerate([*text.splitlines(), "---"], start=1):
        if not _SEPARATOR.fullmatch(line):
            lines.append(line)
            continue
        if any(it.strip() and not it.lstrip().startswith("#") for it in lines):
            skipped = next(at for at, it in enumerate(lines) if it.strip())
            yield begin + skipped, "\n" * (begin - 1) + "\n".join(lines) + "\n"
        begin, lines = number + 1, []
