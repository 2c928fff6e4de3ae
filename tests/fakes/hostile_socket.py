"""The proof `socket`: a million hostile messages to a real host process, under strace, leave nothing behind."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hostile import Outcome, run


def hostile_socket(number: int, seed: int, say: Callable[[str], None]) -> Outcome:
    """Send that many messages and print what was counted, including violations."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        outcome = run(number, seed, Path(folder), say)
    for title, counted in (("messages", outcome.kinds), ("answers", outcome.answers), ("calls", outcome.calls)):
        for what, times in sorted(counted.items()):
            say(f"{times:9} {title}: {what}")
    say(
        f"seed {seed}; {outcome.kibibytes} KiB of memory at most; {'strace saw all' if outcome.traced else 'NO STRACE'}"
    )
    for violation in outcome.violations:
        say(f"violated: {violation}")
    return outcome
