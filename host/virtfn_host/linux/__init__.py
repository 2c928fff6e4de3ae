"""The shell around the core: everything that reads or writes the machine.

A room imports only from rooms that come later in this list: `act`, `use`, `look`, `netlink` and `touch`, `read`.
"""
