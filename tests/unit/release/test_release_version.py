"""A release's version is three numbers or a pre-release of them, in Python's spelling or in everybody else's."""

import pytest
from packaging.version import Version

from virtfn_release.release_version import ReleaseError, read_version


@pytest.mark.parametrize(
    ("text", "python", "semantic"),
    [
        ("0.2.0", "0.2.0", "0.2.0"),
        ("v10.20.30", "10.20.30", "10.20.30"),
        ("1.0.0-rc.1", "1.0.0rc1", "1.0.0-rc.1"),
        ("1.0.0rc1", "1.0.0rc1", "1.0.0-rc.1"),
        ("v1.0.0-alpha.12", "1.0.0a12", "1.0.0-alpha.12"),
        ("1.0.0b0", "1.0.0b0", "1.0.0-beta.0"),
    ],
)
def test_both_spellings_mean_the_same(text: str, python: str, semantic: str) -> None:
    version = read_version(text)
    assert (version.python, version.semantic) == (python, semantic)
    assert Version(version.python) == Version(version.semantic)


@pytest.mark.parametrize(
    "text",
    ["1", "1.2", "1.2.3.4", "1.2.3.dev4", "1.2.3+local", "1.2.3.post1", "1!1.2.3", "01.2.3", "1.2.3-rc1",
     "1.2.3-gamma.1", "1.2.3 ", "latest", "1.2.3rc01", "V1.2.3", "1.2.³"],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ReleaseError, match=r"is not the version of a release: .*1\.2\.3-rc\.1"):
        read_version(text)


def test_without_a_version_the_message_says_how_to_give_one() -> None:
    with pytest.raises(ReleaseError, match=r"make release VERSION=1\.2\.3"):
        read_version("")
