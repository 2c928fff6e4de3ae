"""One look at the machine: its functions, what it needs them for, and what it is able to do."""
