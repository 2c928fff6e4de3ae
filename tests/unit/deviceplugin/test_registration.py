"""How long a resource waits before it registers again, and what is told of how it stands with the kubelet."""

import pytest

from virtfn_deviceplugin.registration import LASTED, LONGEST_PAUSE, Pacing, Standing, summary
from virtfn_host.backoff import Backoff


def pacing() -> Pacing:
    return Pacing(backoff=Backoff(first=0.1, limit=LONGEST_PAUSE, jitter=lambda least, most: most))


def test_the_pause_grows_with_each_registration_that_did_not_last() -> None:
    paces = pacing()
    pauses = [paces.pause(kubelet="a", lasted=seconds) for seconds in (0.0, 2.0, 0.0, 5.0)]
    assert pauses == [0.1, 0.2, 0.4, 0.8]
    assert [paces.pause(kubelet="a", lasted=0.0) for _ in range(9)][-1] == LONGEST_PAUSE


def test_one_that_has_lasted_begins_anew() -> None:
    paces = pacing()
    for _ in range(5):
        paces.pause(kubelet="a", lasted=0.0)
    assert paces.pause(kubelet="a", lasted=LASTED) == 0.1


@pytest.mark.parametrize("other", ["b", None])
def test_another_kubelet_begins_anew_and_the_same_one_does_not(other: object) -> None:
    paces = pacing()
    for _ in range(5):
        paces.pause(kubelet="a", lasted=0.0)
    assert paces.pause(kubelet=other, lasted=0.0) == 0.1
    assert paces.pause(kubelet=other, lasted=0.0) == 0.2


FAST = Standing(resource_name="virtfn.dev/fast", waiting_since=100.0)


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (FAST, "virtfn.dev/fast not registered for 30 s"),
        (FAST.registered(110.0), "virtfn.dev/fast registered for 20 s"),
        (FAST.registered(110.0).ended(120.0), "virtfn.dev/fast not registered for 10 s"),
        (FAST.refused(125.0, "no"), "virtfn.dev/fast not registered for 30 s, last refused 5 s ago: no"),
        (FAST.refused(105.0, "no").registered(110.0), "virtfn.dev/fast registered for 20 s, last refused 25 s ago: no"),
        (
            FAST.registered(110.0).refused(128.0, "no"),
            "virtfn.dev/fast not registered for 2 s, last refused 2 s ago: no",
        ),
    ],
)
def test_it_is_told_since_when_and_what_the_last_refusal_was(standing: Standing, told: str) -> None:
    assert standing.told(130.0) == told


@pytest.mark.parametrize("text", ["x" * 5000, "a\nb\x1b[2J"])
def test_what_a_kubelet_answers_stays_a_line(text: str) -> None:
    told = FAST.refused(125.0, text).told(130.0)
    assert told.isprintable()
    assert len(told) < 500


def test_the_summary_names_those_that_are_not_registered_first_and_stays_short() -> None:
    many = [Standing(resource_name=f"virtfn.dev/p{n:02}", waiting_since=100.0).registered(110.0) for n in range(60)]
    said = summary([*many, FAST], 130.0)
    assert said.startswith("1 of 61 resources are not registered with the kubelet; virtfn.dev/fast not registered for")
    assert said.endswith("; and 53 more")
    assert summary(many[:1], 130.0) == "ok; virtfn.dev/p00 registered for 20 s"
    assert summary([], 130.0) == "ok"
