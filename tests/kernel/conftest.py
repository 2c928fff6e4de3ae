"""The tests of guest/ run inside the emulated machine, not here."""

import os

collect_ignore = [] if os.environ.get("VIRTFN_IN_GUEST") else ["guest"]
