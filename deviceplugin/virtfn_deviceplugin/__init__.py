"""The kubelet's half of virtfn: offers the functions of the pool file as schedulable resources."""
