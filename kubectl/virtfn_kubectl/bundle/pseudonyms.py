"""Replaces names by words: each name by the same word everywhere, as `node-1`, so that a report can still be read.

Names are compared without regard to case and to `-`, `_` and `.`: a resource name is `virtfn.dev/my-pool` in an object
and `PCIDEVICE_VIRTFN_DEV_MY_POOL` in a log. A name is found as a part of a longer word, too, from sign to sign.
"""

import re
from collections.abc import Iterable

from virtfn_host.core.values.reasons import Reason

KNOWN = frozenset(
    {"default", "kube-system", "kube-public", "kube-node-lease", "virtfn-system", "virtfn", "kernel", "vfio-pci", "pod"}
    | {"node", "policy", "namespace", "host", "agent", "controller", "deviceplugin", "dev", "true", "false", "none"}
    | {reason.lower() for reason in Reason}
)
"""Words that virtfn itself writes: as a name they tell nothing, and to replace them would spoil every sentence."""

LONGEST = 64
"""Parts of a name: 253 characters have no more than 127, and a name is rarely longer than ten."""

_TOKEN = re.compile(r"[A-Za-z0-9]+(?:[-._][A-Za-z0-9]+)*")
_SIGN = re.compile(r"([-._])")


class Pseudonyms:
    """The words for names. Names are added first, then texts are replaced."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._longest = 0

    def add(self, kind: str, names: Iterable[str]) -> None:
        """Add names of a kind, like `node`; a name that is known as another kind keeps its first word."""
        for name in names:
            key = _key(name)
            if not key or key in KNOWN or key in self._words:
                continue
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            self._also(key, f"{kind}-{self._numbers[kind]}")
            host = name.partition(".")[0]
            if kind == "node" and host != name and _key(host) not in KNOWN and len(host) > 2:
                self._words.setdefault(_key(host), self._words[key])  # logs have the host's name without its domain

    def _also(self, key: str, word: str) -> None:
        self._words[key] = word
        self._longest = max(self._longest, min(LONGEST, key.count("-") + 1))

    def word(self, name: str) -> str | None:
        """Return the word for a text that is a name as a whole, or None."""
        return self._words.get(_key(name))

    def replaced(self, text: str) -> str:
        """Return a text with every known name replaced."""
        return _TOKEN.sub(lambda match: self._token(match[0]), text) if self._words else text

    def _token(self, token: str) -> str:
        if (whole := self._words.get(_key(token))) is not None:
            return whole
        parts = _SIGN.split(token)  # words at even places, the signs between them at odd ones
        found, at = [], 0
        while at < len(parts):
            end = self._end(parts, at)
            found.append(self._words[_key("".join(parts[at:end]))] if end > at else parts[at])
            at = max(end, at + 1)
            if at < len(parts) and at % 2:
                found.append(parts[at])
                at += 1
        return "".join(found)

    def _end(self, parts: list[str], at: int) -> int:
        """Return where the longest known name that begins here ends; `at` if none begins here."""
        ends = range(min(len(parts), at + 2 * self._longest - 1), at, -2)
        return next((end for end in ends if (end - at) % 2 and _key("".join(parts[at:end])) in self._words), at)


def _key(name: str) -> str:
    return name.lower().replace(".", "-").replace("_", "-")
