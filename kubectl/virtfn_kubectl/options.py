"""The command line of `kubectl virtfn`: verbs and options. The help's longer texts are in `help.py`."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from virtfn_host.cli.parser import FILES, Add, Command, add_shell, address, complete_with, parser_of
from virtfn_kubectl.completion import NODES, POLICIES
from virtfn_kubectl.help import COMMAND, COMMAND_EPILOG, PROSE, STATUSES

PROGRAM = "kubectl virtfn"


def command(verbs: Mapping[str, Callable[..., int]]) -> argparse.ArgumentParser:
    """Return the parser of the whole command; its result has the verb's function as `verb`."""
    return parser_of(
        Command(
            program=PROGRAM,
            description=COMMAND,
            epilog=COMMAND_EPILOG,
            statuses=STATUSES,
            prose=PROSE,
            options=_OF_VERB,
            common=_for_kubectl,
        ),
        verbs,
    )


def _for_kubectl(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--context", metavar="NAME", help="the context of the kubeconfig, as for kubectl")
    complete_with(verb.add_argument("--kubeconfig", metavar="FILE", help="the kubeconfig, as for kubectl"), FILES)


def _namespace(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("-n", "--namespace", type=_name, metavar="NAME", help=text)


OF_VIRTFN = "namespace of virtfn's pods (default: found by their labels)"


def _nothing(_: argparse.ArgumentParser) -> None:
    """Add no option of its own."""


def _why(verb: argparse.ArgumentParser) -> None:
    text = "policy/NAME, node/NAME or pod/NAME; a NAME alone if only one of them has it"
    complete_with(verb.add_argument("what", metavar="POLICY|NODE|POD", help=text), POLICIES)
    _namespace(verb, "namespace of the pod (default: that of the context)")


def _node(verb: argparse.ArgumentParser) -> None:
    complete_with(verb.add_argument("node", type=_name, metavar="NODE", help="name of the node"), NODES)


def _list(verb: argparse.ArgumentParser) -> None:
    _node(verb)
    text = "show only these; a PF includes its VFs"
    verb.add_argument("addresses", type=address, metavar="ADDRESS", nargs="*", help=text)
    verb.add_argument("-a", "--all", action="store_true", help="also show functions that can only be handed out whole")
    verb.add_argument("-v", "--verbose", action="store_true", help="add what stays when names move, and names of ids")
    _namespace(verb, OF_VIRTFN)


def _explain(verb: argparse.ArgumentParser) -> None:
    _node(verb)
    verb.add_argument("address", type=address, metavar="ADDRESS", help="PCI address, such as 0000:3b:00.1")
    _namespace(verb, OF_VIRTFN)


def _topology(verb: argparse.ArgumentParser) -> None:
    _node(verb)
    text = "write the picture to FILE as SVG, instead of printing it"
    complete_with(verb.add_argument("-o", "--output", type=Path, metavar="FILE.svg", help=text), FILES)


def _rollout(verb: argparse.ArgumentParser) -> None:
    text = "status: how far the policy is carried out; pause: no further node gets a turn; resume: they get turns again"
    verb.add_argument("action", choices=("status", "pause", "resume"), metavar="status|pause|resume", help=text)
    complete_with(verb.add_argument("policy", metavar="POLICY", help="name of the policy"), POLICIES)


def _plan(verb: argparse.ArgumentParser) -> None:
    text = "file with SriovPolicies to be applied, YAML or JSON; - is standard input; may be given several times"
    complete_with(
        verb.add_argument("-f", "--file", type=Path, action="append", default=[], metavar="POLICY.yaml", help=text),
        FILES,
    )
    text = "a policy to be deleted; may be given several times"
    complete_with(verb.add_argument("--delete", action="append", default=[], metavar="POLICY", help=text), POLICIES)
    _namespace(verb, OF_VIRTFN)


def _check(verb: argparse.ArgumentParser) -> None:
    _namespace(verb, "namespace that virtfn shall have (default: virtfn-system)")


def _report(verb: argparse.ArgumentParser) -> None:
    text = "write the bundle to FILE (default: virtfn-report.tar.gz)"
    default = Path("virtfn-report.tar.gz")
    complete_with(verb.add_argument("-o", "--output", type=Path, default=default, metavar="FILE", help=text), FILES)
    _namespace(verb, OF_VIRTFN)


def _completion(verb: argparse.ArgumentParser) -> None:
    add_shell(verb)
    verb.set_defaults(context=None, kubeconfig=None)


_OF_VERB: Mapping[str, Add] = {
    "status": _nothing,
    "nodes": _nothing,
    "why": _why,
    "list": _list,
    "explain": _explain,
    "topology": _topology,
    "plan": _plan,
    "rollout": _rollout,
    "check": _check,
    "report": _report,
    "completion": _completion,
}


def _name(text: str) -> str:
    """Refuse what no object is called: the text becomes part of a path and of a query."""
    if not text or len(text) > 253 or not set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-"):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a Kubernetes object")
    return text
