"""The `virtfn` command: verbs, what may be typed, and what is printed."""
