"""A process that was told to end does so, whatever holds it off; what is done last holds it off least of all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

STUCK = "threading.Event().wait()"
LAST = {
    "done": "lambda: print('done', flush=True)",
    "hangs": "threading.Event().wait",
    "fails": "lambda: 1 / 0",
}


@pytest.mark.parametrize("last", LAST)
def test_a_process_that_waits_for_ever_ends(last: str) -> None:
    text = f"import threading\nfrom virtfn_operator.ending import end_within\nend_within(0.2, 7, {LAST[last]})\n{STUCK}"
    began = time.monotonic()
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    ended = subprocess.run((sys.executable, "-c", text), capture_output=True, text=True, timeout=30, env=environ)
    assert ended.returncode == 7
    assert time.monotonic() - began < 10.0
    assert ended.stdout == ("done\n" if last == "done" else "")


def test_a_process_that_ends_by_itself_is_left_alone() -> None:
    text = "from virtfn_operator.ending import end_within\nend_within(30.0, 7, lambda: None)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    began = time.monotonic()
    assert subprocess.run((sys.executable, "-c", text), check=False, env=environ).returncode == 0
    assert time.monotonic() - began < 10.0
