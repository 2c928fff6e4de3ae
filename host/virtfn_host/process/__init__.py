"""The host process: its socket, who may speak on it, and the agent's end of it."""
