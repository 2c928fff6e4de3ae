"""The commands that the docs show, taken from their code blocks and code within text, and what they are checked by.

A block's line is a command if it begins, behind a prompt, with a program that is named here. In a block that is fenced
as `sh` every line must be one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

from virtfn_host.cli import options as node_options
from virtfn_host.cli.verbs import VERBS as NODE_VERBS
from virtfn_kubectl import options as kubectl_options
from virtfn_kubectl.verbs import VERBS as KUBECTL_VERBS
from virtfn_release.markdown import blocks, spans
from virtfn_release.reference.commands import verbs
from virtfn_release.site import pages

ROOT = Path(__file__).resolve().parents[2]

CHECKED = ("virtfn", "kubectl", "kubectl-virtfn", "helm", "make")

UNCHECKED = {
    "ip": "of the node's distribution",
    "nvme": "of the node's distribution; needs a card",
    "unshare": "the lab's own test starts it",
    **dict.fromkeys(("grep", "sed", "echo", "tar", "install", "jq"), "of every distribution"),
    **dict.fromkeys(("docker", "pip"), "changes the machine or a registry"),
    ".venv/bin/python": "the lab and pytest: tests of their own start them",
    "source": "what it reads is checked as a command of its own",
    **dict.fromkeys(("for", "while", "done"), "a loop; what is in it is a command of its own"),
}
"""Programs whose command lines are not checked, each with the reason."""

NO_COMMANDS = {
    "virtfn has no note of the device nodes that this container was given": "a message of the device plugin",
}
"""Code within text that begins like a command."""

KUBECTL_READS = ("get", "describe", "explain", "edit")
KUBECTL_RESOURCES = (*KUBECTL_READS, "delete", "wait", "label", "annotate", "patch")
KUBECTL_OTHERS = (
    "apply", "auth", "cordon", "create", "debug", "exec", "logs", "rollout", "top", "uncordon", "version"
)  # fmt: skip
RESOURCES = frozenset(
    re.findall(
        r"\w+",
        "pod pods node nodes namespace namespaces daemonset daemonsets deployment deployments crd events endpointslices"
        " customresourcedefinitions customresourcedefinition configmap secret lease job",
    )
)
OTHERS_KINDS = frozenset(["sriovnetworknodepolicies", "sriovnetworks", "sriovibnetworks", "ovsnetworks"])
"""Kinds of the SR-IOV network operator, in the page about moving from it."""
HELM = frozenset(
    re.findall(
        r"\w+",
        "install upgrade uninstall template history rollback list lint test status get show package pull push registry",
    )
)
FOLDERS = ("examples/", "charts/", "crds/", "packaging/", "docs/", "lab/", "tests/", "requirements/")
"""Folders of the repository: a path below one must exist. dist/ is what commands write."""

SAMPLES = {
    "NODE": "node-1",
    "ADDRESS": "0000:3b:00.1",
    "VERB": "list",
    "SHELL": "bash",
    "TOOL": "sno",
    "SECONDS": "20",
    "REVISION": "1",
}
"""What stands for words that a reader replaces; any other is taken in lower case."""

USAGES = "docs/reference/commands.md"
"""Has the usage of each verb, with brackets around what may be left out; the parsers themselves gave that."""
_USAGE = re.compile(r" \[|\w\|\w")
DECISIONS = "docs/decisions/"
"""Name commands that were not chosen, too; only their blocks are checked."""

_CHART = ROOT / "charts/virtfn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One command as a page shows it."""

    page: str
    line: int
    words: tuple[str, ...]
    whole: bool
    """Whether it stands in a block: it can be typed as it is. Within text it may lack arguments."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


def doc_pages() -> Mapping[str, str]:
    """Return the pages of the docs by path; without the changes of earlier versions, whose commands may be gone."""
    return {name: (ROOT / name).read_text() for name in sorted(pages(ROOT)) if not name.startswith("CHANGE")}


def shown(texts: Mapping[str, str]) -> Iterator[Shown]:
    """Yield the commands of pages, those of programs that are not checked included."""
    for page, text in texts.items():
        for block in blocks(text):
            if block.language in (None, "", "sh", "console"):
                for line, logical in _logical(block.text):
                    for words in () if page == USAGES and _USAGE.search(logical) else _commands(logical):
                        yield Shown(page=page, line=block.line + line, words=words, whole=True)
        for line, span in () if page.startswith(DECISIONS) else spans(text):
            if span.split(" ")[0] in CHECKED and " " in span and span not in NO_COMMANDS:
                for words in _commands(span)[:1]:
                    yield Shown(page=page, line=line, words=words, whole=False)


def unknown_lines(texts: Mapping[str, str]) -> list[str]:
    """Return the lines of blocks fenced as `sh` that begin with no program that is named here."""
    return [
        f"{page}:{block.line + line}: {logical}"
        for page, text in texts.items()
        for block in blocks(text)
        if block.language == "sh"
        for line, logical in _logical(block.text)
        if not _commands(logical)
    ]


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, those that end with a backslash or a bar joined with the next."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines()):
        start = start if joined else number
        joined = f"{joined} {line.strip()}" if joined else line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1].rstrip()
        elif joined and not joined.endswith("|"):
            yield start, joined
            joined = ""


def _commands(line: str) -> list[tuple[str, ...]]:
    """Return the commands of a line of shell; none if it does not begin with a program that is named here."""
    line = re.sub(r"^[$#] ", "", line)
    line = re.split(r" {2,}(?![-|])", line)[0]  # an explanation beside it
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    try:
        tokens = list(reader)
    except ValueError:  # an open quote: text, or a command of several lines
        tokens = line.split()
    found: list[list[str]] = [[]]
    for token in tokens:
        if token in (">", "<", ">>"):
            found[-1].append(token)
        elif set(token) <= set("();<>|&"):
            found.append([])
        else:
            found[-1].append(token)
    simple = [_simple(words) for words in found]
    named = [words for words in simple if words and (words[0] in CHECKED or words[0] in UNCHECKED)]
    return [tuple(words) for words in named] if named and simple[0] and simple[0] == named[0] else []


def _simple(words: list[str]) -> list[str]:
    """Return a command without settings before it, keywords and redirections."""
    while words and (words[0] in ("do", "then", "sudo") or re.match(r"[A-Z_]+=", words[0])):
        words = words[1:]
    return [
        word
        for at, word in enumerate(words)
        if word not in "><>>" and (not at or words[at - 1] not in (">", "<", ">>"))
    ]


def wrong(command: Shown) -> str:
    """Return what is wrong with a command; nothing if it is right, or of a program that is not checked."""
    words = [_filled(word) for word in command.words]
    match words:
        case ["virtfn", *rest]:
            return _parsed(node_options.command(NODE_VERBS), rest, whole=command.whole)
        case ["kubectl-virtfn", *rest] | ["kubectl", "virtfn", *rest]:
            return _parsed(kubectl_options.command(KUBECTL_VERBS), rest, whole=command.whole)
        case ["kubectl", *rest]:
            return _wrong_kubectl(rest, written=_written(command.page))
        case ["helm", *rest]:
            return _wrong_helm(rest, whole=command.whole)
        case ["make", *rest]:
            return _wrong_make(rest)
    return ""


def _filled(word: str) -> str:
    """Return a word with samples for what a reader replaces: NODE, pod/POD, --context=NAME."""
    return re.sub(r"(?<![\w.-])[A-Z][A-Z-]+(?![\w.=])", lambda name: SAMPLES.get(name[0], name[0].lower()), word)


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str], *, whole: bool) -> str:
    words = [word for word in words if whole or word != "..."]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parser.parse_args(words)
    except SystemExit as ended:
        text = said.getvalue().strip().rpartition("\n")[2]
        if ended.code and (whole or not re.search(r"arguments are required|expected one argument", text)):
            return text
        return _unknown_options(parser, words)
    return ""


def _unknown_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """Return options that a verb does not have; for a command that lacks an argument, which the parser says first."""
    known = verbs(parser)[words[0]].format_help() if words and words[0] in verbs(parser) else parser.format_help()
    wrong_ones = [word for word in words if word.startswith("-") and not re.search(rf"(?<!\S){word}\b", known)]
    return f"no option {wrong_ones[0]}" if wrong_ones else ""


def _wrong_kubectl(words: list[str], written: frozenset[str]) -> str:
    all_words = words
    words, flags = _without_flags(words)
    if not words:
        return ""
    verb, *rest = words
    if verb not in (*KUBECTL_RESOURCES, *KUBECTL_OTHERS):
        return f"kubectl has no verb {verb} that the docs may show; add it if it has"
    for name in flags.get("-f", ()):
        if name != "-" and name not in written and not (ROOT / name).exists():
            return f"there is no file {name}"
    kinds = rest[:1] if verb in KUBECTL_RESOURCES and "--raw" not in all_words else []
    if verb == "auth":
        kinds = rest[2:3]
    elif verb in ("rollout", "logs", "debug") and "/" in rest[-1]:
        kinds = rest[-1:]
    for kind in (part for words in kinds for part in words.split(",")):
        plural = kind.partition("/")[0].partition(".")[0]
        if plural not in _ours() | RESOURCES | OTHERS_KINDS:
            return f"no resource {plural}"
    return _missing_path(rest)


def _without_flags(words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words without options, and the values of options that have one in the next word."""
    left: list[str] = []
    flags: dict[str, list[str]] = {}
    ahead = iter(words)
    for word in ahead:
        if word == "--":
            break
        if word in ("-n", "-f", "-o", "-l", "-c", "--namespace", "--field-selector", "--context", "--selector"):
            flags.setdefault(word, []).append(next(ahead, ""))
        elif not word.startswith("-"):
            left.append(word)
    return left, flags


def _ours() -> frozenset[str]:
    names: set[str] = set()
    for path in (ROOT / "crds").glob("*.yaml"):
        text = path.read_text()
        names |= set(re.findall(r"^    (?:plural|singular): (\w+)$", text, re.MULTILINE))
        names |= {name for found in re.findall(r"shortNames: \[([\w, ]+)\]", text) for name in found.split(", ")}
    return frozenset(names)


def _written(page: str) -> frozenset[str]:
    """Return the files that commands of a page write, by `> FILE`."""
    return (
        frozenset(re.findall(r"> ([\w./-]+\.\w+)", (ROOT / page).read_text()))
        if (ROOT / page).is_file()
        else frozenset()
    )


def _missing_path(words: Sequence[str]) -> str:
    for word in words:
        if word.startswith(FOLDERS) and not (ROOT / word).exists():
            return f"there is no {word}"
    return ""


def _wrong_helm(words: list[str], *, whole: bool) -> str:
    if words[0] not in HELM:
        return f"helm has no verb {words[0]} that the docs may show; add it if it has"
    settings = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--set"]
    for setting in settings if whole else ():
        if found := wrong_setting(setting):
            return found
    return _missing_path(words)


def wrong_setting(text: str) -> str:
    """Return what is wrong with the text of `helm --set`: `NAME=VALUE`, several with commas, a list in braces."""
    values: dict[str, Any] = yaml.load((_CHART / "values.yaml").read_text(), Loader=yaml.SafeLoader)
    for name, value in re.findall(r"([\w.\\/-]+)=(\{[^}]*\}|[^,]*)", text):
        *above, last = re.split(r"(?<!\\)\.", name)
        place: Any = values
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or (last not in place and place != {}):
            return f"the chart has no value {name}"
        place[last] = yaml.safe_load(re.sub(r"^\{(.*)\}$", r"[\1]", value))
    schema = yaml.safe_load((_CHART / "values.schema.json").read_text())
    return "; ".join(error.message for error in Draft7Validator(schema).iter_errors(values))


def _wrong_make(words: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    known = makefile + (ROOT / "release/virtfn_release/__main__.py").read_text()
    for word in words:
        name, is_setting, value = word.partition("=")
        if is_setting:
            if f"$({name})" not in known and f'"{name}"' not in known and f"{name}=" not in known:
                return f"the Makefile does not use {name}"
            if name == "ARGS" and (found := _wrong_kubectl(shlex.split(value), frozenset())):
                return found
        elif word not in targets:
            return f"no target {word}"
    return ""
