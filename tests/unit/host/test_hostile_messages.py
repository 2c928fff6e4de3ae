"""A sample of `make prove PROOFS=socket`: hostile messages to a real host process; checks what it opens and starts."""

import warnings
from pathlib import Path

from hostile import run


def test_whatever_is_said_nothing_outside_is_written_or_started_and_nothing_is_left(tmp_path: Path) -> None:
    outcome = run(1500, 20261128, tmp_path)
    print(outcome)
    assert outcome.violations == ()
    assert outcome.answers["error"] > 500
    assert outcome.answers["report"] > 50
    if outcome.traced:
        assert any(call.startswith("execve") for call in outcome.calls)
    else:
        warnings.warn("there is no strace here: nobody saw what was opened and started", stacklevel=1)
