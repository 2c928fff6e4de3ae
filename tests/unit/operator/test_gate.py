"""Which requests go out after which failures: few, and one bad object holds up no other."""

import pytest

from virtfn_host.backoff import LIMIT
from virtfn_operator.apiserver.gate import UNANSWERED, Gate

NODES = "/apis/virtfn.dev/v1alpha1/sriovnodes"
OWN = f"{NODES}/n1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(clock=clock)


def attempts(gate: Gate, clock: Clock, status: int, paths: list[str], seconds: float, *, method: str = "GET") -> int:
    """How many of them go out when each is asked for twice a second and fails."""
    sent, end = 0, clock.now + seconds
    while clock.now < end:
        for path in paths:
            if gate.enter(method, path) == 0.0:
                sent += 1
                gate.failed(method, path, status)
        clock.now += 0.5
    return sent


@pytest.mark.parametrize("status", [UNANSWERED, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504])
def test_one_request_that_fails_without_end(gate: Gate, clock: Clock, status: int) -> None:
    assert attempts(gate, clock, status, [OWN], 60.0) <= 9
    assert attempts(gate, clock, status, [OWN], 600.0) <= 45


@pytest.mark.parametrize("status", [UNANSWERED, 401, 403, 404, 409, 422, 429, 500])
def test_many_objects_that_fail_make_no_storm(gate: Gate, clock: Clock, status: int) -> None:
    paths = [f"{NODES}/n{number}" for number in range(100)]
    assert attempts(gate, clock, status, paths, 60.0, method="PATCH") <= 14


@pytest.mark.parametrize("status", [403, 404, 409, 410, 422])
def test_an_object_that_fails_holds_up_no_other(gate: Gate, clock: Clock, status: int) -> None:
    for _ in range(50):
        if gate.enter("PATCH", OWN) == 0.0:
            gate.failed("PATCH", OWN, status)
        assert gate.enter("PATCH", f"{NODES}/n2") == 0.0
        gate.succeeded("PATCH", f"{NODES}/n2")
        clock.now += 1.0


@pytest.mark.parametrize("status", [UNANSWERED, 401, 429, 500, 503])
def test_a_server_that_is_unwell_is_asked_by_one_request_at_a_time(gate: Gate, clock: Clock, status: int) -> None:
    for path in (OWN, NODES, "/api/v1/nodes"):
        gate.failed("GET", path, status)
    assert gate.hold("POST", "/apis/events.k8s.io/v1/namespaces/default/events") > 0.0
    clock.now += LIMIT
    assert gate.enter("GET", OWN) == 0.0
    assert gate.enter("GET", NODES) > 0.0
    gate.succeeded("GET", OWN)
    assert gate.enter("POST", "/apis/events.k8s.io/v1/namespaces/default/events") == 0.0


def test_a_probe_that_never_returns_is_given_up(gate: Gate, clock: Clock) -> None:
    for _ in range(4):
        gate.failed("GET", OWN, 500)
    clock.now += LIMIT
    assert gate.enter("GET", OWN) == 0.0
    assert gate.enter("GET", OWN) > 0.0
    clock.now += 40.0
    assert gate.enter("GET", OWN) == 0.0


@pytest.mark.parametrize(("asked", "waits"), [(5.0, 5.0), (20.0, 20.0), (86_400.0, LIMIT), (0.0, 0.0)])
def test_what_the_server_asks_for_is_respected_within_the_limit(
    gate: Gate, clock: Clock, asked: float, waits: float
) -> None:
    gate.failed("GET", OWN, 429, retry_after=asked)
    assert gate.hold("GET", OWN) == waits
    assert gate.hold("GET", NODES) == waits


def test_the_first_failure_may_be_tried_again_at_once(gate: Gate) -> None:
    gate.failed("GET", OWN, 404)
    assert gate.enter("GET", OWN) == 0.0
    assert gate.enter("POST", NODES) == 0.0


def test_what_is_remembered_is_bounded(gate: Gate) -> None:
    for number in range(6_000):
        gate.failed("GET", f"{NODES}/n{number}", 403)
    assert len(gate._lines) <= 4096


@pytest.mark.parametrize("status", [429, 500, 0])
@pytest.mark.parametrize("number", [2, 16, 64])
def test_requests_that_were_under_way_together_fail_as_one(status: int, number: int) -> None:
    """Else sixteen writes that meet one short trouble would stop all writes for half a minute."""
    gate = Gate(clock=lambda: 100.0)
    paths = [f"/apis/virtfn.dev/v1alpha1/sriovnodes/n{n}" for n in range(number)]
    assert all(gate.enter("PATCH", path) == 0.0 for path in paths)
    for path in paths:
        gate.failed("PATCH", path, status, retry_after=1.0 if status == 429 else None)
    assert gate.hold_others("PATCH", paths[0]) <= 2.0
