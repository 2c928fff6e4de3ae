"""Documents of ours as an earlier version wrote them."""

import json

from virtfn_host.core.values.codec import encode


def of_version_1(value: object) -> str:
    """As version 1 wrote it: without a checksum."""
    return json.dumps({"version": 1, "kind": type(value).__name__, "value": encode(value)}, separators=(",", ":"))
