"""`virtfn import`: read another tool's configuration, print the policies, and say what has no equivalent.

What becomes of it is decided in `core/translate`. The text is YAML that kubectl applies as it is: what needs a person's
decision is printed as comments.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from virtfn_host.cli.lines import line_in
from virtfn_host.cli.options import DONE, NOTHING_MATCHES
from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import UsageError, parse, read_text
from virtfn_host.core.tell.yaml_text import comment, commented, yaml_text
from virtfn_host.core.translate import sno, sriovdp
from virtfn_host.core.translate.asked import Translated, Translation
from virtfn_host.core.translate.item import UnfitError
from virtfn_host.core.values.resource_names import RESOURCE_DOMAIN, is_domain

TOOLS: Mapping[str, tuple[Callable[[Sequence[object], str], Translation], str]] = {
    "sriovdp": (sriovdp.translate_sriovdp, sriovdp.PREFIX),
    "sno": (sno.translate_sno, sno.PREFIX),
}
"""The translation of each tool's configuration, and the domain of its resource names where nothing says another."""


def run_import(options: argparse.Namespace, output: Output) -> int:
    """Print what becomes of a file.

    Raises:
        UsageError: the file is no configuration of this tool; the message has the line and the reason.
    """
    translate, domain = TOOLS[options.tool]
    found = _translation(options.file, translate, _domain(options.resource_prefix or domain))
    if output.as_json:
        output.document(_document(found))
    else:
        output.say("\n".join(_text(found)))
    _sum_up(found, output)
    return DONE if all(one.usable for one in found.results) else NOTHING_MATCHES


def _domain(prefix: str) -> str:
    if not is_domain(prefix):
        raise UsageError(f"--resource-prefix: {prefix!r} is not a domain like vendor.example")
    return prefix


def _translation(path: Path, translate: Callable[[Sequence[object], str], Translation], domain: str) -> Translation:
    text = read_text(path)
    documents = parse(path, text, "a configuration: objects in JSON or YAML")
    try:
        return translate(documents, domain)
    except UnfitError as error:
        raise UsageError(f"{path}: {_where(text, error)}: {error}") from error


def _where(text: str, error: UnfitError) -> str:
    line, block = line_in(text, error.place)
    if error.inner_line is None:
        return f"line {line}"
    return f"line {line + error.inner_line}" if block else f"line {line}, line {error.inner_line} of its text"


# --- printing --------------------------------------------------------------------------------------------------------


def _text(found: Translation) -> Iterator[str]:
    for note in (*_about_domains(found), *found.notes):
        yield comment(note, other="# ")
    for one in found.results:
        yield "---"
        yield comment(f"From {one.source}.")
        for text in one.notes:
            yield comment(text, first="# - ")
        for text in one.open:
            yield comment(f"to be decided by you: {text}", first="# - ")
        if one.document is None:
            yield comment("There is no policy for it.")
        elif one.open:
            yield comment("Take the comment signs away when that is done:")
        if one.document is not None:
            yield commented(yaml_text(one.document)) if one.open else yaml_text(one.document)


def _about_domains(found: Translation) -> Iterator[str]:
    """Yield the chart's value without which the policies would be refused."""
    domains = sorted({name.partition("/")[0] for name in _resource_names(found)} - {RESOURCE_DOMAIN})
    if domains:
        yield f"Resource names keep their domains. Allow them: --set 'resourceDomains={{{','.join(domains)}}}'"


def _resource_names(found: Translation) -> Iterator[str]:
    for one in found.results:
        spec = one.document["spec"] if one.document is not None and one.document["kind"] == "SriovPolicy" else {}
        for pool in spec.get("virtualFunctions", {}).get("pools", [spec.get("wholeFunctions")]):
            if pool is not None:
                yield pool["resourceName"]


def _document(found: Translation) -> dict[str, Any]:
    return {"results": [_result(one) for one in found.results], "notes": [*_about_domains(found), *found.notes]}


def _result(one: Translated) -> dict[str, Any]:
    return {
        "source": one.source,
        "usable": one.usable,
        "object": one.document,
        "notes": list(one.notes),
        "toBeDecided": list(one.open),
    }


def _sum_up(found: Translation, output: Output) -> None:
    """Say on stderr what a reader of piped output would miss."""
    if lost := list(dict.fromkeys(one.source for one in found.results if not one.usable)):
        shown = "; ".join(lost[:4]) + (f"; and {len(lost) - 4} others" if len(lost) > 4 else "")
        output.complain(f"to be decided by you, and not for use as printed: {shown}")
    if any(one.notes for one in found.results):
        output.complain("read the comments above each object: they name what is not carried over")
