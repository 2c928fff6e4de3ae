"""docs/logs.md names the options and fields that there are."""

import re
from pathlib import Path

from virtfn_host.logs.lines import NAMES
from virtfn_host.logs.start import FORMATS, LEVELS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "logs.md").read_text()


def test_the_fields_are_those_of_the_code() -> None:
    table = TEXT[TEXT.index("| Field |") :]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(firsts)) == list(NAMES)


def test_the_options_are_those_of_the_code() -> None:
    (level,) = re.findall(r"\| `--log-level` .*", TEXT)
    (form,) = re.findall(r"\| `--log-format` .*", TEXT)
    assert set(LEVELS) < set(re.findall(r"`(\w+)`", level))
    assert set(FORMATS) < set(re.findall(r"`(\w+)`", form))
