"""Run a host process's server in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virtfn_host.process.serve import Host, Server


@contextmanager
def serving(path: Path, host: Host) -> Iterator[None]:
    """Serve this host on a socket; both end with the context."""
    with Server(path, host) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            host.end()
