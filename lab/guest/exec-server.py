"""Run shell commands as root on a node of the lab, for its tests; reachable only inside the lab's network namespace.

One JSON line in, `{"command": "..."}`; one out, `{"status": 0, "output": "..."}`.
"""

import json
import socketserver
import subprocess


class Answer(socketserver.StreamRequestHandler):
    """Runs one command for each connection."""

    def handle(self) -> None:
        """Run the command to its end; return both outputs as one."""
        asked = json.loads(self.rfile.readline())
        done = subprocess.run(
            ["/bin/sh", "-c", asked["command"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        answer = {"status": done.returncode, "output": done.stdout.decode(errors="replace")}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    """Serves several connections at a time."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("0.0.0.0", 10999), Answer).serve_forever()
