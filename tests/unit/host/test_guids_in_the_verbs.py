"""`virtfn verify` and `virtfn explain` know that a VF on InfiniBand needs a GUID, as pools and status do."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel
from netlink import FakeNetlink

from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.mac import ZERO_GUID
from virtfn_host.core.values.model import VfLink

PF = PciAddress(0, 1, 0, 0)
PORT = "00:00:10:87:fe:80:00:00:00:00:00:00:50:6b:4b:03:00:28:50:28"
GUID = "00:11:22:33:44:55:66:77"
POLICY = """\
apiVersion: virtfn.dev/v1alpha1
kind: SriovPolicy
metadata: {name: ib}
spec:
  devices: [{vendor: "8086"}]
  virtualFunctions: {pools: [{resourceName: ib, driver: vfio-pci}]}
"""

Verb = Callable[[], tuple[int, str]]


@pytest.fixture(params=["verify", "explain"])
def verb(
    request: pytest.FixtureRequest, kernel: FakeKernel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Verb:
    file = tmp_path / "ib.yaml"
    file.write_text(POLICY)
    words = ["verify", "-f", str(file)] if request.param == "verify" else ["explain", str(next(iter(kernel._vfs(PF))))]

    def asked() -> tuple[int, str]:
        capsys.readouterr()
        return run([*words, "--root", str(kernel.root)]), capsys.readouterr().out

    return asked


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """A PF on InfiniBand with a VF on vfio-pci that has no GUID."""
    fake = FakeKernel(tmp_path / "root", pfs=1)
    fake.register("vfio-pci")
    fake._set_num_vfs(PF, 1)
    (vf,) = fake._vfs(PF)
    for value, name in (("vfio-pci", "driver_override"), (str(vf), "driver/unbind")):
        fake.write(fake.devices / str(vf) / name, value)
    fake.write(fake.drivers / "vfio-pci/bind", str(vf))
    for address in (PF, vf):
        (fake.devices / str(address) / "class").write_text("0x020700\n")
    (netdev,) = (fake.devices / str(PF) / "net").iterdir()
    (netdev / "address").write_text(f"{PORT}\n")
    give(fake, ZERO_GUID)
    netlink = FakeNetlink(fake)
    for module in ("machine", "looking"):
        monkeypatch.setattr(f"virtfn_host.cli.{module}.netlink_of", lambda _: nullcontext(netlink))
    return fake


def give(kernel: FakeKernel, guid: str) -> None:
    for vf in kernel._vfs(PF):
        kernel.links[vf] = replace(kernel.links.get(vf, VfLink()), mac=None, node_guid=guid, port_guid=guid)


def test_a_vf_without_a_guid_is_not_usable(verb: Verb) -> None:
    status, said = verb()
    assert status == 1
    assert "has no GUID" in said


def test_a_vf_with_a_guid_is(verb: Verb, kernel: FakeKernel) -> None:
    give(kernel, GUID)
    status, said = verb()
    assert (status, "GUID" in said) == (0, False)
