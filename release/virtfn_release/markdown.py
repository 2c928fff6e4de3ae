"""What is in a page of Markdown: code blocks, headings with their anchors, links. Pure.

Pages are read as GitHub and the site read them, as far as ours need it: headings with `#`, code that is fenced or
indented by four, links in one line.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

INDENT = "    "
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([\w+-]*)")
_HEADING = re.compile(r"(#{1,6}) +(.*?)(?: +#+)?$")
_LINK = re.compile(r"(?=\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)(?: \"[^\"]*\")?\))")
"""Looks ahead, because a link may hold a picture."""
_SPAN = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A code block."""

    line: int
    """Number of its first line of code in the page, from 1."""
    language: str | None
    """What a fence names, empty if nothing; None: the block is indented instead."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link or a picture."""

    line: int
    target: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the code blocks of a page, in order."""
    for block, _ in _parts(page):
        if block is not None:
            yield block


def prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside code blocks, with their numbers from 1."""
    for block, line in _parts(page):
        if block is None:
            yield line


def headings(page: str) -> Iterator[tuple[int, str]]:
    """Yield level and text of each heading."""
    for _, line in prose(page):
        if match := _HEADING.match(line):
            yield len(match[1]), match[2]


def anchors(page: str) -> frozenset[str]:
    """Return what links may name after `#`: an anchor for each heading; a second one of a name gets `-1`, then `-2`."""
    seen: Counter[str] = Counter()
    found = set()
    for _, heading in headings(page):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return frozenset(found)


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it: lower case, letters, digits, `-` and `_`, spaces as `-`."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w -]", "", words.lower()).strip().replace(" ", "-")


def links(page: str) -> Iterator[Link]:
    """Yield the links of a page that are not in code."""
    for number, line in prose(page):
        for match in _LINK.finditer(_SPAN.sub(lambda span: "x" * len(span[0]), line)):
            yield Link(line=number, target=match[1])


def spans(page: str) -> Iterator[tuple[int, str]]:
    """Yield the code within text, with the number of the line where it begins; line breaks in it are spaces."""
    lines = dict(prose(page))
    text = "\n".join(lines.get(number, "") for number in range(1, max(lines, default=0) + 1))
    for match in _SPAN.finditer(re.sub(r"\n(?=\s*\n)", "\n\0", text)):  # a blank line ends a span
        if "\0" not in match[2]:
            yield text_line(text, match.start()), " ".join(match[2].split())


def text_line(text: str, offset: int) -> int:
    """Return the number of the line of an offset, from 1."""
    return text.count("\n", 0, offset) + 1


def _parts(page: str) -> Iterator[tuple[Block | None, tuple[int, str]]]:
    """Yield each block, and each line outside of blocks."""
    lines = page.splitlines()
    at, after_blank, in_item = 0, True, False
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(fence[1])), len(lines))
            yield _block(lines, at + 1, end, fence[2]), (at + 1, line)
            at, after_blank = end + 1, False
        elif line.startswith(INDENT) and after_blank and line.strip() and not in_item:
            end = at
            while end < len(lines) and (lines[end].startswith(INDENT) or not lines[end].strip()):
                end += 1
            yield _block(lines, at, end, None), (at + 1, line)
            at, after_blank = end, True
        else:
            yield None, (at + 1, line)
            after_blank = not line.strip()
            if line.strip() and not line.startswith(" "):
                in_item = re.match(r"([-*+]|\d+[.)]) ", line) is not None
            at += 1


def _block(lines: list[str], start: int, end: int, language: str | None) -> Block:
    while end > start and not lines[end - 1].strip():
        end -= 1
    return Block(line=start + 1, language=language, text=dedent("\n".join(lines[start:end])) + "\n")
