"""Resource names: Kubernetes' own words, its domains, and those that the administrator did not allow are refused."""

import pytest

from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.resource_names import checked_domains, read_domains, resource_name

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("name", "domains", "full"),
    [
        ("fast", None, "virtfn.dev/fast"),
        ("fast", NONE, "virtfn.dev/fast"),
        ("virtfn.dev/fast", NONE, "virtfn.dev/fast"),
        ("vendor.example/fast", None, "vendor.example/fast"),
        ("vendor.example/fast", frozenset({"vendor.example"}), "vendor.example/fast"),
        ("virtfn.dev/cpu", NONE, "virtfn.dev/cpu"),
        ("cpus", NONE, "virtfn.dev/cpus"),
        ("my-memory", NONE, "virtfn.dev/my-memory"),
    ],
)
def test_names_that_are_taken(name: str, domains: frozenset[str] | None, full: str) -> None:
    assert resource_name(name, "r", domains) == full


@pytest.mark.parametrize("name", ["nvidia.com/gpu", "sub.vendor.example/x", "virtfn.dev.evil/x", "example/x"])
def test_a_domain_of_somebody_else_is_refused_and_the_value_is_named(name: str) -> None:
    with pytest.raises(PolicyError, match=r"^r: .*not allowed here.*resourceDomains"):
        resource_name(name, "r", frozenset({"vendor.example"}))


@pytest.mark.parametrize(
    "name",
    [
        *("cpu", "memory", "pods", "storage", "ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi", "hugepages"),
        *("CPU", "requests.cpu", "limits.memory", "attachable-volumes-csi-x", "services", "count.pods"),
    ],
)
def test_kubernetes_own_resources_are_refused(name: str) -> None:
    with pytest.raises(PolicyError, match="resource of Kubernetes itself"):
        resource_name(name, "r")


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a/b/c", "../x", "a\0b", "a b", "é", "A.b/c", "x/" + "n" * 64, "d" * 245 + "/x", None, 7, []],
)
def test_what_the_kubelet_would_refuse_is_refused(name: object) -> None:
    with pytest.raises(PolicyError, match=r"^r: "):
        resource_name(name, "r")


@pytest.mark.parametrize("name", ["kubernetes.io/x", "a.kubernetes.io/x", "mykubernetes.io/x", "requests.a/x"])
def test_kubernetes_domains_are_refused_even_if_somebody_allows_them(name: str) -> None:
    with pytest.raises(PolicyError, match="keeps for itself"):
        resource_name(name, "r", frozenset({name.partition("/")[0]}))
    with pytest.raises(PolicyError, match="keeps for itself"):
        checked_domains([name.partition("/")[0]], "resourceDomains")


def test_domains_are_read_from_a_line() -> None:
    assert read_domains(" vendor.example, b.example ,", "V") == {"vendor.example", "b.example"}
    assert read_domains("", "V") == NONE
    with pytest.raises(PolicyError, match=r"^V: 'Vendor' is not a domain"):
        read_domains("Vendor", "V")
