"""The version of a release, as Python and as everybody else writes it.

Python's packages know 1.2.3rc1 (PEP 440), Helm and krew 1.2.3-rc.1 (Semantic Versioning). Both spellings are accepted.
"""

import re
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"v?(?P<final>{_NUMBER}\.{_NUMBER}\.{_NUMBER})"
    rf"(?:(?:-(?P<word>alpha|beta|rc)\.|(?P<letter>a|b|rc))(?P<number>{_NUMBER}))?"
)
_LETTERS = {"alpha": "a", "beta": "b", "rc": "rc"}


class ReleaseError(Exception):
    """A release cannot be made or pushed. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseVersion:
    """One version in its two spellings, which are equal unless it is a pre-release."""

    python: str
    """For the wheel and the sdist, like 1.2.3rc1."""
    semantic: str
    """For the chart, the images' tags, krew and the git tag, like 1.2.3-rc.1."""


def read_version(text: str) -> ReleaseVersion:
    """Return the version that a text means; a leading `v`, as in git's tags, is ignored.

    Raises:
        ReleaseError: it is neither three numbers nor a pre-release of three numbers.
    """
    if not text:
        raise ReleaseError("VERSION is not set. Say which release this is: make release VERSION=1.2.3")
    if (found := _VERSION.fullmatch(text)) is None:
        wanted = "three numbers like 1.2.3, or a pre-release of them like 1.2.3-rc.1 (for Python 1.2.3rc1)"
        raise ReleaseError(f"VERSION={text} is not the version of a release: it must be {wanted}")
    final = found["final"]
    if found["number"] is None:
        return ReleaseVersion(python=final, semantic=final)
    letter = found["letter"] or _LETTERS[found["word"]]
    word = next(word for word, short in _LETTERS.items() if short == letter)
    number = found["number"]
    return ReleaseVersion(python=f"{final}{letter}{number}", semantic=f"{final}-{word}.{number}")
