"""What the chart renders of logs: each process gets the level and format of the values, and nothing by default."""

import pytest

from virtfn_lab.chart import REGISTRY, Objects, container, pod, render, template

PROCESSES = [("controller", "controller"), ("agent", "agent"), ("agent", "host"), ("deviceplugin", "deviceplugin")]


def options(objects: Objects, component: str, name: str) -> list[str]:
    return [word for word in container(pod(objects, component), name)["args"] if word.startswith("--log-")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((), []),
        (("logLevel=debug",), ["--log-level=debug"]),
        (("logFormat=json", "logLevel=warning"), ["--log-level=warning", "--log-format=json"]),
    ],
)
def test_every_process_gets_them(values: tuple[str, ...], words: list[str]) -> None:
    objects = render(*values, "bootUnit.enabled=true")
    assert [options(objects, component, name) for component, name in PROCESSES] == [words] * len(PROCESSES)
    (found,) = [item for (kind, _), item in objects.items() if kind == "DaemonSet" and "boot_unit" in str(item)]
    (item,) = found["spec"]["template"]["spec"]["containers"]
    assert [word for word in item["args"] if word.startswith("--log-")] == words


@pytest.mark.parametrize("value", ["logLevel=loud", "logFormat=xml", "logLevel=INFO"])
def test_a_value_that_is_none_is_refused(value: str) -> None:
    done = template(REGISTRY, value)
    assert done.returncode != 0
    assert value.partition("=")[0] in done.stderr
