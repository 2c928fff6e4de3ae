"""Completion scripts: a real bash sources the bash script and completes with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from virtfn_host.cli.options import DONE, USAGE
from virtfn_host.cli.verbs import run

ASK = """
source "$1"
COMP_LINE="$2" COMP_POINT=${#2} COMP_WORDBREAKS="$3"
# What bash itself would do: words end at blanks, and at colons where COMP_WORDBREAKS says so.
read -r -a COMP_WORDS <<< "${2//:/ : }"
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
"$(complete -p virtfn | sed 's/.*-F \\([^ ]*\\).*/\\1/')" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
DEVICES = sorted(path.name for path in Path("/sys/bus/pci/devices").glob("*"))


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["completion", "bash"]) == DONE
    path = tmp_path / "completion"
    path.write_text(capsys.readouterr().out)
    return path


def completed(script: Path, line: str, breaks: str = " \t\n\"'><=;|&(:") -> list[str]:
    done = subprocess.run(["bash", "-c", ASK, "bash", script, line, breaks], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_verbs_complete(script: Path) -> None:
    assert completed(script, "virtfn ex") == ["explain"]
    assert completed(script, "virtfn re") == ["restore"]


def test_options_and_their_values_complete(script: Path) -> None:
    assert completed(script, "virtfn bind --dr") == ["--driver"]
    assert completed(script, "virtfn list --color ne") == ["never"]
    assert "vfio-pci" in completed(script, "virtfn bind 0000:01:10.0 --driver vfio-p")


def test_files_complete(script: Path) -> None:
    assert completed(script, f"virtfn plan -f {script.parent}/compl") == [str(script)]


@pytest.mark.skipif(not DEVICES, reason="THIS MACHINE HAS NO PCI FUNCTION, so no address can complete")
@pytest.mark.parametrize("verb", ["explain", "bind", "restore", "list"])
def test_addresses_complete(script: Path, verb: str) -> None:
    assert completed(script, f"virtfn {verb} ") == DEVICES


@pytest.mark.skipif(not DEVICES, reason="THIS MACHINE HAS NO PCI FUNCTION, so no address can complete")
def test_an_address_completes_after_its_colons(script: Path) -> None:
    """bash replaces only what stands behind the last colon, unless the colon breaks no words."""
    address = DEVICES[0]
    before, last = address.rsplit(":", 1)
    assert completed(script, f"virtfn explain {address[:-1]}") == [last]
    assert address in completed(script, f"virtfn explain {before}:", breaks=" \t\n")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_that_lists_addresses(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == DONE
    assert "/sys/bus/pci/devices" in capsys.readouterr().out


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert run(["completion", "bash"]) == USAGE
    assert "pip install 'virtfn[cli]'" in capsys.readouterr().err
