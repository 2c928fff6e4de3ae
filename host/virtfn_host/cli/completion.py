"""`virtfn completion SHELL`: the completion script that shtab makes from the parser. Only this file imports shtab.

What completes an argument is defined here and set on the parser's actions. The shell functions read /sys themselves, so
that pressing Tab starts no Python.
"""

import argparse

from virtfn_host.cli.policy import UsageError

ADDRESSES = {"bash": "_virtfn_addresses", "zsh": "_virtfn_addresses", "fish": "(command ls /sys/bus/pci/devices)"}
DRIVERS = {
    "bash": "_virtfn_drivers",
    "zsh": "_virtfn_drivers",
    "fish": "(begin; printf '%s\\n' kernel vfio-pci; command ls /sys/bus/pci/drivers | grep vfio; end | sort -u)",
}
FOLDERS = {"bash": "_virtfn_dirs", "zsh": "_files -/", "fish": "(__fish_complete_directories)"}

_FUNCTIONS = {
    "bash": """
_virtfn_addresses() { compgen -W "$(command ls /sys/bus/pci/devices 2>/dev/null)" -- "$1"; }
_virtfn_drivers() { compgen -W "kernel vfio-pci $(command ls /sys/bus/pci/drivers 2>/dev/null | grep vfio)" -- "$1"; }
_virtfn_files() { compgen -f -- "$1"; }
_virtfn_dirs() { compgen -d -- "$1"; }
""",
    "zsh": """
_virtfn_addresses() { compadd -- ${(f)"$(command ls /sys/bus/pci/devices 2>/dev/null)"} }
_virtfn_drivers() { compadd -- kernel vfio-pci ${(f)"$(command ls /sys/bus/pci/drivers 2>/dev/null | grep vfio)"} }
""",
    "fish": "",
}

_BASH_COLONS = """
# bash ends a word at a colon, and PCI addresses have colons. So the words are joined first, and the part up to the last
# colon is removed from the answers.
_virtfn_whole_words() {
  local -a joined=()
  local rest="${COMP_LINE:0:COMP_POINT}" index word
  read -r -a joined <<< "$rest"
  [[ -z "$rest" || "$rest" == *[[:space:]] ]] && joined+=("")
  local -a COMP_WORDS=("${joined[@]}")
  local COMP_CWORD=$(( ${#joined[@]} - 1 ))
  _shtab_virtfn
  word="${joined[COMP_CWORD]}"
  if [[ "$word" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    local before="${word%"${word##*:}"}"
    for index in "${!COMPREPLY[@]}"; do COMPREPLY[index]="${COMPREPLY[index]#"$before"}"; done
  fi
}
complete -o bashdefault -F _virtfn_whole_words virtfn
"""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that a shell sources.

    Raises:
        UsageError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UsageError("completion needs shtab (pip install 'virtfn[cli]')") from error
    made: str = shtab.complete(parser, shell, root_prefix="virtfn", preamble=_FUNCTIONS[shell])
    return made + (_BASH_COLONS if shell == "bash" else "")
