"""Decisions as values.

Nothing in this room reads a clock, a file or a socket, or logs; the import contracts hold it to that.
"""
