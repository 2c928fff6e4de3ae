"""The `virtfn` command: its verbs, command line and output."""
