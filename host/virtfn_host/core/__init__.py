"""Pure decisions: frozen values in, frozen values out.

No module here reads a clock, a file or a socket, or writes a log. The import contracts enforce it.
"""
