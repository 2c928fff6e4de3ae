"""Translates objects of virtfn.dev/v1alpha1 between JSON and typed values. Pure: no kopf, no I/O, no clock."""

GROUP = "virtfn.dev"
VERSION = "v1alpha1"
POLICIES = "sriovpolicies"
NODES = "sriovnodes"
POLICY_KIND = "SriovPolicy"
NODE_KIND = "SriovNode"
API_VERSION = f"{GROUP}/{VERSION}"
