"""pip itself, as the images' build calls it, on a lock file of ours with one digit changed."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from virtfn_release.locks import LockError, parse


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return folder


def install(wheels: Path, lock: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "lock.txt").write_text(lock)
    words = ["install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile", "--no-index"]
    where = ["--find-links", wheels, "--target", folder / "target", "--requirement", folder / "lock.txt"]
    call = [sys.executable, "-m", "pip", *words, *map(str, where)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def sha256(wheels: Path) -> str:
    return hashlib.sha256((wheels / "tiny-1.0-py3-none-any.whl").read_bytes()).hexdigest()


def test_the_file_with_the_locked_hash_is_installed(wheels: Path, tmp_path: Path) -> None:
    lock = f"tiny==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{sha256(wheels)}\n"
    assert parse(lock)
    done = install(wheels, lock, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target/tiny.py").exists()


def test_one_digit_changed_is_refused(wheels: Path, tmp_path: Path) -> None:
    right = sha256(wheels)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    done = install(wheels, f"tiny==1.0 --hash=sha256:{wrong}\n", tmp_path)
    assert done.returncode != 0
    assert "hash" in done.stderr.lower()
    assert not (tmp_path / "target/tiny.py").exists()


def test_a_line_without_a_hash_is_refused_by_pip_and_by_us(wheels: Path, tmp_path: Path) -> None:
    done = install(wheels, "tiny==1.0\n", tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "target/tiny.py").exists()
    with pytest.raises(LockError):
        parse("tiny==1.0\n")
