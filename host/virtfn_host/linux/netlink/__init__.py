"""rtnetlink: link settings of VFs and addresses of netdevs, asked by a child process."""
