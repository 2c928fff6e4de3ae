"""Exit statuses, the same as those of `virtfn`."""

from virtfn_kubectl.judge.verdict import Stand

DONE, REFUSED, USAGE, BLOCKED, NOTHING_MATCHES, INTERRUPTED = 0, 1, 2, 3, 4, 130

_OF_STAND = {Stand.READY: DONE, Stand.CHANGING: DONE, Stand.BLOCKED: BLOCKED, Stand.WITHOUT_DEVICE: NOTHING_MATCHES}


def status_of(stand: Stand) -> int:
    """Return the exit status of an answer: what failed, is rejected or is not known is 1."""
    return _OF_STAND.get(stand, REFUSED)
