"""Background load for a test: a policy is edited, and pods with VFs come and go.

A failure in it is raised when the load ends, in the thread that started it.
"""

from __future__ import annotations

import threading
from itertools import count
from types import TracebackType
from typing import Self

from virtfn_lab.node import Node
from virtfn_lab.product import pod

PACE = 0.5
"""Seconds between two changes; the API server and the node need longer than that for each."""

ALIVE = 3
"""Pods that run at once."""


class Load:
    """Until it ends, starts and deletes pods with a VF of `resource`, and edits `policy` between numbers of VFs."""

    def __init__(self, node: Node, policy: str, counts: tuple[int, ...], resource: str) -> None:
        """Without `counts` the policy stays as it is."""
        self.edits = 0
        self.pods = 0
        self._node = node
        self._policy = policy
        self._counts = counts
        self._resource = resource
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
        if self.pods:
            self._node.cluster.kubectl("delete", "pods", "--ignore-not-found", *map(self._name, range(self.pods)))
        if self._error is not None and error is None:
            raise self._error

    def _work(self) -> None:
        try:
            for number in count():
                if self._ending.wait(PACE):
                    return
                if self._counts:
                    self._node.edit(self._policy, self._counts[number % len(self._counts)])
                    self.edits += 1
                self.pods = number + 1  # noted before it exists, so that the end of the load removes it in any case
                self._node.apply(pod(self._name(number), resource=self._resource))
                if number >= ALIVE:
                    words = ("delete", "pod", self._name(number - ALIVE), "--wait=false", "--ignore-not-found")
                    self._node.cluster.kubectl(*words)
        except Exception as error:  # raised when the load ends
            self._error = error

    @staticmethod
    def _name(number: int) -> str:
        return f"guest-{number}"
