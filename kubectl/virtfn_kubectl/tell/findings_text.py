"""The text of `check`."""

from collections.abc import Sequence

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.preflight import Finding, Level
from virtfn_kubectl.tell.words import wrapped


def findings_text(findings: Sequence[Finding], paint: Paint = PLAIN) -> str:
    """Return one line for each finding, and the command that mends it; commands are not broken into lines."""
    lines = []
    for finding in findings:
        begin, *rest = wrapped(finding.text, "      ", "")
        lines += [f"{_level(finding.level, paint)}  {begin.lstrip()}", *rest]
        lines += [f"        {finding.next}"] if finding.next else []
    bad = sum(finding.level is Level.BAD for finding in findings)
    good = "virtfn can be installed" + (", as far as was looked" if any(it.unseen for it in findings) else "")
    verdict = f"{bad} to be mended before virtfn is installed" if bad else good
    return "\n".join([*lines, "", paint.bad(verdict) if bad else paint.good(verdict)])


def _level(level: Level, paint: Paint) -> str:
    word = f"{level:<4}"
    match level:
        case Level.OK:
            return paint.good(word)
        case Level.NOTE:
            return paint.held(word)
    return paint.bad(word)
