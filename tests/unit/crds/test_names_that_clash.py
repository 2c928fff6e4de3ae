"""Where no API server refuses a policy whose names clash, the code does: the same policies, the same two names."""

import re
from pathlib import Path

import pytest
import yaml

from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.policy import read_policy

ROOT = Path(__file__).resolve().parents[3]
CLASHES = sorted((ROOT / "tests/cluster/bad_policies").glob("names-clash-*.yaml"))


@pytest.mark.parametrize("path", CLASHES, ids=lambda path: path.stem)
def test_a_policy_that_the_schema_refuses_for_its_names_is_rejected_by_the_code_with_both(path: Path) -> None:
    text = path.read_text()
    found = re.match(r"# want: resourceName: (\S+) and (\S+) become one variable in a container; rename one\n", text)
    assert found is not None
    rejected = read_policy(yaml.safe_load(text)).config
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.NAME_TAKEN
    assert found[1] in rejected.message
    assert found[2] in rejected.message


def test_every_kind_of_clash_is_among_them() -> None:
    assert len(CLASHES) == 8
