"""What is left out of the base image that is made here: what differs between machines and days, and weight."""

from pathlib import Path

from virtfn_lab.base_image import tidy


def lay(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or path.is_file()}


def test_the_makers_names_logs_and_caches_go(tmp_path: Path) -> None:
    stays = ("etc/passwd", "etc/ssl/certs/ca-certificates.crt", "var/lib/dpkg/status", "usr/lib/python3.11/os.py")
    goes = (
        "etc/apt/preferences.d/no-usrmerge",
        "etc/apt/sources.list",
        "etc/hostname",
        "etc/resolv.conf",
        "var/cache/apt/pkgcache.bin",
        "var/cache/ldconfig/aux-cache",
        "var/lib/dpkg/status-old",
        "var/log/apt/history.log",
        "var/log/dpkg.log",
    )
    lay(tmp_path, *stays, *goes)
    tidy(tmp_path)
    assert files(tmp_path) == set(stays)


def test_of_documentation_the_copyright_files_stay_links_too(tmp_path: Path) -> None:
    lay(tmp_path, "usr/share/doc/kmod/copyright", "usr/share/doc/kmod/README", "usr/share/doc/kmod/examples/x")
    (tmp_path / "usr/share/doc/libkmod2").symlink_to("kmod")
    (tmp_path / "usr/share/doc/kmod/NEWS").symlink_to("README")
    lay(tmp_path, "usr/share/man/man8/kmod.8", "usr/share/locale/de/x.mo", "usr/share/common-licenses/GPL-2")
    tidy(tmp_path)
    assert files(tmp_path) == {
        "usr/share/doc/kmod/copyright",
        "usr/share/doc/libkmod2",
        "usr/share/common-licenses/GPL-2",
    }


def test_a_root_that_lacks_them_is_tidy(tmp_path: Path) -> None:
    tidy(tmp_path)
    assert files(tmp_path) == set()
