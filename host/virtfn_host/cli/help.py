"""The prose of `virtfn --help`: for each verb a line, a description, what it reads and writes, and examples.

Text only; options stand in `options.py`. Written for 80 columns.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """What the help of one verb says beside its options."""

    line: str
    """For the list of verbs."""
    description: str
    files: str
    examples: str
    statuses: str = ""
    """What is special in this verb's exit statuses."""

    @property
    def whole_description(self) -> str:
        """The line first, as man pages have it: shells show the first line beside a verb."""
        return f"{self.line[0].upper()}{self.line[1:]}.\n\n{self.description}"

    @property
    def epilog(self) -> str:
        """Everything that comes after the options."""
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
1    the machine said no; the reason's word stands before the message
2    usage: what was typed, or the policy file, must change
3    blocked: somebody holds a function; it was not touched
4    nothing matches
130  interrupted
"""

READS = """\
Reads /sys, /proc and, to name who uses a function, the open files of every
process. Writes nothing and needs no root, but only root sees every user:
who cannot be told is shown as such."""

WRITES = """\
Writes driver_override, bind, unbind, drivers_probe, sriov_numvfs and
sriov_drivers_autoprobe under /sys/bus/pci, each with a deadline. Runs
modprobe for drivers that are not loaded. Needs root. Before the first touch
it notes how things were in the journal, /var/lib/virtfn/journal.json, which
survives kill -9 and reboots. Only one process writes on a machine at a
time: it locks the folder /var/lib/virtfn. The in-use lock is held for each
function that is taken from its driver: one that is in use, or of which
nobody can tell, is left alone. Ctrl-C stops before the next step, never
inside one."""

COMMAND = """\
SR-IOV virtual functions (VFs) and whole PCI functions of this machine: see
them, learn what hinders passthrough, give them to a vfio driver, and give
them back exactly as they were. Works on any PCI function of any vendor,
without a cluster. A function in use is never touched.

Each verb is a step that people do by hand with lspci, readlink, modprobe and
echo.
"""

COMMAND_EPILOG = f"""\
exit status:
{_indented(STATUSES)}

On failure a reason out of a closed list stands before the message:
`virtfn: VfsInUse: ...`.

files:
  /var/lib/virtfn/journal.json  how every function was before the first touch
  /var/lib/virtfn/              locked while one process writes here

environment:
  NO_COLOR  when not empty, no colour (https://no-color.org); --color goes
            before it

examples:
  virtfn list                       what can make VFs, and who uses what
  virtfn explain 0000:3b:10.0       can it be passed through? if not, why?
  virtfn bind 0000:3b:10.0          give it to vfio-pci
  virtfn restore --all              give everything back
  virtfn plan -f policy.yaml        what apply would do
  source <(virtfn completion bash)  complete verbs, options and addresses

`virtfn VERB --help` says more of each.
"""

PROSE = {
    "list": Prose(
        line="functions that can make VFs, their VFs, drivers, IOMMU groups and users",
        description="""\
List PCI functions, one a line, the VFs of a PF indented below it. Without
options those that can make VFs, their VFs, and every other function that is
on a vfio driver or that somebody touched.

  ADDRESS    domain:bus:device.function, as `lspci -D` prints it
  ID         vendor:device
  CLASS      base class and subclass; 0200 is an Ethernet controller, 0108 NVMe
  DRIVER     the driver that has it now
  MODULES    modules of the running kernel that could drive it, as `lspci -k`
             lists them, and vfio drivers made for it; vfio-pci, which takes
             any function, is left out
  GROUP      IOMMU group, the unit that is passed through; - is none
  NUMA       NUMA node; - is none
  FUNCTION   what it is: a PF with so many of its VFs made, a VF with its
             index, or neither; and its network devices
  IN USE BY  who holds it, or what this machine needs it for""",
        files=f"""{READS}
Reads modules.alias of the running kernel; with -v or --json also pci.ids,
where the machine has it.""",
        statuses="4 here: nothing is shown, or an ADDRESS that was named is not there.",
        examples="""\
virtfn list
virtfn list --all -v        all that could be handed out, with names
virtfn list 0000:3b:00.0    one PF and its VFs
virtfn list --json | jq -r '.functions[] | select(.holders == []) | .address'""",
    ),
    "explain": Prose(
        line="what one function is, and whether it can be passed through; if not, why not",
        description="""\
Say what a PCI function is, which drivers could have it, who uses it, and
whether it can be passed through to a pod or a virtual machine. If not, every
hindrance is told with what would remove it: an IOMMU that is off and where to
switch it on, an IOMMU group that is shared and with whom, a driver or module
that is missing, a user, something this machine needs it for. For a PF also
whether VFs of it could be passed through.

It only says: the boot command line is never edited, nothing is rebooted.""",
        files=f"""{READS}
Reads /proc/cmdline, the names of the firmware's tables, modules.alias,
os-release and pci.ids.""",
        statuses="0 here: it, or VFs of it, can be passed through.\n3 here: only its users are in the way.",
        examples="""\
virtfn explain 0000:3b:10.0
virtfn explain 3b:10.0    the domain 0000 may be left out""",
    ),
    "bind": Prose(
        line="give one function to a driver, and look that it is there",
        description="""\
Give one VF, or a whole function, to a driver: load its module, take the
function from the driver that has it, set driver_override, bind, and look
whether it is there. Refused when it is in use, when this machine needs it,
and when its IOMMU group could not be passed through.

The driver is vfio-pci, a variant of it that was made for the device (`virtfn
explain` lists them under `could drive it`), any other vfio driver by its
name, or `kernel`: the one the kernel picks by itself.""",
        files=WRITES,
        examples="""\
virtfn bind 0000:3b:10.0
virtfn bind 0000:3b:10.0 --driver mlx5_vfio_pci
virtfn bind 0000:3b:10.0 --driver kernel""",
    ),
    "restore": Prose(
        line="give back what was touched, exactly as it was before",
        description="""\
Give a function back as the journal says it was before virtfn's first touch:
driver, driver_override, number of VFs, autoprobe. With the address of a PF,
the PF with all its VFs; with that of a VF, that one. What is in use is left
alone and named; run it again when it is free.""",
        files=f"""{WRITES}
A journal that cannot be read is kept as it is, and nothing is given back
(JournalUnreadable).""",
        examples="""\
virtfn restore 0000:3b:10.0
virtfn restore --all""",
    ),
    "plan": Prose(
        line="what apply would do; writes nothing",
        description="""\
Print the steps that `virtfn apply` would carry out for these policies, in
their order, and what is in the way of the rest. A machine that is as the
policies ask has nothing to do.""",
        files=f"{READS}\nReads the policy file and the journal, /var/lib/virtfn/journal.json.",
        examples="""\
virtfn plan -f policy.yaml
kubectl get svp fast -o yaml | virtfn plan -f -""",
    ),
    "apply": Prose(
        line="do it, step by step, and look whether it is so",
        description="""\
Carry out the steps that `virtfn plan` prints, each as it is told, then look
at the machine again: done is what the machine shows, not what was written.
The first failure stops the steps of its function; other functions go on. A
write that is blocked in the kernel ends it all. What earlier policies asked
and these do not is given back.""",
        files=WRITES,
        examples="""\
virtfn apply -f policy.yaml
virtfn apply -f policy.yaml --json | jq '.report.results[].outcome'""",
    ),
    "verify": Prose(
        line="whether the machine is as the policies ask",
        description="""\
Compare the machine with these policies and print every difference. Who uses
what does not matter.""",
        files=f"{READS}\nReads the policy file and the journal, /var/lib/virtfn/journal.json.",
        statuses="1 here: there are differences.",
        examples="virtfn verify -f policy.yaml",
    ),
    "inventory": Prose(
        line="all that is known of the functions, as JSON, for a bug report",
        description="""\
Print everything virtfn knows of this machine's PCI functions as one JSON
document: what a plan is made from. It holds addresses, ids, drivers, IOMMU
groups, names of network devices and mount points that a function is needed
for, the boot id and the kernel's release; no serial numbers, no network
addresses.""",
        files=READS,
        examples="virtfn inventory > inventory.json",
    ),
    "completion": Prose(
        line="a script that makes a shell complete virtfn",
        description="""\
Print a script for the shell: with it, Tab completes verbs, options, drivers,
files and the addresses of this machine's PCI functions. Needs shtab (pip
install 'virtfn[cli]').""",
        files="Reads and writes nothing; the script lists /sys/bus/pci when Tab is pressed.",
        examples="""\
source <(virtfn completion bash)
virtfn completion bash > /etc/bash_completion.d/virtfn
virtfn completion zsh > /usr/local/share/zsh/site-functions/_virtfn
virtfn completion fish > ~/.config/fish/completions/virtfn.fish""",
    ),
}
