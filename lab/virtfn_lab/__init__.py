"""A whole Kubernetes cluster with emulated SR-IOV hardware on one machine, from package registries only.

Nothing here is shipped to users; docs/lab.md tells how it is used and what it measures.
"""
