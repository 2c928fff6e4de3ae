"""From another tool's configuration to SriovPolicies: `virtfn import`. It reads no file and prints nothing."""
