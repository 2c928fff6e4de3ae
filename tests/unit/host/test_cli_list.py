"""Output of `virtfn list` and `virtfn explain`: tables, names, filters, and a sentence if there is nothing to show."""

import gzip
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from kernel import FakeKernel
from netlink import FakeNetlink

from virtfn_host.cli.options import DONE, NOTHING_MATCHES, REFUSED
from virtfn_host.cli.verbs import run
from virtfn_host.core.values.codec import decode
from virtfn_host.core.values.model import Inventory

PF, VF = "0000:01:00.0", "0000:01:10.0"
PCI_IDS = """\
8086  Intel Corporation
	10c9  82576 Gigabit Network Connection
	10ca  82576 Virtual Function
C 02  Network controller
	00  Ethernet controller
"""
ALIASES = """\
alias pci:v00008086d000010C9* igb
alias pci:v00008086d000010CA* igbvf
alias vfio_pci:v*d* vfio_pci
"""


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with one VF, and the files of a machine beside /sys."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made.write(made.devices / PF / "sriov_numvfs", "1")
    for device, ids in ((PF, "10C9"), (VF, "10CA")):
        (made.devices / device / "modalias").write_text(f"pci:v00008086d0000{ids}sv00008086sd0000A03Cbc02sc00i00\n")
    put(made.root / "lib/modules/6.1.0/modules.alias", ALIASES)
    put(made.root / "lib/modules/6.1.0/modules.dep", "kernel/igb.ko.xz:\nkernel/vfio/pci/vfio-pci.ko.xz: other\n")
    put(made.root / "usr/share/misc/pci.ids", PCI_IDS)
    return made


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_list_shows_functions_as_a_table(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--root", str(kernel.root)]) == DONE
    shown = capsys.readouterr()
    assert (shown.out.splitlines(), shown.err) == (
        [
            "ADDRESS         ID         CLASS  DRIVER  MODULES  GROUP  NUMA  FUNCTION                 IN USE BY",
            "0000:01:00.0    8086:10c9  0200   igb     igb      0      -     PF, 1 of 7 VFs, eth1v00",
            "  0000:01:10.0  8086:10ca  0200   igbvf   igbvf    1      -     VF 0, eth1v160",
        ],
        "",
    )


def test_verbose_adds_the_names(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "-v", "--root", str(kernel.root)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("  NAME")
    assert lines[1].endswith("  Ethernet controller: Intel Corporation 82576 Gigabit Network Connection")


def test_names_come_out_of_a_compressed_file_too(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    (kernel.root / "usr/share/misc/pci.ids").unlink()
    put(kernel.root / "usr/share/hwdata/pci.ids.gz", "")
    (kernel.root / "usr/share/hwdata/pci.ids.gz").write_bytes(gzip.compress(PCI_IDS.encode()))
    run(["list", "-v", "--root", str(kernel.root)])
    assert "82576 Virtual Function" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"\x1f\x8bbroken"])
def test_without_pci_ids_there_are_numbers(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    (kernel.root / "usr/share/misc/pci.ids").unlink()
    if content is not None:
        (kernel.root / "usr/share/misc/pci.ids.gz").write_bytes(content)
    assert run(["list", "-v", "--root", str(kernel.root)]) == DONE
    assert (
        capsys.readouterr()
        .out.splitlines()[2]
        .endswith("VF 0, eth1v160                      -                               -")
    )


def test_json_has_all_that_is_known(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json", "--root", str(kernel.root)]) == DONE
    document = json.loads(capsys.readouterr().out)
    _, vf = document["functions"]
    assert document["unreadable"] == []
    assert vf["names"]["device"] == "82576 Virtual Function"
    assert (vf["pf"], vf["index"], vf["vfioDrivers"]) == (PF, 0, ["vfio-pci"])
    assert (vf["ids"]["subsystemVendor"], vf["ids"]["subsystemDevice"]) == ("8086", "a03c")


@pytest.mark.parametrize("words", [["list", "-v"], ["list", "--json"], ["explain", PF]])
def test_the_permanent_mac_is_shown_also_where_another_one_is_set(
    words: list[str], kernel: FakeKernel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a bond, where sysfs shows the bond's address."""
    netlink = FakeNetlink(kernel)
    for path in kernel.devices.glob(f"{PF}/net/*/addr_assign_type"):
        path.write_text("3\n")
    for module in ("looking", "machine"):
        monkeypatch.setattr(f"virtfn_host.cli.{module}.netlink_of", lambda _: nullcontext(netlink))
    run([*words, "--root", str(kernel.root)])
    (mac,) = netlink.permanent_addresses().values()
    assert mac in capsys.readouterr().out


def test_named_functions_alone_are_shown(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", VF, "--root", str(kernel.root)]) == DONE
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ADDRESS", VF]


def test_a_named_function_that_is_not_there_is_told(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", PF, "0000:7f:00.0", "--root", str(kernel.root)]) == NOTHING_MATCHES
    shown = capsys.readouterr()
    assert PF in shown.out
    assert shown.err.startswith("virtfn: NoMatchingDevice: 0000:7f:00.0: no function that can be handed out")


def test_a_machine_without_sriov_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeKernel(tmp_path / "root", pfs=0).root
    assert run(["list", "--root", str(root)]) == NOTHING_MATCHES
    shown = capsys.readouterr()
    assert shown.out == ""
    assert (
        shown.err
        == "virtfn: NoMatchingDevice: no function of this machine can make VFs: none has SR-IOV (sriov_totalvfs)\n"
    )


def test_a_device_that_does_not_read_is_told_and_the_rest_is_shown(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel._add_pf(kernel_address := type(kernel._known(PF))(0, 9, 0, 0), 7)
    (kernel.devices / str(kernel_address) / "sriov_totalvfs").write_text("nonsense\n")
    assert run(["list", "--root", str(kernel.root)]) == DONE
    shown = capsys.readouterr()
    assert PF in shown.out
    assert shown.err.startswith(f"virtfn: Unreadable: {kernel_address}: ")


def test_the_inventory_decodes_as_the_model(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inventory", "--root", str(kernel.root)]) == DONE
    inventory = decode(Inventory, json.loads(capsys.readouterr().out), "inventory")
    assert [vf.index for vf in inventory.pfs[0].vfs] == [0]


def test_explain_says_what_a_function_is_and_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeKernel(tmp_path / "root", pfs=1, iommu=False).root
    assert run(["explain", PF, "--root", str(root)]) == REFUSED
    shown = capsys.readouterr().out
    assert "a PF with 0 of 7 VFs" in shown
    assert "NoIommu: has no IOMMU group; no IOMMU is on" in shown
    assert "could drive it  cannot see the kernel's modules in /lib/modules" in shown


def test_explain_knows_names_and_modules(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", VF, "--root", str(kernel.root)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert "name            Ethernet controller: Intel Corporation 82576 Virtual Function" in lines
    assert "could drive it  igbvf, vfio-pci" in lines
    assert f"passthrough     works: virtfn bind {VF}" in lines


def test_what_is_built_into_the_kernel_is_known_by_its_aliases(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = kernel.root / "lib/modules/6.1.0"
    (folder / "modules.alias").write_text("")
    built_in = "vfio_pci.alias=vfio_pci:v*d*\0vfio_pci.license=GPL v2\0igbvf.alias=pci:v00008086d000010CA*\0"
    (folder / "modules.builtin.modinfo").write_text(built_in)
    run(["explain", VF, "--root", str(kernel.root)])
    assert "could drive it  igbvf, vfio-pci" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "package"),
    [("ID=debian", "linux-image-6.1.0"), ('ID=rocky\nID_LIKE="rhel centos"', "kernel-modules-6.1.0")],
)
def test_a_missing_module_names_the_package_of_this_distribution(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str], told: str, package: str
) -> None:
    put(kernel.root / "etc/os-release", told)
    (kernel.root / "lib/modules/6.1.0/modules.alias").write_text("")
    (kernel.root / "lib/modules/6.1.0/modules.dep").write_text("kernel/igb.ko:\n")
    assert run(["explain", VF, "--root", str(kernel.root)]) == REFUSED
    assert f"ModuleMissing: the running kernel (6.1.0) has no module for vfio-pci; install the package {package}" in (
        capsys.readouterr().out
    )


def test_explain_of_a_bridge_is_one_sentence(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    (kernel.devices / PF / "class").write_text("0x060400\n")
    assert run(["explain", PF, "--root", str(kernel.root)]) == REFUSED
    assert "NoMatchingDevice: is a bridge" in capsys.readouterr().out


def test_explain_in_json_has_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeKernel(tmp_path / "root", pfs=1, iommu=False).root
    assert run(["explain", PF, "--json", "--root", str(root)]) == REFUSED
    (hindrance,) = json.loads(capsys.readouterr().out)["hindrances"]
    assert hindrance["reason"] == "NoIommu"
