"""The text of `kubectl virtfn --help` and of each verb's help.

Text only, for 80 columns; the options are in `options.py`.
"""

from virtfn_host.cli.prose import Prose, indented

STATUSES = """\
0    done; what was asked for is well, or on its way
1    failed, rejected or not known; or the API server refused the request
2    usage error: change the command line
3    blocked: something waits for a holder of a function
4    nothing matches, or nothing has this name
130  interrupted
"""

READS = "Reads SriovPolicies and SriovNodes. Writes nothing."
READS_MORE = """\
Reads SriovPolicies, SriovNodes and, where that is allowed, Nodes. Writes
nothing."""
RUNS = """\
Runs `virtfn` by `kubectl exec` in the container `host` of the node's agent
pod, which is privileged: you need the permissions to get and list pods and
to create pods/exec there. It only looks; nothing on the node is changed."""


COMMAND = """\
Answer questions about virtfn in a cluster: how policies and nodes stand, why
something is not ready, what a node has, what to do next.

Every answer comes from kubectl, so kubeconfig, login and proxy are those that
kubectl uses.
"""

COMMAND_EPILOG = f"""\
exit status:
{indented(STATUSES)}

environment:
  KUBECTL   the program to run instead of kubectl
  NO_COLOR  if not empty, no colour (https://no-color.org), unless --color is
            given

examples:
  kubectl virtfn check              may virtfn be installed here?
  kubectl virtfn status             policies, nodes and every problem
  kubectl virtfn why fast           why is this policy not ready?
  kubectl virtfn why pod/dpdk-0     why does this pod not get its VF?
  kubectl virtfn topology node-1    a picture of PFs, VFs, pools and pods
  kubectl virtfn plan -f fast.yaml  what would this policy do on every node?

`kubectl virtfn VERB --help` is the manual of a verb.
"""

PROSE = {
    "status": Prose(
        line="show policies and nodes, and every problem with its next step",
        description="""\
Print two tables, policies and nodes, then each problem with the device, what
the node says, and what to do next. Where agents of several versions run, that
is told. What cannot be read of an object is one line; the rest is shown.""",
        files=READS,
        statuses="For status the worst counts: 1 over 3 over 0.",
        examples="""\
kubectl virtfn status
kubectl virtfn status --json | jq -r '.problems[].reason'""",
    ),
    "nodes": Prose(
        line="show the nodes: functions, pools, agent, kubelet",
        description="""\
Print a table of the nodes: PFs, VFs, functions in use, pools with healthy and
all functions, version of the agent, and how the node stands. Nodes of the
cluster without an agent are listed, too.""",
        files=READS_MORE,
        examples="kubectl virtfn nodes",
    ),
    "why": Prose(
        line="explain why a policy, a node or a pod is as it is",
        description="""\
Explain one object in words: how it stands and since when, what it asks for,
what waits for whom, and what to do next.

For a pod: which resource it asks for, which nodes could give it and why the
others cannot (in use, withheld, not offered, cordoned, not selected), and what
scheduler, kubelet and device plugin said.""",
        files=f"{READS_MORE} For a pod also the pod and its events.",
        examples="""\
kubectl virtfn why policy/fast
kubectl virtfn why node/node-1
kubectl virtfn why pod/dpdk-0 -n team-a""",
    ),
    "list": Prose(
        line="list the functions of a node, as `virtfn list` does there",
        description="""\
Print the PCI functions of a node: address, ids, class, driver, IOMMU group,
NUMA node, PF and VFs, and what uses them. The ids are what spec.devices of a
policy names.""",
        files=RUNS,
        statuses="For list, 4 means: no agent on that node, nothing to show, or no such address.",
        examples="""\
kubectl virtfn list node-1
kubectl virtfn list node-1 0000:3b:00.0 --json""",
    ),
    "explain": Prose(
        line="explain whether a function of a node can be passed through",
        description="""\
Print what a PCI function is, which drivers can drive it, what uses it, and
whether it can be passed through to a pod; each obstacle with its remedy.""",
        files=RUNS,
        statuses="For explain, 1 also means: it cannot be passed through; 3: it is in use.",
        examples="kubectl virtfn explain node-1 0000:3b:00.1",
    ),
    "topology": Prose(
        line="draw a node: NUMA nodes, PFs, VFs, pools and pods",
        description="""\
Print a picture of a node's functions: PFs by NUMA node, the VFs of each in runs
that are alike, their driver, pool and holders. --output writes it as SVG.""",
        files="Reads the SriovNode. Writes the file that --output names.",
        examples="""\
kubectl virtfn topology node-1
kubectl virtfn topology node-1 --output node-1.svg""",
    ),
    "plan": Prose(
        line="tell what a policy would do on every node, before it is applied",
        description="""\
Tell what each node would do if the policies of a file were applied, or
policies deleted: the steps, the functions that are disturbed, what waits for
which pods, which pods are evicted, what is rejected and who wins, which other
policies lose, which node gets the first turn and in which order the others
follow. Nothing is changed.

The API server checks the file as `kubectl apply` has it checked. What nodes
are asked is decided by the controller's own functions, what they would do by
the nodes themselves. A node that does not answer within a minute is told as
unknown. The answer is true for the moment in which it is given.""",
        files="""\
Reads SriovPolicies, SriovNodes, Nodes and virtfn's pods. Sends the file to
the API server as a dry run, for which you need the permissions to get, create
and patch SriovPolicies. Runs `virtfn-operator preview` by `kubectl exec` in
the container `agent` of the nodes that are concerned, for which you need the
permissions to get pods and to create pods/exec there. Writes nothing.""",
        statuses="""\
For plan they tell how the policies, and others that lose by them, would stand
at first: 1 also where a node is unknown, 2 also where the file is refused, 4
also where a policy matches nothing.""",
        examples="""\
kubectl virtfn plan -f fast.yaml
kubectl virtfn plan -f fast.yaml --delete slow
kubectl virtfn plan -f fast.yaml --json | jq '.nodes[].turn'""",
    ),
    "rollout": Prose(
        line="show how far a policy is carried out; pause and resume it",
        description="""\
status: print how many nodes of a policy are done, which node has the turn for
a disruptive change, and which wait for one.

pause: no further node of the policy gets a turn; those that have one go on to
their end. resume: nodes get turns again. Both say what they did; where it is
so already, nothing is written.""",
        files="""\
Reads SriovPolicies and SriovNodes. pause and resume also write the annotation
virtfn.dev/paused of the policy, for which you need the permissions to get and
patch SriovPolicies.""",
        statuses="For pause and resume, 0 means: it is so now.",
        examples="""\
kubectl virtfn rollout status fast
kubectl virtfn rollout pause fast
kubectl virtfn rollout resume fast""",
    ),
    "check": Prose(
        line="check whether virtfn can be installed in this cluster",
        description="""\
Look at the cluster before virtfn is installed: versions of API server and
kubelets, the namespace's Pod Security labels, nodes with SR-IOV, other
programs that manage the same devices. Each finding has the command that mends
it.""",
        files="Reads versions, API groups, the namespace, Nodes and DaemonSets. Writes\nnothing, and installs nothing.",
        statuses="For check, 1 means: something must be mended before.",
        examples="""\
kubectl virtfn check
kubectl virtfn check --namespace sriov""",
    ),
    "report": Prose(
        line="write a support bundle, without names and secrets",
        description="""\
Write a tar.gz with policies, SriovNodes, virtfn's pods with their logs, events,
versions and Helm's values. Names of nodes, namespaces, pods and policies are
replaced, each by the same word everywhere. Tokens, environments, annotations,
network addresses, MACs, GUIDs and serial numbers are taken out. Read it before
you pass it on.""",
        files="Reads all of that, as far as you may. Writes the file, for its owner only.",
        examples="""\
kubectl virtfn report
tar -tzf virtfn-report.tar.gz""",
    ),
    "completion": Prose(
        line="print a completion script for a shell",
        description="""\
Print a script that makes Tab complete the program kubectl-virtfn: verbs,
options, names of policies and nodes. Needs shtab
(pip install 'virtfn[kubectl]').""",
        files="Reads and writes nothing; the script asks kubectl for names when Tab is\npressed.",
        examples="source <(kubectl virtfn completion bash)",
    ),
}
