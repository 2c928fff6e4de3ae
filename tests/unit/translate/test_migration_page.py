"""docs/migration.md names every field of both tools, and its examples are commands that work."""

import re
from pathlib import Path

from virtfn_host.cli.options import command
from virtfn_host.cli.verbs import VERBS
from virtfn_host.core.translate import networks, selectors, sno

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "migration.md").read_text()


def test_every_field_is_named() -> None:
    fields = {
        *selectors._RESOURCE_FIELDS,
        *selectors._RESOURCE_LEFT_OUT,
        *selectors._SELECTOR_FIELDS,
        *selectors._SELECTOR_OPEN,
        *sno._SPEC_FIELDS,
        *sno._SPEC_LEFT_OUT,
        *(field for table in networks._WORDS.values() for field in table),
        *(field for table in networks._NUMBERS.values() for field in table),
        *(field for table in networks._TEXTS.values() for field in table),
    }
    assert sorted(field for field in fields if f"`{field}`" not in TEXT) == []


def test_every_command_of_the_page_and_of_the_help_is_one() -> None:
    help_text = (ROOT / "host" / "virtfn_host" / "cli" / "help.py").read_text()
    found = re.findall(r"^ *(?:\|\s*)?virtfn (import [^>|#\n]+)", TEXT + help_text, re.MULTILINE)
    assert len(found) >= 5
    for line in found:
        options = command(VERBS).parse_args(line.split())
        assert options.tool in ("sriovdp", "sno")


def test_both_domains_are_those_of_the_code() -> None:
    assert "`intel.com`" in TEXT
    assert f"`{sno.PREFIX}`" in TEXT
