"""Wire types of the kubelet's podresources API, generated from podresources.proto by `make stubs`; never edited."""
