"""The text of `virtfn --help` and of each verb's help: what it does, what it reads and writes, exit status, examples.

Text only, for 80 columns; the options are in `options.py`.
"""

from virtfn_host.cli.prose import Prose, indented

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

READS_JOURNAL = f"""\
{READS}
Reads the policy file and the journal, /var/lib/virtfn/journal.json. Only root
may read the journal, so once virtfn has changed something, this needs root."""

WRITES = """\
Writes driver_override, bind, unbind, drivers_probe, sriov_numvfs and
sriov_drivers_autoprobe under /sys/bus/pci; each write has a deadline. Sets
link settings of VFs, and MTUs, by rtnetlink. Runs modprobe for drivers that
are not loaded. Needs root.

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
{indented(STATUSES)}

A message about a failure starts with a reason, one word of a closed list:
`virtfn: VfsInUse: ...`.

files:
  /var/lib/virtfn/journal.json  the original state of what virtfn has changed
  /var/lib/virtfn/config.json   what `virtfn boot` makes again
  /var/lib/virtfn/              locked while a virtfn process writes

environment:
  NO_COLOR  if not empty, no colour (https://no-color.org), unless --color is
            given
  VIRTFN_SYS, VIRTFN_DEV, VIRTFN_PROC
            where this machine's /sys, /dev and /proc are, if elsewhere; set in
            the container `host`

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
has it: driver, driver_override, number of VFs, autoprobe, link settings and
MTUs. The address of a PF restores the PF with all its VFs, the address of a
VF only that VF. A PF that is again as it was leaves the journal. A function
in use is named and left alone; run restore again when it is free.""",
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
        files=READS_JOURNAL,
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
        files=READS_JOURNAL,
        statuses="For verify, 1 also means: there are differences.",
        examples="virtfn verify -f policy.yaml",
    ),
    "inventory": Prose(
        line="print everything known of the functions as JSON, for a bug report",
        description="""\
Print everything that virtfn knows of this machine's PCI functions, the input
of a plan, as one JSON document. It has addresses, ids, drivers, IOMMU groups,
names of network devices, mount points that depend on a function, the boot id
and the kernel's release; no serial numbers and no network addresses. Each of
these, also in a name such as enx525400123456, is replaced by a made-up one,
the same one everywhere. A policy that selects by one matches only with that.""",
        files=READS,
        examples="virtfn inventory > inventory.json",
    ),
    "boot": Prose(
        line="make the VFs of the last verified config again, before the kubelet",
        description="""\
After a reboot, make the VFs again that the agent of this node verified last,
and bind them, so that pods need not wait for the agent. One line for each PF.
It waits for no network and no other process, and ends in bounded time.

It makes less than the agent, which does the rest later: only VFs of PFs that
were verified with this config and are the same cards. VFs that are there
already are not disturbed; whole functions, and VFs with link settings, are
left to the agent.""",
        files=f"""{WRITES}

Reads /var/lib/virtfn/config.json, which the host process writes. If it cannot
be read, nothing is made (exit status 1); without it there is nothing to do.
Needs Python's standard library only.""",
        statuses="For boot, 1 also means: a PF was left alone; the message says why.\n"
        "0 also means: there was nothing to make again.",
        examples="""\
virtfn boot
virtfn boot --wait 60    for a card whose driver takes long to load""",
    ),
    "import": Prose(
        line="print another tool's configuration as SriovPolicies",
        description="""\
Read the configuration of another tool, and print SriovPolicies that keep its
resource names, and NetworkAttachmentDefinitions for its networks. TOOL is

  sriovdp  the SR-IOV network device plugin: config.json, or its ConfigMap,
           which may have one configuration for each node
  sno      the SR-IOV network operator: SriovNetworkNodePolicy, SriovNetwork,
           SriovIBNetwork and OVSNetwork objects, one or many, also as a list
           of `kubectl get -o yaml`

Comments above each object say what is not carried over. Where a policy would
take other functions than the input, a comment says what you must decide, and
the object itself is a comment, too; kubectl does not apply it.""",
        files="Reads the file. Writes nothing, and looks neither at this machine nor at a\ncluster.",
        statuses="For import, 2 also means: the file is no configuration of this tool; the\n"
        "message has the line and the reason. 4 means: something needs your decision,\n"
        "or has no equivalent.",
        examples="""\
virtfn import sriovdp config.json > policies.yaml
kubectl get configmap -n kube-system sriovdp-config -o yaml |
  virtfn import sriovdp -
kubectl get -A -o yaml sriovnetworknodepolicies,sriovnetworks |
  virtfn import sno -
virtfn import sno policies.yaml --json | jq '.results[].notes'""",
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
