"""The controller: policies and nodes in, one config per node and one status per policy out. Touches no machine."""
