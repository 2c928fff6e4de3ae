"""The unit file: it goes before every kubelet, is needed by none, and ends."""

import re
from pathlib import Path

import pytest

from virtfn_host.cli.help import PROSE
from virtfn_host.cli.options import command
from virtfn_host.cli.verbs import VERBS
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.steps import SetNumVfs, patience

FOLDER = Path(__file__).parents[3] / "packaging"
LINES = [line for line in (FOLDER / "virtfn-boot.service").read_text().splitlines() if not line.startswith("#")]


def values(name: str) -> list[str]:
    return [word for line in LINES if line.startswith(f"{name}=") for word in line.partition("=")[2].split()]


@pytest.mark.parametrize(
    "kubelet",
    [
        "kubelet",
        "k3s",
        "k3s-agent",
        "rke2-server",
        "rke2-agent",
        "k0scontroller",
        "k0sworker",
        "snap.microk8s.daemon-kubelite",
        "snap.k8s.kubelet",
        "snap.kubelet-eks.daemon",
        "snap.kubelet.daemon",
    ],
)
def test_every_kubelet_waits_for_its_end_and_needs_no_success(kubelet: str) -> None:
    assert f"{kubelet}.service" in values("Before")
    assert not {"RequiredBy", "BindsTo", "Upholds"} & {line.partition("=")[0] for line in LINES}


def test_the_page_says_how_to_add_another_kubelet() -> None:
    unit, page = (FOLDER / "virtfn-boot.service").read_text(), (FOLDER / "README.md").read_text()
    for text in (unit, page):
        assert "/etc/systemd/system/virtfn-boot.service.d/kubelet.conf" in text
        assert "Before=NAME.service" in text


def test_it_ends_after_the_longest_run_at_the_latest() -> None:
    options = command(VERBS).parse_args(["boot"])
    step = patience(SetNumVfs(pf=PciAddress(0, 1, 0, 0), value=1, expects=0))
    assert options.within + step < int(*values("TimeoutStartSec")) <= 600
    assert options.wait < options.within
    assert int(*values("TimeoutStopSec")) <= 30


def test_it_waits_for_no_network_and_no_udev_queue() -> None:
    ordered = set(values("After") + values("Wants") + values("Requires"))
    assert ordered == {"systemd-modules-load.service", "systemd-udev-trigger.service"}


def test_a_blocked_write_gets_no_signal() -> None:
    assert values("KillMode") == ["process"]


def test_it_starts_once_a_boot_whatever_files_there_are() -> None:
    assert values("Type") == ["oneshot"]
    assert not [line for line in LINES if line.startswith("ConditionPath")]
    assert len(values("ExecStart")) == 5
    assert values("ExecStart")[-1] == "boot"


def test_its_paths_are_those_of_the_page() -> None:
    page = (FOLDER / "README.md").read_text()
    assert f"`{values('ExecStart')[3]}`" in page
    assert "3.11 or newer" in page


def test_the_help_names_the_file_that_it_reads() -> None:
    assert re.search(r"/var/lib/virtfn/config\.json", PROSE["boot"].files)
