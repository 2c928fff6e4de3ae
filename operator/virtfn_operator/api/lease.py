"""How long the lease of the controllers lasts. Here, because a hook of the chart has to know it without their client.

The rules are in `controller/leader.py`.
"""

LEASE_DURATION = 15.0
"""Seconds without a renewal after which a standby takes the lease."""

RENEW_DEADLINE = 10.0
"""Seconds without a renewal after which a leader ends: on a node short of CPU a whole process stood still for 5 s
(measured by hand), and that between two renewals must not cost the lease. The difference of the two is more than a
write may take (`controller/reconcile.py`)."""
