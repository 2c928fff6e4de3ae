"""Reads and writes that may block: each happens in another process and has a deadline."""
