"""One look at the machine: its functions, what it needs, what it is able to do."""
