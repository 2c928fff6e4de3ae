"""Decides what the answers are, from typed values. Pure; the caller passes the time."""
