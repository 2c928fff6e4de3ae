"""The cluster's half of virtfn: a controller that merges policies, and an agent on each node that carries them out."""
