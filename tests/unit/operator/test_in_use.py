"""in_use: whoever says that a function is held is believed, and who cannot be asked counts as saying so."""

from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Pod, holder_text
from virtfn_host.core.values.model import InUse, Inventory, Pf, Vf
from virtfn_host.core.values.offered import Allocation, Ledger
from virtfn_operator.agent.in_use import covered, in_use, settled

NOW = 1000.0
VFS = tuple(PciAddress(0, 1, 0x10, n) for n in range(4))
PF = PciAddress(0, 1, 0, 0)
NOBODY = InUse(holders=())
AB, CD = Pod(namespace="a", name="b"), Pod(namespace="c", name="d")
OLD = Pod(namespace="a", name="old")


def inventory() -> Inventory:
    vfs = tuple(
        Vf(
            address=address,
            pf=PF,
            index=n,
            vendor="8086",
            device="10ca",
            class_code="020000",
            numa_node=0,
            driver="vfio-pci",
            driver_override="vfio-pci",
            iommu_group=n,
            vfio_bound=True,
            netdevs=(),
        )
        for n, address in enumerate(VFS)
    )
    pf = Pf(
        address=PF,
        vendor="8086",
        device="10c9",
        class_code="020000",
        driver="igb",
        driver_override=None,
        vfio_bound=False,
        netdevs=(),
        numa_node=0,
        iommu_group=9,
        total_vfs=7,
        autoprobe=False,
        vfs=vfs,
    )
    return Inventory(boot_id="b1", kernel="6.1", drivers=(), functions=(pf,), groups=(), unreadable=())


def handed_out(address: PciAddress, at: float, boot_id: str = "b1") -> Ledger:
    entry = Allocation(address=address, resource_name="virtfn.dev/fast", at=at)
    return Ledger(boot_id=boot_id, allocations=(entry,))


def look(
    pods: dict[str, tuple[Pod, ...]] | None = None, ledger: Ledger | None = None, evidence: InUse = NOBODY
) -> dict[str, list[str]]:
    found = in_use(inventory=inventory(), evidence=evidence, pods=pods or {}, ledger=ledger, now=NOW)
    return {str(a): [holder_text(h) for h in found.of(a)] for a in (PF, *VFS) if found.of(a)}


def test_a_pod_holds_what_the_kubelet_says_under_whatever_resource_name() -> None:
    assert look({str(VFS[1]).upper(): (AB, CD)}) == {str(VFS[1]): ["pod a/b", "pod c/d"]}


def test_devices_of_others_are_no_functions_of_ours() -> None:
    assert look({"GPU-1234": (AB,), "0000:ff:00.0": (AB,)}) == {}


def test_a_young_ledger_entry_counts_and_an_old_one_does_not() -> None:
    assert list(look(ledger=handed_out(VFS[0], NOW - 59))) == [str(VFS[0])]
    assert look(ledger=handed_out(VFS[0], NOW - 60)) == {}


def test_an_entry_from_the_future_counts_and_one_of_another_boot_does_not() -> None:
    assert list(look(ledger=handed_out(VFS[0], NOW + 3600))) == [str(VFS[0])]
    assert look(ledger=handed_out(VFS[0], NOW, boot_id="b0")) == {}


def test_once_the_kubelet_lists_it_the_ledger_has_nothing_to_add() -> None:
    assert look({str(VFS[0]): (AB,)}, handed_out(VFS[0], NOW)) == {str(VFS[0]): ["pod a/b"]}


def test_the_kernels_evidence_stands_beside_the_pod() -> None:
    evidence = InUse(holders=(Holder(address=VFS[0], cause=Cause.ENABLED),))
    assert look({str(VFS[0]): (AB,)}, evidence=evidence) == {str(VFS[0]): ["its vfio device is open", "pod a/b"]}


def test_when_the_kubelet_is_silent_every_function_is_in_use() -> None:
    found = in_use(inventory=inventory(), evidence=NOBODY, pods=None, ledger=None, now=NOW)
    assert {h.address for h in found.holders} == {PF, *VFS}
    assert {h.cause for h in found.holders} == {Cause.KUBELET_SILENT}


@given(
    st.dictionaries(st.sampled_from([str(a) for a in VFS]), st.just((AB,))),
    st.lists(st.tuples(st.sampled_from(VFS), st.floats(NOW - 100, NOW + 100))),
)
def test_more_witnesses_never_free_a_function(
    pods: dict[str, tuple[Pod, ...]], handed: list[tuple[PciAddress, float]]
) -> None:
    entries = tuple(Allocation(address=a, resource_name="x/y", at=at) for a, at in handed)
    ledger = Ledger(boot_id="b1", allocations=entries)
    with_ledger = look(pods, ledger)
    assert set(look(pods)) <= set(with_ledger)
    assert with_ledger == look(dict(reversed(pods.items())), Ledger(boot_id="b1", allocations=entries[::-1]))


ENTRY = Allocation(address=VFS[0], resource_name="virtfn.dev/fast", at=NOW)
HANDED_OUT = Ledger(boot_id="b", allocations=(ENTRY,))


def test_an_entry_has_done_its_work_once_the_kubelet_lists_its_pod() -> None:
    assert settled(HANDED_OUT, {str(VFS[0]): (AB,)}, NOW + 1, frozenset()) == {ENTRY}


def test_a_list_from_before_the_entry_may_show_the_pod_that_had_it_before() -> None:
    assert settled(HANDED_OUT, {str(VFS[0]): (OLD,)}, NOW, frozenset()) == frozenset()


def test_a_settled_entry_stays_settled_when_its_pod_ends_and_is_forgotten_with_the_ledger() -> None:
    assert settled(HANDED_OUT, {}, NOW + 2, frozenset({ENTRY})) == {ENTRY}
    assert settled(Ledger(boot_id="b", allocations=()), {}, NOW + 3, frozenset({ENTRY})) == frozenset()


def test_what_a_lost_ledger_said_is_covered_by_the_first_list_that_is_asked_for_after_it_was_found_lost() -> None:
    lost = Ledger(boot_id="b1", allocations=(), lost_at=NOW)
    assert [covered(lost, "b1", asked_at) for asked_at in (NOW - 1, NOW, NOW + 1)] == [False, False, True]


def test_nothing_needs_to_be_covered_where_no_ledger_of_this_boot_was_lost() -> None:
    other = Ledger(boot_id="b0", allocations=(), lost_at=NOW)
    whole = Ledger(boot_id="b1", allocations=())
    assert [covered(ledger, "b1", NOW - 1) for ledger in (None, other, whole)] == [True, True, True]
