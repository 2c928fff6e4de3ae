"""A lock file's line pins one version and the files of it that may be installed; anything else is refused."""

import pytest

from virtfn_release.locks import LockError, parse

A, B = "a" * 64, "0123456789abcdef" * 4


def test_a_pin_with_its_files_and_where_it_is_installed() -> None:
    text = f"""# made by uv
typing_Extensions==4.16.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via something
Colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:{B}
"""
    first, second = parse(text)
    assert (first.name, first.version, first.marker) == ("typing-extensions", "4.16.0", None)
    assert first.hashes == (f"sha256:{A}", f"sha256:{B}")
    assert second.name == "colorama"
    assert second.marker is not None
    assert not second.marker.evaluate({"sys_platform": "linux"})


@pytest.mark.parametrize(
    "line",
    [
        "kopf==1.45.2",
        "kopf==1.45.2 --hash=",
        f"kopf==1.45.2 --hash=sha256:{A[:-1]}",
        f"kopf==1.45.2 --hash=md5:{A[:32]}",
        f"kopf==1.45.2 --hash=sha256:{A} --hash=sha1:{A[:40]}",
        f"kopf>=1.45.2 --hash=sha256:{A}",
        f"kopf==1.45.* --hash=sha256:{A}",
        f"kopf==1.45.2,!=2 --hash=sha256:{A}",
        f"kopf===1.45.2 --hash=sha256:{A}",
        f"kopf --hash=sha256:{A}",
        f"kopf @ file:///tmp/kopf.whl --hash=sha256:{A}",
        f"-e ./kopf --hash=sha256:{A}",
        "--index-url https://index.example/simple",
        "--extra-index-url https://index.example/simple",
        "--find-links ./wheels",
        "--trusted-host index.example",
        "-r other.txt",
        f"= 1 --hash=sha256:{A}",
    ],
)
def test_what_is_not_pinned_to_files_is_refused(line: str) -> None:
    with pytest.raises(LockError) as refused:
        parse(f"attrs==26.1.0 --hash=sha256:{A}\n{line}\n")
    assert line[:40] in str(refused.value)
