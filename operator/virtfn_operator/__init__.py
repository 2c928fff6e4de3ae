"""virtfn's part in the cluster: the controller merges policies, the agent of each node carries them out."""
