"""The text of `virtfn --help` and of each verb's help: what it does, what it reads and writes, exit status, examples.

Text only, for 80 columns; the options are in `options.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """The help of one verb, without its options."""

    line: str
    """One line in the imperative, for the list of verbs."""
    description: str
    files: str
    examples: str
    statuses: str = ""
    """Exit statuses that mean something special for this verb."""

    @property
    def whole_description(self) -> str:
        """Return line and description, the line first: shells show the first line beside a verb."""
        return f"{self.line[0].upper()}{self.line[1:]}.\n\n{self.description}"

    @property
    def epilog(self) -> str:
        """Return the sections below the options."""
        statuses = f"{STATUSES}\n{self.statuses.strip()}" if self.statuses else STATUSES
        parts = (
            ("what it reads and writes", self.files),
            ("exit status", statuses),
            ("examples", self.examples),
        )
        return "\n\n".join(f"{title}:\n{_indented(text)}" for title, text in parts)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())


STATUSES = """\
0    done
1    failed or refused; the message starts with the reason
2    usage error: change the command line or the policy file
3    blocked: a function is in use, and was not touched
4    nothing matches
130  interrupted
"""

READS = """\
Reads /sys, /proc and the open files of every process, to find what uses a
function. Writes nothing. Works without root, but only root sees every use;
what cannot be checked is shown as unknown."""

WRITES = """\
Writes driver_override, bind, unbind, drivers_probe, sriov_numvfs and
sriov_drivers_autoprobe under /sys/bus/pci; each write has a deadline. Sets
link settings of VFs by rtnetlink. Runs modprobe for drivers that are not
loaded. Needs root.

Before the first change, the original state is saved in the journal,
/var/lib/virtfn/journal.json, which survives kill -9 and reboots. Only one
process writes at a time: it locks the folder /var/lib/virtfn. A function is
unbound only under the in-use lock; one that is or may be in use is left
alone. Ctrl-C stops before the next step, never inside a step."""

COMMAND = """\
Manage the SR-IOV virtual functions (VFs) and whole PCI functions of this
machine: list them, explain what prevents passthrough, bind them to a vfio
driver, and restore their original state. Works with any PCI function of any
vendor, and without a cluster. A function in use is never touched.

Each verb replaces steps done by hand with lspci, readlink, modprobe and echo.
"""

COMMAND_EPILOG = f"""\
exit status:
{_indented(STATUSES)}

A message about a failure starts with a reason, one word of a closed list:
`virtfn: VfsInUse: ...`.

files:
  /var/lib/virtfn/journal.json  the original state of what virtfn has changed
  /var/lib/virtfn/              locked while a virtfn process writes

environment:
  NO_COLOR  if not empty, no colour (https://no-color.org), unless --color is
            given

examples:
  virtfn list                       functions that can make VFs, and their users
  virtfn explain 0000:3b:10.0       can it be passed through? if not, why?
  virtfn bind 0000:3b:10.0          bind it to vfio-pci
  virtfn restore --all              restore the original state of everything
  virtfn plan -f policy.yaml        show what apply would do
  source <(virtfn completion bash)  complete verbs, options and addresses

`virtfn VERB --help` is the manual of a verb.
"""

PROSE = {
    "list": Prose(
        line="list functions that can make VFs, with their VFs, drivers and users",
        description="""\
List PCI functions, one per line, the VFs of a PF indented below it. By
default: functions that can make VFs, their VFs, and every other function that
is on a vfio driver or that virtfn has changed.

  ADDRESS    domain:bus:device.function, as in `lspci -D`
  ID         vendor:device
  CLASS      base class and subclass; 0200 is an Ethernet controller, 0108 NVMe
  DRIVER     the driver that it is bound to
  MODULES    modules of the running kernel that can drive it, as in `lspci -k`,
             and vfio drivers made for it; not vfio-pci, which can drive any
             function
  GROUP      IOMMU group, the unit of passthrough; - means none
  NUMA       NUMA node; - means none
  FUNCTION   PF and how many of its VFs are made, VF and its index, or no
             SR-IOV; then its network devices
  IN USE BY  pods and processes that use it, or what this machine needs it for""",
        files=f"""{READS}
Reads modules.alias of the running kernel; with -v or --json also pci.ids, if
this machine has it.""",
        statuses="For list, 4 means: nothing to show, or a given ADDRESS is not there.",
        examples="""\
virtfn list
virtfn list --all -v        every function that can be handed out, with names
virtfn list 0000:3b:00.0    one PF and its VFs
virtfn list --json | jq -r '.functions[] | select(.holders == []) | .address'""",
    ),
    "explain": Prose(
        line="explain whether one function can be passed through, and if not, why",
        description="""\
Show what a PCI function is, which drivers can drive it, what uses it, and
whether it can be passed through to a pod or a virtual machine. If not, each
obstacle is named with its remedy: an IOMMU that is off (and where to switch
it on), other functions in the same IOMMU group, a missing driver or module, a
pod or process that uses it, or something that this machine needs it for. For
a PF, explain also says whether VFs of it can be passed through.

It changes nothing: no boot option is edited, and nothing is rebooted.""",
        files=f"""{READS}
Reads /proc/cmdline, the names of the firmware's tables, modules.alias,
os-release and pci.ids.""",
        statuses="For explain, 0 means: it, or VFs of it, can be passed through; 1: it cannot;\n"
        "3: it could be, but is in use.",
        examples="""\
virtfn explain 0000:3b:10.0
virtfn explain 3b:10.0    the domain 0000 may be left out""",
    ),
    "bind": Prose(
        line="bind one function to a driver, and check the result",
        description="""\
Bind one VF or whole function to a driver: load the driver's module, unbind
the function from its present driver, set driver_override, bind, and check
that the driver has it. Refused if the function is in use, if this machine
needs it, or if its IOMMU group cannot be passed through.

The driver is vfio-pci, a variant of it made for the device (`virtfn explain`
lists these under `could drive it`), another vfio driver by name, or `kernel`:
the driver that the kernel picks.""",
        files=WRITES,
        examples="""\
virtfn bind 0000:3b:10.0
virtfn bind 0000:3b:10.0 --driver mlx5_vfio_pci
virtfn bind 0000:3b:10.0 --driver kernel""",
    ),
    "restore": Prose(
        line="restore the original state of one function, or of all",
        description="""\
Restore a function to its state before virtfn's first change, as the journal
has it: driver, driver_override, number of VFs, autoprobe and link settings.
The address of a PF restores the PF with all its VFs, the address of a VF only
that VF. A function in use is named and left alone; run restore again when it
is free.""",
        files=f"""{WRITES}
If the journal cannot be read, it is kept as it is, and nothing is restored
(JournalUnreadable).""",
        examples="""\
virtfn restore 0000:3b:10.0
virtfn restore --all""",
    ),
    "plan": Prose(
        line="show what apply would do; write nothing",
        description="""\
Print the steps that `virtfn apply` would carry out for these policies, in
order, and what blocks the rest. If the machine matches the policies, there is
nothing to do.""",
        files=f"{READS}\nReads the policy file and the journal, /var/lib/virtfn/journal.json.",
        examples="""\
virtfn plan -f policy.yaml
kubectl get svp fast -o yaml | virtfn plan -f -""",
    ),
    "apply": Prose(
        line="apply the plan step by step, then verify the result",
        description="""\
Carry out the steps that `virtfn plan` prints, and report each as it ends.
Then read the machine again: success is what the machine shows, not what was
written. A failed step ends the steps of its PF or whole function; the others
go on. A write that blocks in the kernel ends the run. What earlier policies
set up and these no longer ask for is given back.""",
        files=WRITES,
        examples="""\
virtfn apply -f policy.yaml
virtfn apply -f policy.yaml --json | jq '.report.results[].outcome'""",
    ),
    "verify": Prose(
        line="check whether the machine is as the policies ask",
        description="""\
Compare the machine with these policies and print every difference. Whether a
function is in use does not matter.""",
        files=f"{READS}\nReads the policy file and the journal, /var/lib/virtfn/journal.json.",
        statuses="For verify, 1 also means: there are differences.",
        examples="virtfn verify -f policy.yaml",
    ),
    "inventory": Prose(
        line="print everything known of the functions as JSON, for a bug report",
        description="""\
Print everything that virtfn knows of this machine's PCI functions, the input
of a plan, as one JSON document. It has addresses, ids, drivers, IOMMU groups,
names of network devices, mount points that depend on a function, the boot id
and the kernel's release; no serial numbers and no network addresses.""",
        files=READS,
        examples="virtfn inventory > inventory.json",
    ),
    "completion": Prose(
        line="print a completion script for a shell",
        description="""\
Print a script that makes Tab complete verbs, options, drivers, files and the
addresses of this machine's PCI functions. Needs shtab
(pip install 'virtfn[cli]').""",
        files="Reads and writes nothing; the script lists /sys/bus/pci when Tab is pressed.",
        examples="""\
source <(virtfn completion bash)
virtfn completion bash > /etc/bash_completion.d/virtfn
virtfn completion zsh > /usr/local/share/zsh/site-functions/_virtfn
virtfn completion fish > ~/.config/fish/completions/virtfn.fish""",
    ),
}
