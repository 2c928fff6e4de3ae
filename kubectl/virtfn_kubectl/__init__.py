"""`kubectl virtfn`: answers people's questions about virtfn in a cluster, from what the API server has of it."""
