"""Who uses a function: the in-use lock, and PCI writes that are blocked."""
