"""`kubectl virtfn completion SHELL`: the script that shtab makes from the parser. Only this file imports shtab.

The script completes the program `kubectl-virtfn`, and says how kubectl itself completes its plugins: kubectl asks a
program `kubectl_complete-virtfn`, which is not ours to install. Names of policies and nodes are asked of kubectl.
"""

import argparse

from virtfn_kubectl.errors import MistakeError

POLICIES = {
    "bash": "_virtfn_policies",
    "zsh": "_virtfn_policies",
    "fish": "(kubectl get svp -o name | string split -f2 /)",
}
NODES = {"bash": "_virtfn_nodes", "zsh": "_virtfn_nodes", "fish": "(kubectl get svn -o name | string split -f2 /)"}

_FUNCTIONS = {
    "bash": """
_virtfn_named() { kubectl get "$1" -o name --request-timeout=2s 2>/dev/null | cut -d/ -f2; }
_virtfn_policies() { compgen -W "$(_virtfn_named svp)" -- "$1"; }
_virtfn_nodes() { compgen -W "$(_virtfn_named svn)" -- "$1"; }
_virtfn_files() { compgen -f -- "$1"; }
""",
    "zsh": """
_virtfn_named() { compadd -- ${(f)"$(kubectl get $1 -o name --request-timeout=2s 2>/dev/null | cut -d/ -f2)"} }
_virtfn_policies() { _virtfn_named svp }
_virtfn_nodes() { _virtfn_named svn }
""",
    "fish": "",
}


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that a shell sources.

    Raises:
        MistakeError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise MistakeError("completion needs shtab (pip install 'virtfn[kubectl]')") from error
    parser.prog = "kubectl-virtfn"
    made: str = shtab.complete(parser, shell, root_prefix="kubectl_virtfn", preamble=_FUNCTIONS[shell])
    return made
