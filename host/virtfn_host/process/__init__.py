"""The host process (`serve`), its socket (`connections`, `protocol`), and the agent's end of it (`client`)."""
