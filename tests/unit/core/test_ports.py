"""A function's own netdev is the one whose port is the physical one; representors of other functions are not."""

import pytest

from virtfn_host.core.checks.ports import Port, is_representor, own_ports


@pytest.mark.parametrize(
    "name", ["pf0vf0", "pf1vf127", "c1pf0vf0", "pf0sf88", "pf0", "c1pf0", "pf0hpf", "vf3", "sf7", "c2pf1sf5"]
)
def test_the_port_of_another_function_is_a_representor(name: str) -> None:
    assert is_representor(name)


@pytest.mark.parametrize("name", [None, "p0", "p1", "p0s1", "n0", "0", "port1", "", "pf", "p\u0660", "uplink"])
def test_every_other_port_is_the_functions_own(name: str | None) -> None:
    assert not is_representor(name)


def names(*ports: Port) -> tuple[str, ...]:
    return tuple(port.netdev for port in own_ports(ports))


def test_the_uplink_is_found_among_representors_whatever_they_are_called() -> None:
    reps = [Port(netdev=name, port=f"pf0vf{n}") for n, name in enumerate(("eth10", "a0", "enp1s0f0_0", "eth0"))]
    assert names(*reps, Port(netdev="eth2", port="p0")) == ("eth2",)
    assert names(Port(netdev="zz", port="p1"), *reps) == ("zz",)
    assert names(*reps, Port(netdev="uplink")) == ("uplink",)


def test_representors_alone_are_none_of_its_own() -> None:
    assert names(Port(netdev="eth0", port="pf0vf0"), Port(netdev="eth1", port="c1pf0vf0")) == ()


def test_several_ports_go_by_their_number() -> None:
    assert names(Port(netdev="eth0", number=1), Port(netdev="eth1", number=0)) == ("eth1", "eth0")
    assert names(*(Port(netdev=f"p{n}", port=f"p{n}", number=n) for n in (3, 1, 0, 2))) == ("p0", "p1", "p2", "p3")


def test_a_physical_port_goes_before_one_that_does_not_say() -> None:
    assert names(Port(netdev="a"), Port(netdev="b", port="p1", number=1)) == ("b", "a")


def test_a_long_number_goes_behind_a_short_one() -> None:
    assert names(Port(netdev="eth10"), Port(netdev="eth2")) == ("eth2", "eth10")
