"""What an errno means for a write: all known causes and the way out, and the PF's own state where that explains it."""

import errno

import pytest

from virtfn_host.core.checks.refusals import (
    ANYWHERE,
    ENOTSUPP,
    LOG,
    TABLE,
    Attempt,
    PfState,
    module_way_out,
    pf_trouble,
    way_out,
    write_of,
)

PF = "/sys/bus/pci/devices/0000:01:00.0"


@pytest.mark.parametrize(
    ("path", "write"),
    [
        (f"{PF}/sriov_numvfs", Attempt.NUM_VFS),
        (f"{PF}/driver/unbind", Attempt.UNBIND),
        ("/sys/bus/pci/drivers/vfio-pci/bind", Attempt.BIND),
        (f"{PF}/driver_override", Attempt.OVERRIDE),
        (f"{PF}/remove", Attempt.OTHER),
        (f"{PF}/link", Attempt.OTHER),
    ],
)
def test_a_path_tells_what_it_takes(path: str, write: Attempt) -> None:
    assert write_of(path, "4") is write


def test_vfs_that_are_taken_away_are_a_write_of_their_own() -> None:
    assert write_of(f"{PF}/sriov_numvfs", "0") is Attempt.NO_VFS
    assert write_of(f"{PF}/sriov_drivers_autoprobe", "0") is Attempt.AUTOPROBE


@pytest.mark.parametrize(
    ("write", "number", "words"),
    [
        (Attempt.NUM_VFS, errno.ENOSPC, ("MSI-X", "fewer VFs", "irdma")),
        (Attempt.NUM_VFS, errno.ENOMEM, ("MMIO", "bus numbers", "pci=realloc")),
        (Attempt.NUM_VFS, errno.EAGAIN, ("pending",)),
        (Attempt.NUM_VFS, errno.EPERM, ("fewer VFs", "lockdown")),
        (Attempt.NUM_VFS, ENOTSUPP, ("firmware",)),
        (Attempt.NUM_VFS, errno.EBUSY, ("VFs already", "reset")),
        (Attempt.NUM_VFS, errno.EIO, ("firmware", "reset the card")),
        (Attempt.NUM_VFS, errno.ENODEV, ("gone",)),
        (Attempt.BIND, errno.EBUSY, ("bound already", "group")),
        (Attempt.BIND, errno.EINVAL, ("IOMMU",)),
        (Attempt.BIND, errno.ENOENT, ("not loaded",)),
        (Attempt.BIND, errno.ENOSPC, ("MSI-X",)),
        (Attempt.UNBIND, errno.ENODEV, ("not bound",)),
        (Attempt.OVERRIDE, errno.EINVAL, ("longer",)),
        (Attempt.LINK, errno.EOPNOTSUPP, ("leave it out",)),
        (Attempt.LINK, errno.EAGAIN, ("reset",)),
        (Attempt.RATE, errno.EINVAL, ("speed", "minTxRate")),
        (Attempt.RATE, errno.EOPNOTSUPP, ("leave it out",)),
        (Attempt.OTHER, errno.EROFS, ("read-only",)),
    ],
)
def test_known_causes_and_the_way_out_are_named(write: Attempt, number: int, words: tuple[str, ...]) -> None:
    assert all(word in way_out(write, number) for word in words)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM, errno.EAGAIN, errno.EPERM, ENOTSUPP, errno.EBUSY])
def test_a_number_of_vfs_is_never_left_to_the_kernel_log_alone(number: int) -> None:
    assert way_out(Attempt.NUM_VFS, number) != LOG


@pytest.mark.parametrize("number", [n for n in errno.errorcode if n < 135])
def test_who_takes_all_vfs_away_is_not_told_to_ask_for_fewer(number: int) -> None:
    assert "fewer" not in way_out(Attempt.NO_VFS, number)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EPERM, errno.EINVAL])
def test_a_vf_that_a_virtual_machine_has_is_named_where_vfs_stay(number: int) -> None:
    assert "virtual machine" in way_out(Attempt.NO_VFS, number)


@pytest.mark.parametrize(
    ("state", "word"), [(PfState(netdev="x", switchdev=True), "switchdev"), (PfState(answers=False), "recovery")]
)
def test_the_pfs_state_explains_why_vfs_stay(state: PfState, word: str) -> None:
    assert word in (pf_trouble(Attempt.NO_VFS, errno.EINVAL, state) or "")
    assert pf_trouble(Attempt.NO_VFS, errno.EINVAL, PfState(netdev="x", up=False)) is None


def test_an_errno_that_nobody_knows_is_for_the_kernel_log() -> None:
    assert way_out(Attempt.NUM_VFS, errno.EXDEV) == LOG
    assert way_out(Attempt.LINK, 4095) == LOG


def test_every_cause_is_one_line_that_fits_into_a_message() -> None:
    texts = [*ANYWHERE.values(), *(text for answers in TABLE.values() for text in answers.values())]
    assert all("\n" not in text and text.isascii() and len(text) < 300 for text in texts)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("could not insert 'vfio_pci': Operation not permitted", "locked down"),
        ("could not insert 'vfio_pci': Key was rejected by service", "signed"),
        ("could not insert 'vfio_pci': Exec format error", "another kernel"),
        ("could not insert 'vfio_pci': Unknown symbol in module, or unknown parameter", "another kernel"),
        ("could not insert 'vfio_pci': Invalid argument", "options"),
        (
            "Error running install command '/bin/false': could not insert 'vfio_pci': Invalid argument",
            "remove that line",
        ),
        ("FATAL: Module vfio-pci is builtin.", "install the module"),
        ("exit 1", "install the module"),
        ("FATAL: Module vfio-pci not found in directory /lib/modules/6.1.0", "install"),
    ],
)
def test_modprobes_answer_is_explained(answer: str, word: str) -> None:
    assert word in module_way_out(answer)


# --- the PF's own state ----------------------------------------------------------------------------------------------

DOWN = PfState(netdev="ens1", up=False)
SWITCHDEV = PfState(netdev="ens1", up=True, switchdev=True)
LOST = PfState(netdev="ens1", up=False, answers=False)


@pytest.mark.parametrize("number", [None, errno.EINVAL, errno.EAGAIN, errno.ENODEV])
def test_a_pf_that_is_down_explains_that_no_vfs_came(number: int | None) -> None:
    trouble = pf_trouble(Attempt.NUM_VFS, number, DOWN)
    assert trouble is not None
    assert "ens1 is down" in trouble
    assert "ip link set ens1 up" in trouble


@pytest.mark.parametrize(
    ("write", "number"),
    [
        (Attempt.NUM_VFS, errno.ENOSPC),
        (Attempt.NUM_VFS, errno.ERANGE),
        (Attempt.LINK, errno.EOPNOTSUPP),
        (Attempt.UNBIND, None),
        (Attempt.BIND, errno.EINVAL),
        (Attempt.BIND, errno.ENODEV),
    ],
)
def test_it_explains_nothing_that_has_another_cause(write: Attempt, number: int | None) -> None:
    assert pf_trouble(write, number, DOWN) is None


@pytest.mark.parametrize(
    ("write", "number", "word"),
    [
        (Attempt.LINK, errno.EOPNOTSUPP, "representors"),
        (Attempt.RATE, errno.EINVAL, "representors"),
        (Attempt.NUM_VFS, errno.EBUSY, "eswitch"),
        (Attempt.NUM_VFS, None, "eswitch"),
    ],
)
def test_switchdev_mode_is_told(write: Attempt, number: int | None, word: str) -> None:
    trouble = pf_trouble(write, number, SWITCHDEV)
    assert trouble is not None
    assert "switchdev" in trouble
    assert word in trouble


@pytest.mark.parametrize("write", [Attempt.NUM_VFS, Attempt.BIND, Attempt.LINK])
def test_a_pf_that_does_not_answer_on_the_bus_comes_first(write: Attempt) -> None:
    trouble = pf_trouble(write, errno.EIO, LOST)
    assert trouble is not None
    assert "does not answer on the bus" in trouble


@pytest.mark.parametrize("write", list(Attempt))
def test_a_pf_that_is_well_explains_nothing(write: Attempt) -> None:
    assert pf_trouble(write, errno.EINVAL, PfState(netdev="ens1", up=True)) is None
    assert pf_trouble(write, errno.EINVAL, PfState()) is None
