"""The machine: what it has, what it should have, and how to get from one to the other. No Kubernetes here."""
