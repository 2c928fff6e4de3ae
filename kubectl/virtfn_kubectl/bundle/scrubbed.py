"""Takes secrets out of a text: what looks like a key, a password or an address is replaced by a word in brackets.

Too much is better than too little: a log line with `(hex)` in it can still be read. PCI addresses stay.
"""

import re
from collections.abc import Callable

_PAIR = r"[0-9a-fA-F]{2}"
_KEYS = (
    r"(?:passw(?:or)?d|passphrase|passwort|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential"
    r"|authorization|cookie|serial[-_ ]?(?:number|no)?|permanent[-_]?mac|\bmac|guid|\bsn)[\w.-]{0,64}"
)
"""The end of a key's name: what stands before it in the same word does not matter, and is not searched."""
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s,;&}\]"']+)"""
_QUOTE = r"(\\*[\"'])"
_OWN_ACCOUNT = r"system:serviceaccount:[\w.-]{1,253}:virtfn-"

_Replace = str | Callable[[re.Match[str]], str]


def _blob(match: re.Match[str]) -> str:
    """Replace a long word if it mixes capitals, small letters and digits, as encoded bytes do and names do not."""
    word = match[0]
    kinds = (str.isupper, str.islower, str.isdigit)
    return "(secret)" if all(any(map(kind, word)) for kind in kinds) else word


_RULES: tuple[tuple[re.Pattern[str], _Replace], ...] = (
    (re.compile(r"-----BEGIN [^-\n]{0,64}-----.*?(?:-----END [^-\n]{0,64}-----|\Z)", re.DOTALL), "(pem)"),
    # Who asked, in the API server's words: kubectl's user is a person. Then home folders.
    (
        re.compile(rf"\b(User {_QUOTE})(?!{_OWN_ACCOUNT})[^\n]{{1,512}}?\2(?=[\s.,:;]|\Z)", re.IGNORECASE),
        r"\1(user)\2",
    ),
    (re.compile(r"(\bserver \()(?!the server )[^()\n]{1,253}?(?= has asked )"), r"\1(user)"),
    # Names of a kubeconfig, and of who signed a certificate, in kubectl's words.
    (re.compile(rf"\b((?:context|cluster|auth info|authority certificate) {_QUOTE})[^\n]{{1,512}}?\2"), r"\1(name)\2"),
    (re.compile(r"(\bspecified context: )[^\s\"'\\]+"), r"\1(name)"),
    (
        re.compile(r"(\b(?:client-cert|client-key|certificate-authority) \S{1,512} for )\S{1,512}(?= due to )"),
        r"\1(name)",
    ),
    (
        re.compile(r"((?:/home|/Users|\b[A-Z]:\\+Users)[/\\]+)(?:[^/\\\n:\"']{1,64}(?=[/\\])|[^/\\\s:\"']+)"),
        r"\1(user)",
    ),
    (re.compile(r"\beyJ[\w-]{4,}\.[\w.-]*"), "(token)"),
    (re.compile(r"\b(bearer|basic|negotiate)\s+[^\s,;\"']+", re.IGNORECASE), r"\1 (secret)"),
    (
        re.compile(rf"({_KEYS}[\"']?\s{{0,8}}[:=]\s{{0,8}})(?:(?:bearer|basic)\s+)?{_VALUE}", re.IGNORECASE),
        r"\1(secret)",
    ),
    (re.compile(rf"(\bserial[-_ ]?number\s+|\bpassword\s+(?:is\s+)?){_VALUE}", re.IGNORECASE), r"\1(secret)"),
    (
        re.compile(r"(--?[\w-]{0,64}(?:password|token|secret|key)[\w-]{0,64}\s{1,8})[^\s-]\S*", re.IGNORECASE),
        r"\1(secret)",
    ),
    (re.compile(r"://[^/\s@]{1,512}@"), "://(secret)@"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,128}(?:\.[\w-]{1,63}){1,8}"), "(email)"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bgh[pousr]_\w{16,}|\bxox[abprs]-[\w-]{8,}|\bglpat-[\w-]{8,}"), "(key)"),
    (re.compile(r"\bAIza[\w-]{16,}|\bsk-[\w-]{16,}|\bhvs\.[\w-]{16,}"), "(key)"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "(uuid)"),
    (re.compile(rf"(?<![0-9A-Za-z])(?:{_PAIR}[:-]){{5,31}}{_PAIR}(?![0-9A-Za-z])"), "(mac)"),
    (re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}(?![0-9A-Za-z])"), "(mac)"),
    (re.compile(r"\benx[0-9a-fA-F]{12}\b"), "enx(mac)"),
    (re.compile(r"(?<![0-9A-Za-z.])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z]|\.\d)"), "(ip)"),
    (re.compile(r"(?<![0-9A-Za-z:.])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![0-9A-Za-z:])"), "(ip)"),
    (re.compile(r"(?<![0-9A-Za-z:.])(?:[0-9a-fA-F]{1,4}:){0,6}:(?:[0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4}"), "(ip)"),
    (re.compile(r"(?<![0-9A-Za-z])(?:0x)?[0-9a-fA-F]{12,}(?![0-9A-Za-z])"), "(hex)"),
    (re.compile(r"[A-Za-z0-9+/_=-]{20,}"), _blob),
    # After addresses: a port behind a word in brackets looks like a part of one.
    (re.compile(r"(\blookup |\bhttps?://(?:\(secret\)@)?)[A-Za-z0-9][\w.-]*"), r"\1(host)"),
)


def scrubbed(text: str) -> str:
    """Return a text without what looks like a secret or an address of a network."""
    for pattern, word in _RULES:
        text = pattern.sub(word, text)
    return text
