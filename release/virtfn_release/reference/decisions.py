"""The list of decisions, from the first line of each."""

import re
from collections.abc import Mapping

from virtfn_release.reference.layout import page, plain

NAME = re.compile(r"\d{4}-[a-z0-9-]+\.md")
_TITLE = re.compile(r"# (\d{4}): (.+)")


def decisions_page(texts: Mapping[str, str]) -> str:
    """Return the list of decisions; `texts` are their pages by file name.

    Raises:
        ValueError: a page does not begin with its number and a title.
    """
    intro = "Choices that are hard to take back: the context, the choice, and what was given up for it. Newest last."
    lines = []
    for name, text in sorted(texts.items()):
        title = _TITLE.fullmatch(text.partition("\n")[0])
        if title is None or not name.startswith(title[1]):
            raise ValueError(f"{name}: its first line is not `# {name[:4]}: TITLE`")
        lines.append(f"- [{title[1]}]({name}): {plain(title[2])}")
    return page("Decisions", "the first lines of these pages", intro, "\n".join(lines))
