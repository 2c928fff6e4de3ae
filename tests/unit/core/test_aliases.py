"""modules.alias says which modules and vfio drivers could drive a device, and by which name."""

import pytest

from virtfn_host.core.checks.aliases import driver_of, modules_for, vfio_drivers

ALIASES = """# Aliases extracted from modules themselves.
alias pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf
alias pci:v*d*sv*sd*bc02sc00i* every_ethernet
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* made_up_vfio
alias fs-ext4 ext4
"""
IGBVF = "pci:v00008086d000010CAsv00001AF4sd00001100bc02sc00i00"
MLX5 = "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00"


def test_the_most_specific_alias_comes_first() -> None:
    assert modules_for(ALIASES, IGBVF) == ("igbvf", "every_ethernet")
    assert vfio_drivers(ALIASES, MLX5) == ("mlx5_vfio_pci", "made_up_vfio", "vfio-pci")


def test_vfio_pci_fits_every_device() -> None:
    assert vfio_drivers(ALIASES, IGBVF) == ("vfio-pci",)


def test_without_the_file_nothing_is_known() -> None:
    assert (modules_for("", IGBVF), vfio_drivers("", IGBVF)) == ((), ())


def test_a_device_without_a_modalias_matches_nothing() -> None:
    assert (modules_for(ALIASES, ""), vfio_drivers(ALIASES, "")) == ((), ())


@pytest.mark.parametrize(
    ("module", "driver"),
    [("vfio_pci", "vfio-pci"), ("vfio-pci", "vfio-pci"), ("mlx5_vfio_pci", "mlx5_vfio_pci"), ("igbvf", "igbvf")],
)
def test_a_variant_driver_keeps_its_underscores(module: str, driver: str) -> None:
    """`mlx5-vfio-pci` names no driver: only vfio_pci registers under another name than its module's."""
    assert driver_of(module) == driver


def test_a_module_that_matches_twice_is_named_once() -> None:
    twice = "alias pci:v00008086d*sv*sd*bc*sc*i* igb\nalias pci:v00008086d000010CAsv*sd*bc*sc*i* igb\n"
    assert modules_for(twice, IGBVF) == ("igb",)
