"""The cluster's half of virtfn: the controller merges policies, the agent of each node carries them out there."""
