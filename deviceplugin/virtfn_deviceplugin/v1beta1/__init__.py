"""Wire types of the kubelet's device plugin API, generated from api.proto by `make stubs`; never edited by hand."""
