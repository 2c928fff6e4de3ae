"""The logs of all processes: their options, how a line looks, and what limits the number of lines.

Each step and each failure is one line, as text for people or as one JSON object for a log store (`--log-format`). In
text, the lines of a traceback follow indented. A line has fields by which lines of several processes can be put
together: the node, the turn of the agent's loop, and the policies for which something is done. The agent sends them to
the host process with each plan, which decides nothing by them. Text shows turn and policy behind the message, because
the message names the PF, and the pod tells the node.

Two filters limit the number of lines: `repeats.py` those of a lasting failure, `seldom.py` those that a client can
cause.
"""
