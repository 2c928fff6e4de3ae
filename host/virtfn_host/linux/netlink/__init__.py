"""Speaks rtnetlink in a child process: link settings of VFs and addresses of netdevs."""
