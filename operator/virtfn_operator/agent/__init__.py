"""The agent of one node: decides what the host process does, and tells pods and people what is there."""
