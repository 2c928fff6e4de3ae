"""A candidate whose every attempt fails asks seldom, whatever the failure is."""

from typing import Any

import pytest

from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.leader import Candidate, LeaseConflictError


class Refusing:
    """A store that shows no lease, or one that ran out, and takes none."""

    def __init__(self, lease: dict[str, Any] | None, error: Exception) -> None:
        self.lease, self.error, self.requests = lease, error, 0

    def read(self) -> dict[str, Any] | None:
        self.requests += 1
        return self.lease

    def write(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        self.requests += 1
        raise self.error


class Minute:
    """Stands for the event that ends a campaign: set after a minute of waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= 60.0


@pytest.mark.parametrize("lease", [None, {"metadata": {}, "spec": {"holderIdentity": ""}}], ids=["none", "free"])
@pytest.mark.parametrize("error", [LeaseConflictError("moved"), KubeError(403, "no"), OSError("gone")], ids=repr)
def test_a_candidate_that_is_refused_asks_seldom(lease: dict[str, Any] | None, error: Exception) -> None:
    store, minute = Refusing(lease, error), Minute()
    candidate = Candidate(store, "a", monotonic=lambda: minute.now)
    candidate.campaign(minute, lambda: None, lambda: None)  # type: ignore[arg-type]
    assert 4 <= store.requests <= 24  # 40 without a back-off
