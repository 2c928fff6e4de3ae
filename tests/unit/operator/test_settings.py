"""The environment is read once; what is missing is named."""

import logging
from pathlib import Path

import pytest

from virtfn_host.logs.repeats import Repeats
from virtfn_operator.__main__ import main
from virtfn_operator.settings import SettingsError, agent_settings, controller_settings, hook_settings

CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


def test_the_agents_surroundings() -> None:
    settings = agent_settings({**CLUSTER, "NODE_NAME": "n1", "VIRTFN_POOLS": "/x/pools.json"})
    assert settings.api.url == "https://10.0.0.1:6443"
    assert (settings.node, settings.pools, settings.health_port) == ("n1", Path("/x/pools.json"), 8082)
    assert settings.podresources == Path("/var/lib/kubelet/pod-resources/kubelet.sock")


def test_the_controllers_surroundings() -> None:
    settings = controller_settings({**CLUSTER, "POD_NAME": "c-1", "POD_NAMESPACE": "virtfn", "VIRTFN_LEASE": "l"})
    assert (settings.instance, settings.namespace, settings.lease, settings.health_port) == ("c-1", "virtfn", "l", 8080)


def test_a_hooks_surroundings() -> None:
    names = {**CLUSTER, "POD_NAMESPACE": "virtfn"}
    plain = hook_settings(names)
    assert (plain.namespace, plain.release, plain.lease) == ("virtfn", "virtfn", "virtfn-controller")
    assert (plain.timeout, plain.crds) == (120.0, Path("/etc/virtfn/crds"))
    given = hook_settings({**names, "VIRTFN_HOOK_TIMEOUT": "600", "VIRTFN_RELEASE": "mine", "VIRTFN_CRDS": "/crds"})
    assert (given.timeout, given.release, given.crds) == (600.0, "mine", Path("/crds"))


@pytest.mark.parametrize("wrong", ["0", "-1", "soon", "nan"])
def test_a_hooks_time_limit_that_is_none_is_named(wrong: str) -> None:
    with pytest.raises(SettingsError, match="VIRTFN_HOOK_TIMEOUT"):
        hook_settings({**CLUSTER, "POD_NAMESPACE": "virtfn", "VIRTFN_HOOK_TIMEOUT": wrong})


def test_an_ipv6_cluster() -> None:
    settings = agent_settings({"KUBERNETES_SERVICE_HOST": "fd00::1", "NODE_NAME": "n1"})
    assert settings.api.url == "https://[fd00::1]:443"


def test_domains_and_the_patience_with_a_silent_node() -> None:
    names = {**CLUSTER, "POD_NAME": "c-1", "POD_NAMESPACE": "virtfn", "NODE_NAME": "n1"}
    plain = controller_settings(names)
    assert (plain.resource_domains, plain.turn_timeout) == (frozenset(), 900.0)
    given = {**names, "VIRTFN_RESOURCE_DOMAINS": "vendor.example, b.example", "VIRTFN_TURN_TIMEOUT": "60"}
    settings = controller_settings(given)
    assert settings.resource_domains == agent_settings(given).resource_domains == {"vendor.example", "b.example"}
    assert settings.turn_timeout == 60.0


@pytest.mark.parametrize(
    ("memory", "most"), [("", 64 << 20), ("0", 64 << 20), (str(512 << 20), 64 << 20), (str(4 << 30), 512 << 20)]
)
def test_a_controller_with_more_memory_reads_larger_lists(memory: str, most: int) -> None:
    names = {**CLUSTER, "POD_NAME": "c-1", "POD_NAMESPACE": "virtfn", "VIRTFN_MEMORY": memory}
    assert controller_settings(names).list_limit == most


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("VIRTFN_RESOURCE_DOMAINS", value)
            for value in ("kubernetes.io", "a.kubernetes.io", "requests.x", "A", "a..b")
        ),
        *(("VIRTFN_MEMORY", value) for value in ("-1", "x", "1.5", "512Mi", "٣", "9" * 20)),
        *(("VIRTFN_TURN_TIMEOUT", value) for value in ("0", "-1", "x", "nan", "inf", "1e9")),
    ],
)
def test_a_value_of_the_chart_that_is_no_good_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        controller_settings({**CLUSTER, "POD_NAME": "c", "POD_NAMESPACE": "v", name: value})


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "KUBERNETES_SERVICE_HOST"),
        (CLUSTER, "NODE_NAME"),
        ({**CLUSTER, "NODE_NAME": "n", "VIRTFN_HEALTH_PORT": "x"}, "VIRTFN_HEALTH_PORT"),
    ],
)
def test_what_is_missing_is_named(environ: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        agent_settings(environ)


def test_a_wrong_start_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("POD_NAME", raising=False)
    monkeypatch.setenv("VIRTFN_API_URL", "http://127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        main(["controller"])
    assert ended.value.code == 2
    assert "POD_NAME" in caplog.text
    others = logging.getLogger().handlers  # which were there before; a filter on them would outlive this test
    assert [handler for handler in others if any(isinstance(it, Repeats) for it in handler.filters)] == []
